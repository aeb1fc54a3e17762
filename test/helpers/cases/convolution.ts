/** @file Cases of convolution: kernels, strides, paddings and groups. */

import type { Pads, Pair } from '../../../src/ir/index.js';
import { type Case, differentiableCase } from './draft.js';

interface Spec {
  /** Extents of the image. */
  readonly size?: Pair;
  readonly channels?: number;
  readonly filters?: number;
  readonly kernel: Pair;
  readonly stride?: Pair;
  readonly pads?: Pads;
  readonly groups?: number;
  readonly bias?: boolean;
}

const all = (padding: number): Pads => [padding, padding, padding, padding];

const specs: readonly Spec[] = [
  { kernel: [1, 1] },
  { kernel: [1, 1], bias: true },
  { kernel: [1, 1], channels: 5, filters: 7, size: [2, 2] },
  { kernel: [1, 1], channels: 24, filters: 20, size: [1, 1] },
  { kernel: [1, 1], channels: 24, filters: 20, size: [2, 1] },
  { kernel: [1, 1], stride: [2, 2] },
  { kernel: [1, 1], stride: [2, 3], size: [5, 5] },
  { kernel: [1, 1], pads: all(1) },
  { kernel: [1, 1], pads: [0, 2, 1, 0], bias: true },
  { kernel: [2, 2] },
  { kernel: [2, 2], pads: all(1) },
  { kernel: [2, 2], stride: [2, 2] },
  { kernel: [2, 2], stride: [2, 2], size: [5, 7] },
  { kernel: [2, 2], pads: [0, 1, 1, 0] },
  { kernel: [3, 3] },
  { kernel: [3, 3], pads: all(1) },
  { kernel: [3, 3], pads: all(1), bias: true },
  { kernel: [3, 3], pads: all(1), channels: 4, filters: 2 },
  { kernel: [3, 3], pads: all(1), channels: 2, filters: 4 },
  { kernel: [3, 3], channels: 4, filters: 2 },
  { kernel: [3, 3], pads: [2, 0, 1, 1], channels: 4, filters: 2 },
  { kernel: [3, 3], pads: all(2) },
  { kernel: [3, 3], pads: all(2), channels: 4, filters: 2, bias: true },
  { kernel: [3, 3], pads: all(3) },
  { kernel: [3, 3], pads: all(3), channels: 4, filters: 2 },
  { kernel: [3, 3], stride: [2, 2], pads: all(1) },
  { kernel: [3, 3], stride: [2, 2], pads: all(1), size: [6, 5] },
  { kernel: [3, 3], stride: [2, 2], size: [6, 6], bias: true },
  { kernel: [3, 3], stride: [3, 2], pads: all(1), size: [6, 6] },
  { kernel: [3, 3], stride: [1, 2], pads: all(1), size: [4, 5] },
  { kernel: [3, 3], stride: [2, 1], pads: [1, 0, 0, 2], size: [5, 4], channels: 4, filters: 2 },
  { kernel: [3, 3], stride: [3, 3], pads: [0, 1, 2, 1], size: [7, 8] },
  { kernel: [3, 3], stride: [2, 2], pads: all(3), size: [4, 4] },
  { kernel: [5, 5], pads: all(2), size: [5, 6] },
  { kernel: [5, 5], pads: all(1), size: [5, 6] },
  { kernel: [5, 5], stride: [2, 2], pads: all(2), size: [7, 6] },
  { kernel: [3, 1], pads: [1, 0, 1, 0] },
  { kernel: [1, 3] },
  { kernel: [2, 5], pads: [1, 2, 0, 2], size: [3, 5], channels: 4, filters: 2 },
  { kernel: [5, 2], stride: [3, 2], pads: [2, 0, 2, 1], size: [8, 5] },
  { kernel: [4, 4], size: [4, 4] },
  { kernel: [3, 3], pads: all(1), size: [1, 1] },
  { kernel: [1, 1], channels: 4, filters: 4, groups: 2 },
  { kernel: [3, 3], pads: all(1), channels: 4, filters: 4, groups: 2 },
  { kernel: [3, 3], pads: all(1), channels: 4, filters: 2, groups: 2, bias: true },
  { kernel: [3, 3], pads: all(1), channels: 6, filters: 9, groups: 3 },
  { kernel: [3, 3], stride: [2, 2], pads: all(1), channels: 4, filters: 6, groups: 2, size: [5, 6] },
  { kernel: [3, 3], pads: all(1), channels: 4, filters: 4, groups: 4 },
  { kernel: [3, 3], pads: all(1), channels: 3, filters: 6, groups: 3, bias: true },
  { kernel: [2, 3], stride: [2, 1], pads: [0, 1, 1, 1], channels: 4, filters: 4, groups: 4, size: [5, 4] },
  { kernel: [3, 3], pads: all(3), channels: 4, filters: 4, groups: 2 },
];

function describe({ size, channels, filters, kernel, stride, pads, groups, bias }: Required<Spec>): string {
  const parts = [
    `conv2d ${kernel.join('×')}`,
    `of ${channels} to ${filters} channels`,
    `over ${size.join('×')}`,
    stride.some((step) => step !== 1) && `stride ${stride.join('×')}`,
    pads.some((pad) => pad !== 0) && `padding ${pads}`,
    groups > 1 && `${groups} groups`,
    bias && 'bias',
  ];
  return parts.filter(Boolean).join(', ');
}

export const convolutionCases: readonly Case[] = [
  ...specs.map((given) => {
    const spec: Required<Spec> = {
      size: [4, 5],
      channels: 2,
      filters: 3,
      stride: [1, 1],
      pads: all(0),
      groups: 1,
      bias: false,
      ...given,
    };
    const { size, channels, filters, kernel, stride, pads, groups, bias } = spec;
    return differentiableCase(describe(spec), (draft) => {
      const operands = [
        draft.parameter(['N', channels, ...size]),
        draft.parameter([filters, channels / groups, ...kernel]),
        ...(bias ? [draft.parameter([filters])] : []),
      ];
      return draft.builder.emit('conv2d', operands, { stride, pads, groups });
    });
  }),
  ...(
    [
      [[1, 1], all(0), 1],
      [[3, 3], all(1), 2],
    ] as const
  ).map(([kernel, pads, groups]) =>
    differentiableCase(`conv2dAdd ${kernel.join('×')}, ${groups} groups`, (draft) => {
      const operands = [
        [4, 4, 5],
        [2, 4, 5],
      ].map((shape) => draft.parameter(['N', ...shape]));
      const weight = draft.parameter([4, 2 / groups, ...kernel]);
      return draft.builder.emit('conv2dAdd', [...operands, weight], { stride: [1, 1], pads, groups });
    }),
  ),
  differentiableCase('conv2d twice with the same weight', (draft) => {
    const weight = draft.parameter([2, 2, 3, 3]);
    const attributes = { stride: [1, 1], pads: all(1), groups: 1 } as const;
    const once = draft.builder.emit('conv2d', [draft.parameter(['N', 2, 3, 4]), weight], attributes);
    return draft.builder.emit('conv2d', [once, weight], attributes);
  }),
];
