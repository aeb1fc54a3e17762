/** @file Random numbers of data: pure functions of seed, epoch and image, so the same in every thread and order. */

import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Region } from './image-file.js';

/** Keeps the uses of one seed apart. */
export const purpose = { order: 1, validation: 2, augmentation: 3, test: 4, color: 5 } as const;

/** Black pixels around an image from which a crop of the old size is taken. */
const cropBorder = 4;

/** Whether the image whose random bits these are is flipped. */
export function randomFlip(random: number): boolean {
  return (random & 1) === 1;
}

/** Where a crop begins, relative to the image. */
export function randomShift(random: number): { dx: number; dy: number } {
  const offsets = 2 * cropBorder + 1;
  const position = (random >>> 1) % (offsets * offsets);
  return { dx: (position % offsets) - cropBorder, dy: Math.floor(position / offsets) - cropBorder };
}

/** Shares of an image's area, and ratios of width to height, that a crop for training may have. */
const [areaRange, ratioRange] = [
  [0.08, 1],
  [3 / 4, 4 / 3],
] as const;

/** Draws of a crop before the middle of the image is taken instead. */
const attempts = 10;

/**
 * A random part of an image, as torchvision's RandomResizedCrop takes it.
 * @param random the image's random bits
 * @param aspect width by height of what the part is scaled to: the part has that shape, more or less
 */
export function randomRegion(random: number, width: number, height: number, aspect = 1): Region {
  const generator = xoroshiro128plus(random);
  const uniform = (from: number, to: number): number =>
    from + ((to - from) * uniformInt(generator, 0, 2 ** 30 - 1)) / 2 ** 30;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const area = uniform(...areaRange) * width * height;
    const ratio = aspect * Math.exp(uniform(Math.log(ratioRange[0]), Math.log(ratioRange[1])));
    const [w, h] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (w > 0 && h > 0 && w <= width && h <= height) {
      const [left, top] = [uniformInt(generator, 0, width - w), uniformInt(generator, 0, height - h)];
      return { left, top, width: w, height: h };
    }
  }
  const w = Math.max(1, Math.min(width, Math.round(height * aspect * ratioRange[1])));
  const h = Math.max(1, Math.min(height, Math.round(width / (aspect * ratioRange[0]))));
  return { left: (width - w) >> 1, top: (height - h) >> 1, width: w, height: h };
}

/** MurmurHash3 of whole numbers, each as two words of 32 bits: neighbouring inputs give unrelated numbers. */
export function hash(...numbers: readonly number[]): number {
  let state = 0;
  for (const number of numbers) {
    state = mixWord(mixWord(state, number), Math.floor(number / 2 ** 32));
  }
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}

function mixWord(state: number, word: number): number {
  const scrambled = Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
  return (Math.imul(rotate(state ^ scrambled, 13), 5) + 0xe6546b64) | 0;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The numbers below `count` in a random order (Fisher–Yates). */
export function permutation(count: number, seed: number): Uint32Array {
  const random = xoroshiro128plus(seed);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = uniformInt(random, 0, last);
    const swapped = order[last] as number;
    order[last] = order[other] as number;
    order[other] = swapped;
  }
  return order;
}
