/** @file Cases of pooling: windows that tile, overlap, leave a rest and reach into the padding. */

import type { Pair, Window } from '../../../src/ir/index.js';
import { type Case, differentiableCase } from './draft.js';

const none = [0, 0, 0, 0] as const;

const windows: readonly (readonly [Pair, Window])[] = [
  [[4, 6], { kernel: [2, 2], stride: [2, 2], pads: none }],
  [[5, 7], { kernel: [2, 2], stride: [2, 2], pads: none }],
  [[4, 5], { kernel: [2, 2], stride: [1, 1], pads: none }],
  [[4, 6], { kernel: [4, 2], stride: [4, 2], pads: none }],
  [[4, 4], { kernel: [1, 1], stride: [1, 1], pads: none }],
  [[4, 4], { kernel: [1, 1], stride: [2, 2], pads: none }],
  [[6, 6], { kernel: [3, 3], stride: [3, 3], pads: none }],
  [[5, 5], { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] }],
  [[6, 6], { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] }],
  [[4, 5], { kernel: [3, 3], stride: [1, 1], pads: [1, 1, 1, 1] }],
  [[4, 5], { kernel: [3, 2], stride: [1, 2], pads: [1, 0, 1, 0] }],
  [[5, 4], { kernel: [2, 2], stride: [2, 2], pads: [1, 0, 0, 1] }],
  [[6, 7], { kernel: [2, 2], stride: [3, 3], pads: none }],
  [[4, 4], { kernel: [2, 2], stride: [2, 2], pads: [1, 1, 1, 1] }],
  [[5, 3], { kernel: [5, 3], stride: [1, 1], pads: none }],
];

/** A share such as 1/9 is a float32 constant in the lowered graph. */
const rounded = { exactness: 1e-7 };

export const poolingCases: readonly Case[] = (['maxPool2d', 'averagePool2d'] as const).flatMap((operator) =>
  windows.map(([size, window]) => {
    const { kernel, stride, pads } = window;
    const details = `${kernel.join('×')} over ${size.join('×')}, stride ${stride.join('×')}, padding ${pads}`;
    return differentiableCase(
      `${operator} ${details}`,
      (draft) => {
        const x = draft.parameter(['N', 2, ...size], 'distinct');
        return draft.builder.emitAll(operator, [x], window).slice(0, 1);
      },
      operator === 'averagePool2d' ? rounded : {},
    );
  }),
);
