/** @file Orders, validation sets, and the tensors of a batch. */

import { expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { checkLabels, epochOrder, makeBatch, splitValidation } from '../../../src/runtime/data/batches.js';
import type { Dataset, PixelSplit } from '../../../src/runtime/data/dataset.js';
import { someBytes } from './files.js';

const side = 6;

type MemoryDataset = Dataset & { readonly train: PixelSplit };

function makeDataset(augmentation: Dataset['augmentation'], storedChannels = 3, channels = 3): MemoryDataset {
  const count = 200;
  const train: PixelSplit = {
    count,
    storedChannels,
    images: someBytes(count * storedChannels * side * side),
    labels: Uint8Array.from({ length: count }, (_, index) => index % 7),
  };
  const normalization = { mean: [0.5, 0.25, 0.1].slice(0, channels), std: [0.5, 0.2, 2].slice(0, channels) };
  return { name: 'test', classes: 7, channels, imageSize: side, train, test: train, normalization, augmentation };
}

/** The value of a pixel of the stored image, black outside of it, normalized. */
function pixel(data: MemoryDataset, index: number, channel: number, y: number, x: number): number {
  const inside = y >= 0 && y < side && x >= 0 && x < side;
  const stored = index * data.train.storedChannels + (data.train.storedChannels === 1 ? 0 : channel);
  const byte = inside ? (data.train.images[(stored * side + y) * side + x] as number) : 0;
  return Math.fround(
    (byte / 255 - (data.normalization.mean[channel] as number)) / (data.normalization.std[channel] as number),
  );
}

/** An image as a batch shows it when shifted by (dy, dx) and perhaps flipped. */
function view(data: MemoryDataset, index: number, dy: number, dx: number, flip: boolean): Float32Array {
  return Float32Array.from({ length: data.channels * side * side }, (_, at) => {
    const [channel, y, x] = [Math.floor(at / side ** 2), Math.floor(at / side) % side, at % side];
    return pixel(data, index, channel, y + dy, (flip ? side - 1 - x : x) + dx);
  });
}

/** All views that the augmentation may show, by name. */
function allViews(data: MemoryDataset, index: number): Map<string, Float32Array> {
  const shifts = Array.from({ length: 9 }, (_, offset) => offset - 4);
  return new Map(
    [false, true].flatMap((flip) =>
      shifts.flatMap((dy) =>
        shifts.map((dx) => [`${dy} ${dx} ${flip}`, view(data, index, dy, dx, flip)] as [string, Float32Array]),
      ),
    ),
  );
}

function imagesOf(data: MemoryDataset, indices: number[], augment?: { seed: number; epoch: number }): Float32Array[] {
  const { images } = makeBatch(data, data.train, indices, { augment });
  const bytes = data.channels * side * side;
  return indices.map((_, entry) => images.data.slice(entry * bytes, (entry + 1) * bytes));
}

test('an order is a permutation that depends on seed and epoch', () => {
  const order = epochOrder(1000, 1, 2);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
  expect(epochOrder(1000, 1, 2)).toEqual(order);
  for (const [seed, epoch] of [
    [1, 3],
    [2, 2],
    [2, 1],
    [1 + 2 ** 32, 2],
    [-1, 2],
  ] as const) {
    expect(epochOrder(1000, seed, epoch)).not.toEqual(order);
  }
  expect([...epochOrder(8, 0, 0)]).toMatchInlineSnapshot(`
    [
      7,
      4,
      2,
      1,
      3,
      0,
      6,
      5,
    ]
  `);
  expect([...epochOrder(1, 0, 0), ...epochOrder(0, 0, 0)]).toEqual([0]);
});

test('every image comes first about equally often', () => {
  const first = new Array<number>(5).fill(0);
  for (let epoch = 0; epoch < 5000; epoch++) {
    const index = epochOrder(5, 7, epoch)[0] as number;
    first[index] = (first[index] ?? 0) + 1;
  }
  // Five standard deviations around 1000.
  expect(Math.min(...first)).toBeGreaterThan(860);
  expect(Math.max(...first)).toBeLessThan(1140);
});

test('a validation set is held out', () => {
  const { train } = makeDataset('none');
  const parts = splitValidation(train, 50, 3);
  expect([parts.train.length, parts.validation.length]).toEqual([150, 50]);
  expect(new Set([...parts.train, ...parts.validation]).size).toBe(200);
  expect(parts.validation).toEqual(parts.validation.slice().sort());
  expect(splitValidation(train, 50, 3)).toEqual(parts);
  expect(splitValidation(train, 50, 4)).not.toEqual(parts);
  expect(splitValidation(train, 0, 3).validation).toHaveLength(0);
});

test('of each class in proportion, and never its last image', () => {
  const sizes = [60, 30, 7, 1, 2];
  const labels = Uint8Array.from(sizes.flatMap((size, label) => new Array<number>(size).fill(label)));
  for (const seed of [0, 1, 2]) {
    const { train, validation } = splitValidation({ labels }, 20, seed);
    const held = sizes.map((_, label) => validation.filter((index) => labels[index] === label).length);
    expect([train.length, validation.length]).toEqual([80, 20]);
    expect(held.slice(0, 2)).toEqual([12, 6]);
    expect(held[2]).toBeGreaterThanOrEqual(1);
    expect(held[3]).toBe(0);
    expect(held[4]).toBeLessThanOrEqual(1);
  }
  const most = splitValidation({ labels }, 95, 0);
  expect(new Set([...most.train].map((index) => labels[index])).size).toBe(5);
  expect(splitValidation({ labels }, 99, 0).train).toHaveLength(1);
});

test('what runs held out that began before goes on', () => {
  const { validation } = splitValidation(makeDataset('none').train, 8, 3, 'random');
  expect([...validation]).toEqual([29, 59, 67, 117, 118, 133, 166, 173]);
});

test.each([200, 201, -1, 0.5, Number.NaN])('a validation size of %s is refused', (size) => {
  const split = () => splitValidation(makeDataset('none').train, size, 0);
  expect(split).toThrow(RequestError);
  expect(split).toThrow(
    `the validation size ${size} does not fit 200 training images; choose a whole number from 0 to 199`,
  );
});

test('a batch has normalized images and labels', () => {
  const data = makeDataset('crop-flip');
  const { images, labels } = makeBatch(data, data.train, [8, 0, 199]);
  expect(images.shape).toEqual([3, 3, side, side]);
  expect(labels).toEqual({ dtype: 'int64', shape: [3], data: BigInt64Array.of(1n, 0n, 3n) });
  expect(imagesOf(data, [8, 0, 199])).toEqual([8, 0, 199].map((index) => view(data, index, 0, 0, false)));
});

test('grey images are repeated, or not', () => {
  const repeated = makeDataset('none', 1, 3);
  expect(imagesOf(repeated, [5, 6])).toEqual([view(repeated, 5, 0, 0, false), view(repeated, 6, 0, 0, false)]);
  const grey = makeDataset('none', 1, 1);
  expect(imagesOf(grey, [5])).toEqual([view(grey, 5, 0, 0, false)]);
});

test('augmentation shows every shift and flip, and nothing else', () => {
  const data = makeDataset('crop-flip');
  const views = allViews(data, 3);
  const seen = new Set<string>();
  for (let epoch = 0; epoch < 1500; epoch++) {
    const [shown] = imagesOf(data, [3], { seed: 1, epoch });
    const match = [...views].find(([, image]) => Buffer.compare(bytesOf(image), bytesOf(shown as Float32Array)) === 0);
    expect(match).toBeDefined();
    seen.add(match?.[0] as string);
  }
  expect(seen.size).toBe(162);
});

function bytesOf(image: Float32Array): Uint8Array {
  return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
}

test('crop never flips, none changes nothing', () => {
  const crop = makeDataset('crop');
  const unflipped = [...allViews(crop, 3)].filter(([name]) => name.endsWith('false')).map(([, image]) => image);
  for (let epoch = 0; epoch < 20; epoch++) {
    expect(unflipped).toContainEqual(imagesOf(crop, [3], { seed: 1, epoch })[0]);
  }
  const none = makeDataset('none');
  expect(imagesOf(none, [3], { seed: 1, epoch: 1 })).toEqual([view(none, 3, 0, 0, false)]);
});

test('what an image gets does not depend on its batch', () => {
  const data = makeDataset('crop-flip');
  const augment = { seed: 5, epoch: 2 };
  const together = imagesOf(data, [1, 2, 3, 4], augment);
  expect([4, 3, 2, 1].map((index) => imagesOf(data, [index], augment)[0])).toEqual(together.reverse());
  expect(imagesOf(data, [4, 3, 2, 1], { seed: 5, epoch: 3 })).not.toEqual(together);
});

test('an image that is not there is a bug', () => {
  const data = makeDataset('none');
  expect(() => makeBatch(data, data.train, [200])).toThrow(RequestError);
});

test('labels that the network does not know', () => {
  const { train } = makeDataset('none');
  expect(() => checkLabels(train, 7, 'data')).not.toThrow();
  const check = () => checkLabels(train, 5, 'data');
  expect(check).toThrow(FailureError);
  expect(check).toThrow('data: image 5 has the label 5 but the network has 5 classes (labels 0 to 4); build it with');
});
