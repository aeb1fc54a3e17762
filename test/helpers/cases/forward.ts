/** @file Cases of operators without a gradient: those of results, of backward passes and of lowered graphs. */

import { floatTensor, int64Tensor, type Pads, type Pair, type Value } from '../../../src/ir/index.js';
import { type Case, type Draft, forwardCase } from './draft.js';

const constant = (draft: Draft, ...values: readonly number[]): Value =>
  draft.builder.constant(floatTensor([values.length], values));

const toFloat = ({ builder }: Draft, value: Value): Value => builder.emit('cast', [value], { to: 'float32' });

const windows: readonly (readonly [Pair, Pair, Pads])[] = [
  [
    [3, 3],
    [1, 1],
    [1, 1, 1, 1],
  ],
  [
    [2, 3],
    [2, 1],
    [0, 2, 1, 0],
  ],
  [
    [1, 1],
    [2, 2],
    [0, 0, 0, 0],
  ],
  [
    [2, 2],
    [2, 2],
    [0, 0, 0, 0],
  ],
];

/** Cases of operators without a gradient, but for those that order others. */
export const operatorCases: readonly Case[] = [
  forwardCase('comparisons', (draft) => {
    const operands = [constant(draft, 1, 2, 3, 4), constant(draft, 1, 3, 2, 4)];
    return (['equal', 'greater'] as const).map((operator) =>
      toFloat(draft, draft.builder.emit(operator, operands, {})),
    );
  }),
  forwardCase('hardSigmoid', (draft) => {
    const x = constant(draft, -3, -1, 0, 0.5, 1, 3);
    return [
      draft.builder.emit('hardSigmoid', [x], { alpha: 0.25, beta: 0.5 }),
      draft.builder.emit('hardSigmoid', [x], { alpha: 1e38, beta: 0 }),
    ];
  }),
  forwardCase('clip', (draft) => {
    const x = constant(draft, -3, -0.5, 0, 0.5, 0.75, 3);
    return [draft.builder.emit('clip', [x, draft.builder.scalar(-0.5), draft.builder.scalar(0.75)], {})];
  }),
  forwardCase('where', (draft) => {
    const [a, b] = [constant(draft, 1, 2, 3), constant(draft, 9)];
    const condition = draft.builder.emit('greater', [constant(draft, 1, -1, 2), draft.builder.scalar(0)], {});
    return [draft.builder.emit('where', [condition, a, b], {}), draft.builder.emit('where', [condition, b, a], {})];
  }),
  forwardCase('casts and integer arithmetic', (draft) => {
    const { builder } = draft;
    const big = builder.constant({ dtype: 'uint32', shape: [2], data: Uint32Array.of(4_000_000_000, 7) });
    const small = builder.constant({ dtype: 'uint32', shape: [2], data: Uint32Array.of(3, 2) });
    const wrapped = (['add', 'sub', 'mul', 'div'] as const).map((operator) => builder.emit(operator, [big, small], {}));
    const fromInt64 = builder.emit('cast', [builder.constant(int64Tensor([2], [-1, 5_000_000_000]))], { to: 'uint32' });
    return [...wrapped, fromInt64].map((value) => builder.emit('cast', [value], { to: 'int64' }));
  }),
  forwardCase('reduceMax and argMax', (draft) => {
    const x = draft.parameter(['N', 4, 2], 'distinct');
    const positions = [1, 2].map((axis) => draft.builder.emit('argMax', [x], { axis }));
    return [
      ...positions,
      draft.builder.emit('reduceMax', [x], { axes: [1], keepDims: true }),
      draft.builder.emit('reduceMax', [x], { axes: [0, 2], keepDims: false }),
    ];
  }),
  forwardCase('countErrors', (draft) => [
    draft.builder.emit('countErrors', [draft.parameter(['N', 4]), draft.labels(4)], {}),
  ]),
  forwardCase('sizes', (draft) => {
    const { builder } = draft;
    const samples = draft.parameter(['N', 4, 2]);
    const count = builder.emit('shape', [samples], { start: 0, end: 1 });
    return [
      builder.emit('shape', [samples], { start: 1, end: 3 }),
      builder.emit('range', [builder.emit('reshape', [count], { shape: [] })], {}),
      builder.emit('sizeOf', [], { shape: ['N', 4] }),
      builder.emit('sizeOf', [], { shape: ['4*N'] }),
      builder.emit('sizeOf', [], { shape: ['N'] }),
      builder.emit('sizeOf', [], { shape: [2, 5] }),
    ];
  }),
  forwardCase('an expansion over the batch alone', (draft) => [
    draft.builder.emit('expand', [draft.parameter([1, 4])], { shape: ['N', 4] }),
  ]),
  forwardCase('slice in steps', (draft) => [
    draft.builder.emit('slice', [draft.parameter(['N', 7, 5])], {
      axes: [1, 2],
      starts: [1, 0],
      ends: [7, 5],
      steps: [3, 2],
    }),
  ]),
  forwardCase('scatterAdd with an index twice', (draft) => {
    const indices = draft.builder.constant(int64Tensor([4], [2, 0, 2, 4]));
    return [draft.builder.emit('scatterAdd', [draft.parameter([5]), draft.parameter([4]), indices], {})];
  }),
  ...windows.map(([kernel, stride, pads]) =>
    forwardCase(`im2col ${kernel.join('×')}, stride ${stride.join('×')}, padding ${pads}`, (draft) => [
      draft.builder.emit('im2col', [draft.parameter(['N', 2, 4, 5])], { kernel, stride, pads }),
    ]),
  ),
  ...windows.map(([kernel, stride, pads]) =>
    forwardCase(
      `im2col from the last tap ${kernel.join('×')}, stride ${stride.join('×')}, padding ${pads}`,
      (draft) => [
        draft.builder.emit('im2col', [draft.parameter(['N', 2, 4, 5])], { kernel, stride, pads, mirrored: true }),
      ],
    ),
  ),
  ...[false, true].flatMap((bias) =>
    [false, true].flatMap((adds) =>
      [false, true].map((relu) =>
        forwardCase(`fusedConv2d${bias ? ', bias' : ''}${adds ? ', sum' : ''}${relu ? ', ReLU' : ''}`, (draft) => {
          const attributes = { stride: [1, 1], pads: [1, 1, 1, 1], groups: 1, adds, relu } as const;
          const operands = [draft.parameter(['N', 2, 4, 5]), draft.parameter([3, 2, 3, 3])];
          if (bias) operands.push(draft.parameter([3]));
          if (adds) operands.push(draft.parameter(['N', 3, 4, 5]));
          return [draft.builder.emit('fusedConv2d', operands, attributes)];
        }),
      ),
    ),
  ),
  forwardCase('statistics and normalization', (draft) => {
    const x = draft.parameter(['N', 2, 4, 5]);
    const [mean, variance] = draft.builder.emitAll('batchStatistics', [x], {}) as [Value, Value];
    const maps = draft.builder.emitAll('normalizer', [variance, draft.parameter([2])], { epsilon: 0.125 });
    const normalized = draft.builder.emit(
      'normalize',
      [x, mean, variance, draft.parameter([2]), draft.parameter([2])],
      { epsilon: 0.125 },
    );
    const same = draft.builder.emit('center', [x, mean, variance], { epsilon: 0.125 });
    return [mean, variance, ...maps, normalized, draft.builder.emit('exp', [same], {})];
  }),
  ...[['N', 2, 4, 5] as const, ['N', 3] as const].map((shape) =>
    forwardCase(`channelSums [${shape}]`, (draft) =>
      draft.builder.emitAll('channelSums', [draft.parameter(shape), draft.parameter(shape)], {}),
    ),
  ),
  forwardCase('convTranspose2d with output padding', (draft) => [
    draft.builder.emit('convTranspose2d', [draft.parameter(['N', 4, 2, 2]), draft.parameter([4, 3, 3, 2])], {
      stride: [2, 3],
      pads: [1, 0, 1, 1],
      groups: 2,
      outputPadding: [1, 2],
    }),
  ]),
  forwardCase('maxPool2dGrad alone', (draft) => {
    const window = { kernel: [2, 2], stride: [1, 1], pads: [0, 0, 0, 0] } as const;
    const x = draft.parameter(['N', 2, 4, 4], 'distinct');
    const [, indices] = draft.builder.emitAll('maxPool2d', [x], window) as [Value, Value];
    const gradient = draft.parameter(['N', 2, 3, 3]);
    return [draft.builder.emit('maxPool2dGrad', [gradient, indices], { inputShape: x.type.shape })];
  }),
];
