/** @file Cases of the operators that move elements. */

import type { Shape } from '../../../src/ir/index.js';
import { type Case, differentiableCase } from './draft.js';

const expansions: readonly (readonly [Shape, Shape])[] = [
  [
    [1, 4],
    ['N', 4],
  ],
  [[4], ['N', 4]],
  [
    ['N', 1],
    ['N', 4],
  ],
  [
    [2, 1],
    [2, 4],
  ],
  [[], [2, 4]],
  [[], ['N']],
  [[1], ['4*N']],
  [
    ['N', 1, 2],
    ['N', 4, 2],
  ],
  [
    [2, 1],
    ['N', 2, 4],
  ],
];

const reshapes: readonly (readonly [Shape, Shape])[] = [
  [
    [2, 6],
    [4, 3],
  ],
  [
    ['N', 2, 4],
    ['N', 8],
  ],
  [
    ['N', 8],
    ['N', 2, 4],
  ],
  [['N', 4], ['4*N']],
  [['4*N'], ['N', 2, 2]],
  [
    [2, 'N'],
    ['N', 2],
  ],
  [
    [4, 'N'],
    [2, 2, 'N'],
  ],
  [['N'], ['N', 1]],
  [[1, 1], []],
];

const permutations: readonly (readonly [Shape, readonly number[]])[] = [
  [
    ['N', 4],
    [1, 0],
  ],
  [
    [2, 4, 5],
    [2, 0, 1],
  ],
  [
    ['N', 2, 4, 5],
    [0, 2, 3, 1],
  ],
  [
    ['N', 2, 4, 5],
    [3, 1, 0, 2],
  ],
  [
    ['N', 2],
    [0, 1],
  ],
];

const concats: readonly (readonly [readonly Shape[], number])[] = [
  [[[2], [4], [1]], 0],
  [
    [
      ['N', 2],
      ['N', 4],
    ],
    1,
  ],
  [
    [
      ['N', 2, 4],
      ['N', 2, 1],
      ['N', 2, 2],
    ],
    2,
  ],
  [
    [
      ['N', 2, 2, 2],
      ['N', 1, 2, 2],
    ],
    1,
  ],
  [[['N', 2]], 1],
];

/** Splits of a shape along an axis, and which parts the loss uses. */
const splits: readonly (readonly [Shape, number, readonly number[], readonly number[]])[] = [
  [['N', 6], 1, [2, 3, 1], [0, 1, 2]],
  [['N', 6], 1, [2, 3, 1], [0, 2]],
  [['N', 6], 1, [2, 4], [0]],
  [[6, 2], 0, [5, 1], [0, 1]],
  [['N', 2, 4], 2, [1, 3], [1]],
  [[12], 0, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2], [0, 1, 2, 3, 5, 6, 8, 9]],
];

/** Slices: shape, axes, starts, ends. */
const slices: readonly (readonly [Shape, readonly number[], readonly number[], readonly number[]])[] = [
  [['N', 6], [1], [0], [4]],
  [['N', 6], [1], [2], [6]],
  [['N', 6], [1], [2], [3]],
  [
    ['N', 4, 5],
    [2, 1],
    [1, 0],
    [4, 3],
  ],
  [[5, 2], [0], [1], [4]],
];

const reversals: readonly (readonly [Shape, readonly number[]])[] = [
  [[4], [0]],
  [['N', 2, 4], [1]],
  [
    ['N', 2, 4],
    [2, 1],
  ],
  [
    [2, 2, 2, 5],
    [2, 3],
  ],
];

const paddings: readonly (readonly [Shape, readonly number[]])[] = [
  [
    ['N', 4],
    [0, 1, 0, 2],
  ],
  [
    [2, 4],
    [1, 0, 0, 0],
  ],
  [
    ['N', 2, 2, 4],
    [0, 0, 1, 2, 0, 0, 0, 3],
  ],
];

export const movementCases: readonly Case[] = [
  ...expansions.map(([from, shape]) =>
    differentiableCase(`expand [${from}] to [${shape}]`, (draft) =>
      draft.builder.emit('expand', [draft.parameter(from)], { shape }),
    ),
  ),
  differentiableCase('expand of a product with an expanded factor', (draft) => {
    const { builder } = draft;
    const factor = builder.emit('expand', [draft.parameter([1, 1])], { shape: [1, 4] });
    const product = builder.emit('mul', [factor, draft.parameter([1, 4])], {});
    const rows = builder.emit('expand', [product], { shape: ['N', 4] });
    return builder.emit('add', [draft.parameter(['N', 4]), rows], {});
  }),
  ...reshapes.map(([from, shape]) =>
    differentiableCase(`reshape [${from}] to [${shape}]`, (draft) =>
      draft.builder.emit('reshape', [draft.parameter(from)], { shape }),
    ),
  ),
  ...permutations.map(([shape, permutation]) =>
    differentiableCase(`transpose [${shape}] by ${permutation}`, (draft) =>
      draft.builder.emit('transpose', [draft.parameter(shape)], { permutation }),
    ),
  ),
  ...concats.map(([shapes, axis]) =>
    differentiableCase(`concat ${shapes.map((shape) => `[${shape}]`).join(' ')} along ${axis}`, (draft) =>
      draft.builder.emit(
        'concat',
        shapes.map((shape) => draft.parameter(shape)),
        { axis },
      ),
    ),
  ),
  differentiableCase('concat of a value with itself', (draft) => {
    const x = draft.parameter(['N', 2]);
    return draft.builder.emit('concat', [x, draft.parameter(['N', 1]), x], { axis: 1 });
  }),
  ...splits.map(([shape, axis, sizes, used]) =>
    differentiableCase(`split [${shape}] along ${axis} into ${sizes}, of which ${used} are used`, (draft) => {
      const parts = draft.builder.emitAll('split', [draft.parameter(shape)], { axis, sizes });
      return parts.filter((_, part) => used.includes(part));
    }),
  ),
  ...slices.map(([shape, axes, starts, ends]) =>
    differentiableCase(`slice [${shape}] from ${starts} to ${ends} along ${axes}`, (draft) =>
      draft.builder.emit('slice', [draft.parameter(shape)], { axes, starts, ends, steps: axes.map(() => 1) }),
    ),
  ),
  ...reversals.map(([shape, axes]) =>
    differentiableCase(`reverse [${shape}] along ${axes}`, (draft) =>
      draft.builder.emit('reverse', [draft.parameter(shape)], { axes }),
    ),
  ),
  ...paddings.map(([shape, pads]) =>
    differentiableCase(`pad [${shape}] by ${pads}`, (draft) =>
      draft.builder.emit('pad', [draft.parameter(shape)], { pads }),
    ),
  ),
];
