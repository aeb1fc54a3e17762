/** @file Which images a step takes, and the normalized, augmented tensors it gets. Hot path: plain loops over bytes. */

import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { FailureError, InternalError, RequestError } from '../../ir/errors.js';
import { type FloatTensor, floatTensor, type TensorData } from '../../ir/tensor-data.js';
import type { Dataset, Split } from './types.js';

/** What a step of training or evaluation reads. */
export interface Batch {
  /** (N, C, H, W), normalized. */
  readonly images: FloatTensor;
  /** (N). */
  readonly labels: Extract<TensorData, { dtype: 'int64' }>;
}

/** What the random changes of a batch's images depend on, beside each image's index. */
export interface Augment {
  readonly seed: number;
  readonly epoch: number;
}

/** Which part of an image a batch shows: where it begins, in pixels, and whether left and right are swapped. */
interface View {
  readonly dx: number;
  readonly dy: number;
  readonly flip: boolean;
}

const unchanged: View = { dx: 0, dy: 0, flip: false };

/** Black pixels around an image from which a crop of the old size is taken. */
const cropBorder = 4;

/** Keeps the uses of one seed apart. */
const purpose = { order: 1, validation: 2, augmentation: 3 } as const;

/**
 * The order in which an epoch visits `count` images: a permutation that depends on `seed` and `epoch` alone.
 */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  return permutation(count, hash(purpose.order, seed, epoch));
}

/**
 * Holds out `validSize` random images of a split for validation.
 * @returns the indices of both parts, ascending
 * @throws RequestError when nothing would be left to train on, or `validSize` is no count
 */
export function splitValidation(
  split: Split,
  validSize: number,
  seed: number,
): { readonly train: Uint32Array; readonly validation: Uint32Array } {
  if (!Number.isInteger(validSize) || validSize < 0 || validSize >= split.count) {
    throw new RequestError(
      `the validation size ${validSize} does not fit ${split.count} training images; ` +
        `choose a whole number from 0 to ${split.count - 1}`,
    );
  }
  const order = permutation(split.count, hash(purpose.validation, seed));
  return { train: order.slice(validSize).sort(), validation: order.slice(0, validSize).sort() };
}

/**
 * Makes the tensors of a batch.
 * @param indices which images of the split, one for each entry of the batch
 * @param options.augment asks for the data set's augmentation: a random crop of the image with 4 black pixels around
 * it and, where the data set allows, a random flip. What an image gets depends on seed, epoch and its index alone, so
 * not on batch size or order.
 * @throws InternalError when the split has no image of an index
 */
export function makeBatch(
  dataset: Dataset,
  split: Split,
  indices: ArrayLike<number>,
  options: { readonly augment?: Augment | undefined } = {},
): Batch {
  const { channels, imageSize } = dataset;
  const imageBytes = channels * imageSize * imageSize;
  const images = new Float32Array(indices.length * imageBytes);
  const labels = new BigInt64Array(indices.length);
  const table = normalizationTable(dataset);
  const augment = dataset.augmentation === 'none' ? undefined : options.augment;
  for (let entry = 0; entry < indices.length; entry++) {
    const index = indices[entry] as number;
    const label = split.labels[index];
    if (label === undefined) {
      throw new InternalError(`image ${index} of a split of ${split.count}`);
    }
    labels[entry] = BigInt(label);
    const view = augment === undefined ? unchanged : randomView(dataset, augment, index);
    for (let channel = 0; channel < channels; channel++) {
      // Grey images are stored once and repeated here.
      const stored = index * split.storedChannels + (channel % split.storedChannels);
      const target = images.subarray(entry * imageBytes + channel * imageSize * imageSize);
      const values = table.subarray(channel * 256);
      copyPlane(target, split.images, stored * imageSize * imageSize, imageSize, view, values);
    }
  }
  return {
    images: floatTensor([indices.length, channels, imageSize, imageSize], images),
    labels: { dtype: 'int64', shape: [indices.length], data: labels },
  };
}

/**
 * Makes sure that a network knows every label.
 * @param classes of the network: labels must be below
 * @param name of the data, for the message
 * @throws FailureError for the first label that is too large
 */
export function checkLabels(split: Split, classes: number, name: string): void {
  const index = split.labels.findIndex((label) => label >= classes);
  if (index >= 0) {
    throw new FailureError(
      `${name}: image ${index} has the label ${split.labels[index]} but the network has ${classes} classes ` +
        `(labels 0 to ${classes - 1}); build it with more classes or choose other data`,
    );
  }
}

/** One plane of one image: shifted, flipped, and each byte replaced by its normalized value. */
function copyPlane(
  target: Float32Array,
  bytes: Uint8Array,
  begin: number,
  size: number,
  { dx, dy, flip }: View,
  values: Float32Array,
): void {
  // All black first and the image over it: to fill only the border, row by row, was slower.
  target.fill(values[0] as number, 0, size * size);
  const shift = flip ? -dx : dx;
  const left = Math.max(0, -shift);
  const right = Math.min(size, size - shift);
  const first = flip ? size - 1 - left + dx : left + dx;
  const step = flip ? -1 : 1;
  for (let y = Math.max(0, -dy); y < Math.min(size, size - dy); y++) {
    const row = y * size;
    let source = begin + (y + dy) * size + first;
    for (let at = row + left; at < row + right; at++, source += step) {
      target[at] = values[bytes[source] as number] as number;
    }
  }
}

/** The normalized value of each of the 256 bytes, for one channel after the other. */
function normalizationTable({ channels, normalization }: Dataset): Float32Array {
  return Float32Array.from({ length: channels * 256 }, (_, at) => {
    const channel = at >> 8;
    return ((at & 255) / 255 - (normalization.mean[channel] as number)) / (normalization.std[channel] as number);
  });
}

function randomView(dataset: Dataset, { seed, epoch }: Augment, index: number): View {
  const random = hash(purpose.augmentation, seed, epoch, index);
  const offsets = 2 * cropBorder + 1;
  const position = (random >>> 1) % (offsets * offsets);
  return {
    dx: (position % offsets) - cropBorder,
    dy: Math.floor(position / offsets) - cropBorder,
    flip: dataset.augmentation === 'crop-flip' && (random & 1) === 1,
  };
}

/** Fisher–Yates. */
function permutation(count: number, seed: number): Uint32Array {
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

/** MurmurHash3 of whole numbers, each as two words of 32 bits: neighbouring inputs give unrelated numbers. */
function hash(...numbers: readonly number[]): number {
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
