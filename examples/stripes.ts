/** @file Data for the examples: grey images of stripes, told apart by their direction. */

import { arrayDataset, type Dataset, type LabelledImages } from 'densec';

/** Height and width of the images, in pixels. */
const size = 8;

/** Directions by label: whether the stripe that a pixel is on is told by x, y, their sum or their difference. */
const directions = [
  (x: number) => x,
  (_: number, y: number) => y,
  (x: number, y: number) => x + y,
  (x: number, y: number) => x - y,
];

/**
 * Noisy stripes, `count` images of each direction to train on and a quarter as many to test with.
 * @param labels which directions
 */
export function stripes(labels: readonly number[], count: number): Dataset {
  const random = noise(1);
  const draw = (images: number): LabelledImages => {
    const chosen = Array.from({ length: images * labels.length }, (_, index) => index % labels.length);
    const pixels = chosen.flatMap((choice) => image(directions[labels[choice] ?? 0] ?? directions[0], random));
    return { images: Uint8Array.from(pixels), labels: chosen };
  };
  const [train, test] = [draw(count), draw(Math.ceil(count / 4))];
  return arrayDataset({ name: `stripes ${labels.join(', ')}`, channels: 1, imageSize: size, train, test });
}

function image(direction = directions[0], random: () => number): number[] {
  const phase = Math.floor(4 * random());
  return Array.from({ length: size * size }, (_, index) => {
    const stripe = (direction?.(index % size, Math.floor(index / size)) ?? 0) + phase;
    return ((stripe + 16) % 4 < 2 ? 200 : 40) + 40 * random();
  });
}

/** Numbers in [0, 1), the same every time (a linear congruential generator). */
export function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
