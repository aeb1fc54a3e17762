/** @file Cases of `after`: whatever is made to wait for whatever, its elements stay as they are. */

import type { Shape, Value } from '../../../src/ir/index.js';
import { type Case, type Draft, forwardCase } from './draft.js';

/** A signal as a backward pass computes them, not an input. */
const signal = (draft: Draft, shape: Shape): Value => draft.builder.emit('neg', [draft.parameter(shape)], {});

const labels = (draft: Draft): Value => draft.builder.emit('neg', [toFloat(draft, draft.labels(4))], {});

const toFloat = ({ builder }: Draft, value: Value): Value => builder.emit('cast', [value], { to: 'float32' });

/** What waits, and what for. */
const waits: readonly (readonly [Shape, readonly Shape[]])[] = [
  // Batches.
  [['N', 2, 4, 4], [['N', 3, 2, 2]]],
  [['N', 2, 4, 4], [['N', 2, 4, 4]]],
  [['N', 2, 4, 4], [[4, 2, 3, 3]]],
  [
    ['N', 2, 4, 4],
    [['N', 2], [4], [2, 3], ['N']],
  ],
  [['N', 2, 4, 4], [['4*N']]],
  [['N'], [['N', 2]]],
  [['4*N'], [['N', 2]]],
  [[2, 'N'], [[3]]],
  // Small static tensors, which are copied.
  [[4], [['N', 2]]],
  [[4], [[4]]],
  [[], [['N', 2]]],
  [
    [2, 3],
    [[4, 2, 1, 1], ['N', 2], [3]],
  ],
  // Static tensors that are too large to copy.
  [[70_000], [['N', 2]]],
  [
    [300, 300],
    [[4], [5]],
  ],
];

const shown = (shape: Shape): string => `[${shape}]`;

export const orderCases: readonly Case[] = [
  ...waits.map(([shape, signals]) =>
    forwardCase(`after: ${shown(shape)} waits for ${signals.map(shown).join(' ')}`, (draft) => {
      const x = draft.builder.emit('relu', [draft.parameter(shape)], {});
      const waiting = draft.builder.emit('after', [x, ...signals.map((other) => signal(draft, other))], {});
      return [waiting];
    }),
  ),
  forwardCase('after: an input that is a result, twice over', (draft) => {
    const x = draft.parameter(['N', 2, 3]);
    const once = draft.builder.emit('after', [x, labels(draft)], {});
    return [once, draft.builder.emit('after', [once, signal(draft, [3])], {})];
  }),
  forwardCase('after: integers', (draft) => {
    const step = draft.integer('step', 7);
    return [draft.builder.emit('after', [step, signal(draft, ['N', 2])], {})];
  }),
  forwardCase('after: next to reshapes', (draft) => {
    const { builder } = draft;
    const rows = builder.emit('reshape', [draft.parameter(['N', 2, 4])], { shape: ['N', 8] });
    const waiting = builder.emit('after', [rows, signal(draft, [3, 2])], {});
    return [builder.emit('reshape', [waiting], { shape: ['N', 4, 2] })];
  }),
];
