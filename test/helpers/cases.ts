/** @file Every operator in small graphs: with a gradient, and those of forward and lowered graphs without one. */

import type { Shape } from '../../src/ir/index.js';
import { convolutionCases } from './cases/convolution.js';
import { type Case, differentiableCase } from './cases/draft.js';
import { operatorCases } from './cases/forward.js';
import { lossCases } from './cases/losses.js';
import { movementCases } from './cases/movement.js';
import { normalizationCases } from './cases/normalization.js';
import { orderCases } from './cases/order.js';
import { poolingCases } from './cases/pooling.js';
import type { Distribution } from './random.js';

export type { Case } from './cases/draft.js';

const broadcasts: readonly (readonly [Shape, Shape])[] = [
  [
    [2, 4],
    [2, 4],
  ],
  [
    ['N', 2],
    ['N', 2],
  ],
  [['N', 2], [2]],
  [[2], ['N', 2]],
  [
    ['N', 2],
    [1, 2],
  ],
  [
    ['N', 1],
    [1, 4],
  ],
  [
    [1, 4],
    ['N', 1],
  ],
  [['N', 1], [4]],
  [
    ['N', 1, 4],
    [2, 1],
  ],
  [
    [1, 1],
    ['N', 2],
  ],
  [[], ['N', 2]],
  [['N', 2], []],
  [[], []],
];

const binaryCases = (['add', 'sub', 'mul', 'div'] as const).flatMap((operator) => [
  ...broadcasts.map(([a, b]) =>
    differentiableCase(`${operator} [${a}] and [${b}]`, (draft) => {
      const left = draft.parameter(a);
      return draft.builder.emit(operator, [left, draft.parameter(b, 'away from zero')], {});
    }),
  ),
  differentiableCase(`${operator} of a value with itself`, (draft) => {
    const x = draft.parameter(['N', 2], 'away from zero');
    return draft.builder.emit(operator, [x, x], {});
  }),
]);

const unary: readonly (readonly ['neg' | 'exp' | 'log' | 'sqrt' | 'reciprocal' | 'relu', Distribution])[] = [
  ['neg', 'normal'],
  ['exp', 'normal'],
  ['log', 'positive'],
  ['sqrt', 'positive'],
  ['reciprocal', 'away from zero'],
  ['relu', 'away from zero'],
];

const unaryCases = unary.flatMap(([operator, distribution]) =>
  [['N', 5], [], [2, 3, 2]].map((shape) =>
    differentiableCase(`${operator} [${shape}]`, (draft) =>
      draft.builder.emit(operator, [draft.parameter(shape, distribution)], {}),
    ),
  ),
);

const reductions: readonly (readonly [Shape, readonly number[]])[] = [
  [['N', 4], [0]],
  [['N', 4], [1]],
  [['N', 4], [-1]],
  [
    ['N', 4],
    [0, 1],
  ],
  [
    ['N', 2, 4],
    [0, 2],
  ],
  [['N', 2, 4], [1]],
  [
    ['N', 2, 2, 4],
    [2, 3],
  ],
  [
    ['N', 2, 2, 4],
    [0, 2, 3],
  ],
  [
    [2, 4, 2],
    [2, 0],
  ],
];

const reductionCases = (['reduceSum', 'reduceMean'] as const).flatMap((operator) =>
  reductions.flatMap(([shape, axes]) =>
    [true, false].map((keepDims) =>
      differentiableCase(`${operator} [${shape}] over ${axes}${keepDims ? ', axes kept' : ''}`, (draft) =>
        draft.builder.emit(operator, [draft.parameter(shape)], { axes, keepDims }),
      ),
    ),
  ),
);

/** Products as the outer axes of a and b, and rows, inner extent and columns. */
const products: readonly (readonly [Shape, Shape, readonly [Shape[number], number, Shape[number]]])[] = [
  [[], [], [2, 4, 5]],
  [[], [], ['N', 4, 2]],
  [['N'], ['N'], [2, 4, 5]],
  [['N'], [], [2, 4, 5]],
  [[], ['N'], [2, 4, 5]],
  [['N'], [1], [2, 4, 5]],
  [['N', 1], [2], [2, 4, 1]],
];

const productCases = products.flatMap(([outerA, outerB, [rows, inner, columns]]) =>
  [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB) => {
      const a: Shape = [...outerA, ...(transposeA ? [inner, rows] : [rows, inner])];
      const b: Shape = [...outerB, ...(transposeB ? [columns, inner] : [inner, columns])];
      const mark = (transposed: boolean): string => (transposed ? 'ᵀ' : '');
      return differentiableCase(`matMul [${a}]${mark(transposeA)} and [${b}]${mark(transposeB)}`, (draft) =>
        draft.builder.emit('matMul', [draft.parameter(a), draft.parameter(b)], { transposeA, transposeB }),
      );
    }),
  ),
);

/** Cases with a result `loss` that depends on parameters through operators that have gradients. */
export const differentiableCases: readonly Case[] = [
  ...binaryCases,
  ...unaryCases,
  ...movementCases,
  ...reductionCases,
  ...productCases,
  ...convolutionCases,
  ...poolingCases,
  ...normalizationCases,
  ...lossCases,
];

/** Cases of operators without a gradient. */
export const forwardCases: readonly Case[] = [...operatorCases, ...orderCases];

/** Cases as rows of a table of tests. */
export function byName(cases: readonly Case[]): (readonly [string, Case])[] {
  return cases.map((entry) => [entry.name, entry]);
}
