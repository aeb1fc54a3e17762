/** @file Which images a step takes, and the normalized, augmented tensors it gets. Hot path: plain loops over bytes. */

import { show } from '../../ir/check.js';
import { FailureError, RequestError } from '../../ir/errors.js';
import { elementCount, type FloatTensor, type TensorData } from '../../ir/tensor-data.js';
import { type ColorJitter, changesColors, jitterColors } from './color-jitter.js';
import { hash, permutation, purpose, randomFlip, randomShift } from './random.js';
import { pickStratified } from './stratify.js';
import { type Dataset, extentsOf, type HoldOut, type PixelSplit, type Split } from './types.js';

/** What a step of training or evaluation reads. */
export interface Batch {
  /** (N, C, H, W), normalized. */
  readonly images: FloatTensor;
  /** (N), a class each; all 0 where there are targets. */
  readonly labels: Extract<TensorData, { dtype: 'int64' }>;
  /** (N, K), where the task is another than classes: for each label from 0 (absent) to 1, or the numbers of a regression. */
  readonly targets?: FloatTensor | undefined;
}

/** What the random changes of a batch's images depend on, beside each image's index. */
export interface Augment {
  readonly seed: number;
  readonly epoch: number;
  /** How far colours may change, as `jitterColors` does; they stay where absent. */
  readonly colors?: ColorJitter | undefined;
  /** Set where colours alone change: images are neither cut out nor flipped. */
  readonly colorsOnly?: true | undefined;
  /** Set where image files are scaled and cut as for evaluation, instead of a random part of each. */
  readonly wholeImages?: true | undefined;
}

/** What making a batch takes to know of its data set. */
export type BatchFormat = Pick<
  Dataset,
  'channels' | 'imageSize' | 'imageWidth' | 'border' | 'resize' | 'normalization' | 'augmentation'
>;

/** Which part of an image a batch shows: where it begins, in pixels, and whether left and right are swapped. */
interface View {
  readonly dx: number;
  readonly dy: number;
  readonly flip: boolean;
}

const unchanged: View = { dx: 0, dy: 0, flip: false };

/**
 * The order in which an epoch visits `count` images: a permutation that depends on `seed` and `epoch` alone.
 */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  return permutation(count, hash(purpose.order, seed, epoch));
}

/**
 * Holds out `validSize` random images of a split for validation.
 * @param rule `stratified` takes of each class in proportion, and the last image of one only where there are no others;
 * `random` is how runs held out that began before
 * @returns the indices of both parts, ascending
 * @throws RequestError when nothing would be left to train on, or `validSize` is no count
 */
export function splitValidation(
  { labels }: Pick<Split, 'labels'>,
  validSize: number,
  seed: number,
  rule: HoldOut = 'stratified',
): { readonly train: Uint32Array; readonly validation: Uint32Array } {
  const count = labels.length;
  if (!Number.isInteger(validSize) || validSize < 0 || validSize >= count) {
    throw new RequestError(
      `the validation size ${validSize} does not fit ${count} training images; ` +
        `choose a whole number from 0 to ${count - 1}`,
    );
  }
  const random = hash(purpose.validation, seed);
  if (rule === 'random') {
    const order = permutation(count, random);
    return { train: order.slice(validSize).sort(), validation: order.slice(0, validSize).sort() };
  }
  const { picked, rest } = pickStratified(labels, validSize, random);
  return { train: rest, validation: picked };
}

/**
 * Makes the tensors of a batch of images in memory.
 * @param indices which images of the split, one for each entry of the batch
 * @param options.augment asks for the data set's augmentation: a random crop of the image with 4 black pixels around
 * it and, where the data set allows, a random flip. What an image gets depends on seed, epoch and its index alone, so
 * not on batch size or order.
 * @throws RequestError for image files, or when the split has no image of an index
 */
export function makeBatch(
  format: BatchFormat,
  split: Split,
  indices: ArrayLike<number>,
  options: { readonly augment?: Augment | undefined } = {},
): Batch {
  if ('files' in split) {
    throw new RequestError('images in files are decoded asynchronously; make batches of them with loadBatch');
  }
  const { channels } = format;
  const extents = extentsOf(format);
  const plane = elementCount(extents);
  const images = new Float32Array(indices.length * channels * plane);
  const table = normalizationTable(format);
  const { augment: asked } = options;
  const augment = format.augmentation === 'none' || asked?.colorsOnly ? undefined : asked;
  for (let entry = 0; entry < indices.length; entry++) {
    const index = indices[entry] as number;
    const view = augment === undefined ? unchanged : randomView(format, augment, index);
    const { bytes, first } =
      asked?.colors && changesColors(asked.colors)
        ? { bytes: jittered(split, plane, index, asked, asked.colors), first: 0 }
        : { bytes: split.images, first: index * split.storedChannels };
    for (let channel = 0; channel < channels; channel++) {
      // Grey images are stored once and repeated here.
      const stored = first + (channel % split.storedChannels);
      const target = images.subarray((entry * channels + channel) * plane);
      const values = table.subarray(channel * 256);
      copyPlane(target, bytes, stored * plane, extents, view, values);
    }
  }
  return createBatch([channels, ...extents], images, answersOf(split, indices));
}

/** What a network is to tell of some images of a split. @throws RequestError when it has no image of an index */
function answersOf(split: Split, indices: ArrayLike<number>): number[] | FloatTensor {
  const labels = labelsOf(split, indices);
  const { targets, count } = split;
  return targets ? targetTensor(Array.from(indices, (index) => rowOf(targets, count, index))) : labels;
}

