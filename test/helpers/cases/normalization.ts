/** @file Cases of batch normalization and dropout. */

import { floatTensor, type Shape, type Value } from '../../../src/ir/index.js';
import { around, type Case, type Draft, differentiableCase } from './draft.js';

const epsilon = 1e-5;
const shapes: readonly Shape[] = [
  ['N', 2, 4, 5],
  ['N', 4, 1, 1],
  ['N', 4],
];

function constant(draft: Draft, shape: readonly number[], value: number): Value {
  return draft.builder.constant(floatTensor(shape, Array<number>(shape.reduce((a, b) => a * b, 1)).fill(value)));
}

/** Batch norm in training: normalization by the batch's own statistics. */
function trainingNorm(draft: Draft, x: Value, scale: Value, shift: Value): Value {
  return normalizedBy(draft, x, draft.builder.emitAll('batchStatistics', [x], {}) as [Value, Value], scale, shift);
}

function normalizedBy(
  { builder }: Draft,
  x: Value,
  statistics: readonly [mean: Value, variance: Value],
  scale: Value,
  shift: Value,
): Value {
  const source = builder.emit('center', [x, ...statistics], { epsilon });
  const [factor] = builder.emitAll('normalizer', [statistics[1], scale], { epsilon }) as [Value, Value];
  return builder.emit('affine', [source, factor, shift], {});
}

const normalizeCases = shapes.flatMap((shape) => {
  const channels = [shape[1] ?? 0];
  return [
    differentiableCase(`affine [${shape}]`, (draft) =>
      draft.builder.emit('affine', [draft.parameter(shape), draft.parameter(channels), draft.parameter(channels)], {}),
    ),
    differentiableCase(`affine [${shape}] without a shift`, (draft) =>
      draft.builder.emit('affine', [draft.parameter(shape), draft.parameter(channels)], {}),
    ),
    differentiableCase(`batchStatistics [${shape}]`, (draft) =>
      draft.builder.emitAll('batchStatistics', [draft.parameter(shape)], {}),
    ),
    differentiableCase(`batchStatistics [${shape}], mean only`, (draft) =>
      draft.builder.emitAll('batchStatistics', [draft.parameter(shape)], {}).slice(0, 1),
    ),
    differentiableCase(`batchStatistics [${shape}], variance only`, (draft) =>
      draft.builder.emitAll('batchStatistics', [draft.parameter(shape)], {}).slice(1),
    ),
    differentiableCase(`batch norm of [${shape}] in training`, (draft) =>
      trainingNorm(draft, draft.parameter(shape), draft.parameter(channels), draft.parameter(channels)),
    ),
  ];
});

const trainingCases: readonly Case[] = [
  differentiableCase('batch norm in training where a scale is exactly 0', (draft) => {
    const scale = draft.given([2], { shape: [2], data: Float64Array.of(0, 1.5) });
    return trainingNorm(draft, draft.parameter(['N', 2, 4, 5]), scale, draft.parameter([2]));
  }),
  differentiableCase(
    'batch norm in training where the mean is 1000 deviations',
    (draft) => {
      const x = draft.given(['N', 2, 4, 5], around([3, 2, 4, 5], 1000, 1));
      return trainingNorm(draft, x, draft.parameter([2]), draft.parameter([2]));
    },
    // Elements near 1000 are multiples of 6e-5 in float32.
    { precision: 1e-3 },
  ),
  differentiableCase(
    'batch norm in training where the deviation is far below epsilon',
    (draft) => {
      const x = draft.given(['N', 2, 4, 5], around([3, 2, 4, 5], 0, 1e-3));
      return trainingNorm(draft, x, draft.parameter([2]), draft.parameter([2]));
    },
    // Lowering rounds epsilon to float32.
    { exactness: 1e-7 },
  ),
  differentiableCase('two normalizations that share statistics', (draft) => {
    const x = draft.parameter(['N', 2, 4, 5]);
    const statistics = draft.builder.emitAll('batchStatistics', [x], {}) as [Value, Value];
    return [0, 1].map(() => normalizedBy(draft, x, statistics, draft.parameter([2]), draft.parameter([2])));
  }),
  differentiableCase('batch norm in training beside another reader', (draft) => {
    const x = draft.parameter(['N', 2, 4, 5]);
    return [trainingNorm(draft, x, draft.parameter([2]), draft.parameter([2])), draft.builder.emit('exp', [x], {})];
  }),
];

/** Batch norm as operators of our own compute it: of one part of x, or of two parts side by side. */
const fusedCases = ([[4], [2, 3]] as const).flatMap((widths) =>
  [true, false].map((relu) =>
    differentiableCase(`affineRelu of ${widths.length} parts${relu ? '' : ' without a ReLU'}`, (draft) => {
      const { builder } = draft;
      const parts = widths.map((width) => draft.parameter(['N', width, 3, 5]));
      const channels = widths.reduce<number>((sum, width) => sum + width, 0);
      const statistics = parts.map((x) => builder.emitAll('batchStatistics', [x], {}) as [Value, Value]);
      const sources = parts.map((x, part) =>
        builder.emit('normalizable', [x, ...(statistics[part] as [Value, Value])], { epsilon }),
      );
      const whole = (index: 0 | 1): Value =>
        builder.emit(
          'concat',
          statistics.map((pair) => pair[index]),
          { axis: 0 },
        );
      const [scale] = builder.emitAll('normalizer', [whole(1), draft.parameter([channels])], { epsilon }) as [
        Value,
        Value,
      ];
      return builder.emit('affineRelu', [scale, draft.parameter([channels]), whole(0), ...sources], { relu });
    }),
  ),
);

const dropoutCases = (
  [
    [['N', 2, 4, 5], 0.25],
    [['N', 7], 0.9],
  ] as const
).map(([shape, rate]) =>
  differentiableCase(`two dropouts of [${shape}] at rate ${rate}`, (draft) => {
    const scalars = [draft.integer('step', 3_000_000_123), draft.integer('seed', 12_345)];
    const drop = (x: Value, key: number): Value =>
      draft.builder.emit('mul', [x, draft.builder.emit('dropoutMask', scalars, { rate, key, shape })], {});
    const once = drop(draft.parameter(shape), 0);
    return [drop(once, 1), draft.builder.emit('mul', [once, constant(draft, [], 2)], {})];
  }),
);

export const normalizationCases: readonly Case[] = [
  ...normalizeCases,
  ...trainingCases,
  ...fusedCases,
  ...dropoutCases,
];
