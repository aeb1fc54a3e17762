/** @file The check of the arena: what it handed out is held against the plan. */

import { expect, it } from 'vitest';
import { checkArena } from '../../../src/runtime/verify/memory.js';
import type { Observed, Planned } from '../../../src/runtime/verify/observed.js';

const planned = { record: { livePeak: [{ fixed: 0, perSample: 1e7 }] } } as unknown as Planned;
const observed = (peakBytes: number | null) =>
  ({ batchSize: 10, arena: peakBytes === null ? null : { peakBytes, reservedBytes: 1e9 } }) as unknown as Observed;

it.each<[number | null, boolean, RegExp]>([
  [90e6, true, /^90,000,000 bytes handed out by the arena at the peak, 100,000,000 planned$/],
  [126e6, true, /planned$/],
  [128e6, true, /large chunks were handed out for smaller tensors$/],
  [213e6, false, /which allows 212,000,000$/],
  [null, true, /^not asked/],
])('%s bytes for a plan of 100 MB', (bytes, ok, detail) => {
  expect(checkArena(planned, observed(bytes))).toEqual({ ok, detail: expect.stringMatching(detail) });
});
