/** @file Picks images at random, of each class in proportion. */

import { InternalError } from '../../ir/errors.js';
import { permutation } from './random.js';
import type { Labels } from './types.js';

/** How many images can be picked so that each class keeps one. */
export function mostPicked(labels: Labels): number {
  return labels.length - new Set(labels).size;
}

/**
 * Picks images at random, of each class in proportion to its size. Every class keeps at least one, unless more than
 * `mostPicked` are wanted.
 * @param count how many, at most all
 * @param seed of the random order
 * @returns the indices of both parts, ascending
 */
export function pickStratified(
  labels: Labels,
  count: number,
  seed: number,
): { readonly picked: Uint32Array; readonly rest: Uint32Array } {
  const order = permutation(labels.length, seed);
  // By the random order, so that of classes with equal claims none is preferred by its number.
  const sizes = new Map<number, number>();
  for (const index of order) sizes.set(labels[index] as number, (sizes.get(labels[index] as number) ?? 0) + 1);
  const left = shareOut([...sizes], count, labels.length);
  const picked = new Uint8Array(labels.length);
  for (const index of order) {
    const label = labels[index] as number;
    const wanted = left.get(label) ?? 0;
    if (wanted === 0) continue;
    picked[index] = 1;
    left.set(label, wanted - 1);
  }
  const all = Uint32Array.from({ length: labels.length }, (_, index) => index);
  return { picked: all.filter((index) => picked[index] === 1), rest: all.filter((index) => picked[index] === 0) };
}

/** How many of each class make `count`: its part of all, rounded so that the sum is right, and not its last one. */
function shareOut(sizes: readonly (readonly [number, number])[], count: number, total: number): Map<number, number> {
  const kept = count > total - sizes.length ? 0 : 1;
  const shares = sizes.map(([label, size]) => {
    const exact = (count * size) / total;
    const taken = Math.min(Math.floor(exact), size - kept);
    return { label, size, taken, claim: exact - taken };
  });
  let missing = count - shares.reduce((sum, { taken }) => sum + taken, 0);
  // Sorting keeps the order of equal claims. A second round is for what classes at their last image left.
  const byClaim = [...shares].sort((a, b) => b.claim - a.claim);
  while (missing > 0) {
    const before = missing;
    for (const share of byClaim) {
      if (missing === 0) break;
      if (share.taken >= share.size - kept) continue;
      share.taken++;
      missing--;
    }
    if (missing === before) throw new InternalError(`${count} images of ${total} can't be picked`);
  }
  return new Map(shares.map(({ label, taken }) => [label, taken]));
}
