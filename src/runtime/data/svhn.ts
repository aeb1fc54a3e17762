/** @file SVHN, house numbers cut to single digits: MATLAB files of 32×32 RGB images. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import { pixelStatistics, sharedBytes } from './images.js';
import { type MatArray, readMat } from './mat-file.js';
import type { Dataset, DatasetFormat, DatasetOptions, PixelSplit } from './types.js';

const files = { train: 'train_32x32.mat', test: 'test_32x32.mat' } as const;
const extraFile = 'extra_32x32.mat';
const [size, channels, classes] = [32, 3, 10];

const noImages: PixelSplit = {
  count: 0,
  images: sharedBytes(0),
  storedChannels: channels,
  labels: new Uint8Array(0),
};

/** The label of the digit 0, which MATLAB counts last. */
const zeroLabel = 10;

/** A folder with the cropped digits under their usual names. */
export const svhnFormat: DatasetFormat = {
  lookedFor: `svhn (cropped digits): ${Object.values(files).join(', ')}`,
  find: (directory) => (Object.values(files).some((file) => existsSync(join(directory, file))) ? directory : undefined),
  load: loadSvhn,
};

/**
 * @throws RequestError when one channel is asked for: the images have colours
 * @throws FailureError when a file is missing or broken, or holds no such images and labels
 */
async function loadSvhn(directory: string, options: DatasetOptions): Promise<Dataset> {
  if (options.channels === 1) {
    throw new RequestError(
      `${directory}: svhn has ${channels} channels but the network takes 1; build it with --channels ${channels}`,
    );
  }
  const normalization = options.known?.normalization;
  const testOnly = options.parts === 'test' && normalization !== undefined;
  const needed = testOnly ? [files.test] : Object.values(files);
  const missing = needed.filter((file) => !existsSync(join(directory, file)));
  if (missing.length > 0) throw new FailureError(`${directory}: svhn lacks ${missing.join(', ')}; copy it there`);
  const train = testOnly ? noImages : await loadSplit(join(directory, files.train), options.limit);
  const test = await loadSplit(join(directory, files.test), options.limit);
  const notes = existsSync(join(directory, extraFile))
    ? [`${extraFile} is not used: training takes ${files.train} alone`]
    : [];
  return {
    name: 'svhn',
    classes,
    channels,
    imageSize: size,
    train,
    test,
    normalization: normalization ?? pixelStatistics(train, size ** 2),
    // A flipped digit is no digit, and the DenseNet paper trains on SVHN without any augmentation.
    augmentation: 'crop',
    augmentByDefault: false,
    notes,
  };
}

async function loadSplit(path: string, limit = Number.POSITIVE_INFINITY): Promise<PixelSplit> {
  const arrays = await readMat(path, ['X', 'y'], (name, shape) => checkShape(path, name, shape));
  const [images, labels] = ['X', 'y'].map((name) => arrays.get(name)) as [MatArray, MatArray];
  // MATLAB leaves out a last axis of length 1.
  const total = images.shape[3] ?? 1;
  if (labels.data.length !== total) {
    throw new FailureError(`${path}: X has ${total} images but y ${labels.data.length} labels; download it again`);
  }
  if (total === 0) throw new FailureError(`${path}: X holds no images; download it again`);
  const count = Math.min(total, limit);
  const digits = Uint8Array.from({ length: count }, (_, image) => digit(path, labels.data[image] as number, image));
  return { count, images: rowMajor(images.data, count), storedChannels: channels, labels: digits };
}

function checkShape(path: string, name: string, shape: readonly number[]): void {
  const [expected, fits] =
    name === 'X'
      ? ['32×32×3×N', shape.slice(0, 3).join() === [size, size, channels].join() && shape.length <= 4]
      : ['N×1', shape.length === 2 && shape.includes(1)];
  if (fits) return;
  throw new FailureError(`${path}: ${name} is ${shape.join('×')}, not ${expected}; use the cropped digits (format 2)`);
}

function digit(path: string, label: number, image: number): number {
  if (Number.isInteger(label) && label >= 1 && label <= zeroLabel) return label % zeroLabel;
  throw new FailureError(
    `${path}: image ${image} has the label ${label}, not one from 1 to ${zeroLabel} (which is digit 0); download it again`,
  );
}

/** From rows fastest (row, column, channel, image) to columns fastest (image, channel, row, column). */
function rowMajor(data: ArrayLike<number>, count: number): Uint8Array {
  const result = sharedBytes(count * channels * size * size);
  for (let plane = 0; plane < count * channels; plane++) {
    const begin = plane * size * size;
    for (let column = 0; column < size; column++) {
      for (let row = 0; row < size; row++) {
        result[begin + row * size + column] = data[begin + column * size + row] as number;
      }
    }
  }
  return result;
}