/** The targets of an image. */
export function rowOf(targets: Float32Array, count: number, index: number): Float32Array {
  const columns = targets.length / count;
  return targets.subarray(index * columns, (index + 1) * columns);
}

/** The targets of a batch's images, from those of each. */
export function targetTensor(rows: readonly ArrayLike<number>[]): FloatTensor {
  const columns = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * columns);
  for (const [row, values] of rows.entries()) data.set(values, row * columns);
  return { dtype: 'float32', shape: [rows.length, columns], data };
}

/** The bytes of one image with its colours changed. */
function jittered(
  { images, storedChannels }: PixelSplit,
  plane: number,
  index: number,
  { seed, epoch }: Augment,
  colors: ColorJitter,
): Uint8Array {
  const size = storedChannels * plane;
  const bytes = images.slice(index * size, (index + 1) * size);
  jitterColors(bytes, storedChannels, colors, hash(purpose.color, seed, epoch, index));
  return bytes;
}

/** The labels of some images of a split. @throws RequestError when it has no image of an index */
export function labelsOf({ labels, count }: Split, indices: ArrayLike<number>): number[] {
  return Array.from(indices, (index) => {
    const label = labels[index];
    if (label === undefined) throw new RequestError(`there is no image ${index} among ${count}; they count from 0`);
    return label;
  });
}

/**
 * A batch of images that are normalized already.
 * @param sample shape of one image, (C, H, W)
 * @param images the numbers of all images, row-major (N, C, H, W)
 * @param labels the class of each image; or a tensor (N, K), as `floatTensor` makes: for each of several labels whether
 * an image has it (0 to 1), or the numbers of a regression
 * @throws RequestError when images and labels differ in number, or a label is no whole number
 */
export function createBatch(
  sample: readonly number[],
  images: Float32Array,
  labels: ArrayLike<number> | FloatTensor,
): Batch {
  if (!(images instanceof Float32Array)) {
    throw new RequestError(`the images of a batch are ${show(images)}; give the normalized numbers as a Float32Array`);
  }
  if ('dtype' in labels) return createTargetBatch(sample, images, labels);
  const wrong = Array.from(labels).findIndex((label) => !Number.isSafeInteger(label) || label < 0);
  if (wrong >= 0) {
    throw new RequestError(
      `the label of image ${wrong} of a batch is ${show(labels[wrong])}; it must be a whole number from 0`,
    );
  }
  checkSamples(sample, images, labels.length);
  const data = BigInt64Array.from({ length: labels.length }, (_, entry) => BigInt(labels[entry] as number));
  return {
    images: { dtype: 'float32', shape: [labels.length, ...sample], data: images },
    labels: { dtype: 'int64', shape: [labels.length], data },
  };
}

function createTargetBatch(sample: readonly number[], images: Float32Array, labels: FloatTensor): Batch {
  const [count, columns, ...more] = labels.shape;
  if (labels.dtype !== 'float32' || count === undefined || columns === undefined || more.length > 0) {
    throw new RequestError(
      `the labels of a batch are ${labels.dtype} [${labels.shape.join(', ')}]; give a class each, or a float32 tensor [N, K]`,
    );
  }
  checkSamples(sample, images, count);
  return {
    images: { dtype: 'float32', shape: [count, ...sample], data: images },
    labels: { dtype: 'int64', shape: [count], data: new BigInt64Array(count) },
    targets: labels,
  };
}

function checkSamples(sample: readonly number[], images: Float32Array, count: number): void {
  const expected = count * elementCount(sample);
  if (images.length === expected) return;
  throw new RequestError(
    `a batch has ${images.length} numbers for ${count} labels; images of [${sample.join(', ')}] take ${expected}`,
  );
}

/**
 * Makes sure that a network knows every label.
 * @param classes of the network: labels must be below
 * @param name of the data, for the message
 * @throws FailureError for the first label that is too large
 */
export function checkLabels(split: Split, classes: number, name: string): void {
  const index = split.labels.findIndex((label: number) => label >= classes);
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
  [height, width]: readonly [number, number],
  { dx, dy, flip }: View,
  values: Float32Array,
): void {
  // All black first and the image over it: to fill only the border, row by row, was slower.
  target.fill(values[0] as number, 0, height * width);
  const shift = flip ? -dx : dx;
  const left = Math.max(0, -shift);
  const right = Math.min(width, width - shift);
  const first = flip ? width - 1 - left + dx : left + dx;
  const step = flip ? -1 : 1;
  for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
    const row = y * width;
    let source = begin + (y + dy) * width + first;
    for (let at = row + left; at < row + right; at++, source += step) {
      target[at] = values[bytes[source] as number] as number;
    }
  }
}

/** The normalized value of each of the 256 bytes, for one channel after the other. */
export function normalizationTable({ channels, normalization }: BatchFormat): Float32Array {
  return Float32Array.from({ length: channels * 256 }, (_, at) => {
    const channel = at >> 8;
    return ((at & 255) / 255 - (normalization.mean[channel] as number)) / (normalization.std[channel] as number);
  });
}

function randomView(format: BatchFormat, { seed, epoch }: Augment, index: number): View {
  const random = hash(purpose.augmentation, seed, epoch, index);
  const flip = format.augmentation === 'crop-flip' && randomFlip(random);
  return { ...randomShift(random), flip };
}
