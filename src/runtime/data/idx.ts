/** @file Data sets of IDX files, plain or gzipped: MNIST, Fashion-MNIST and their kin. */

import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FailureError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import { readIdx } from './idx-file.js';
import { padImages, pixelStatistics, shared } from './images.js';
import {
  type Dataset,
  type DatasetFormat,
  type DatasetOptions,
  extentsOf,
  type Normalization,
  type PixelSplit,
} from './types.js';

type SplitName = 'train' | 't10k';

interface LoadedSplit extends PixelSplit {
  readonly imageSize: number;
  readonly imageWidth?: number;
  readonly border: number;
  /** Of all images, also those beyond the limit. */
  readonly largestLabel: number;
}

const fileKinds = { images: 3, labels: 1 } as const;

/** MNIST's images get a border up to the size that the CIFAR stem of the network is made for. */
const mnistSize = 28;
const mnistBorder = 2;

/** Where torchvision keeps the files. */
const innerFolder = 'raw';

/** A folder with the four files of MNIST under their usual names. */
export const idxFormat: DatasetFormat = {
  lookedFor:
    'IDX: {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each also as .gz, there or in raw',
  find: (directory) =>
    [directory, join(directory, innerFolder)].find(
      (place) => (findFile(place, 'train', 'images') ?? findFile(place, 't10k', 'images')) !== undefined,
    ),
  load: (directory, options) => loadIdx(directory, nameOf(resolve(directory)), options),
};

function nameOf(directory: string): string {
  return basename(directory) === innerFolder ? basename(dirname(directory)) : basename(directory);
}

/**
 * Loads the four IDX files of a folder. Images of 28×28 get a black border up to 32×32; others keep their size.
 * The normalization is that of the training images, border included.
 * @throws FailureError when a file is missing or broken, there are no images, they are not all of one
 * size, or images and labels differ in number
 */
export async function loadIdx(directory: string, name: string, options: DatasetOptions): Promise<Dataset> {
  // Without a normalization from before, training images are read for their own.
  const testOnly = options.parts === 'test' && options.known?.normalization !== undefined;
  const test = await loadSplit(directory, 't10k', options);
  const train = testOnly ? noImages(test) : await loadSplit(directory, 'train', options);
  const [ours, theirs] = [train, test].map((split) => extentsOf(split).join('×'));
  if (ours !== theirs) {
    throw new FailureError(
      `${directory}: training images are ${ours} pixels but test images ${theirs}; use files of one data set`,
    );
  }
  const channels = options.channels ?? 3;
  const repeat = (values: readonly number[]) => Array.from({ length: channels }, () => values[0] as number);
  const measured = (): Normalization => {
    const { mean, std } = pixelStatistics(train, elementCount(extentsOf(train)));
    return { mean: repeat(mean), std: repeat(std) };
  };
  return {
    name,
    classes: Math.max(train.largestLabel, test.largestLabel) + 1,
    channels,
    imageSize: train.imageSize,
    ...(train.imageWidth !== undefined && { imageWidth: train.imageWidth }),
    ...(train.border > 0 && { border: train.border }),
    train,
    test,
    normalization: options.known?.normalization ?? measured(),
    // Nothing in the files tells digits, which must not be flipped, from clothes.
    augmentation: 'crop',
    augmentByDefault: false,
  };
}

function noImages({ imageSize, imageWidth, border }: LoadedSplit): LoadedSplit {
  const none = { count: 0, images: shared(new Uint8Array(0)), labels: new Uint8Array(0) };
  return {
    ...none,
    storedChannels: 1,
    imageSize,
    ...(imageWidth !== undefined && { imageWidth }),
    border,
    largestLabel: 0,
  };
}

async function loadSplit(directory: string, split: SplitName, { limit }: DatasetOptions): Promise<LoadedSplit> {
  const imagesPath = requireFile(directory, split, 'images');
  const labelsPath = requireFile(directory, split, 'labels');
  const images = await readIdx(imagesPath, fileKinds.images);
  const labels = await readIdx(labelsPath, fileKinds.labels);

  const [count, height, width] = images.shape as [number, number, number];
  if (labels.data.length !== count) {
    const problem = `${count} images but ${labelsPath} has ${labels.data.length} labels`;
    throw new FailureError(`${imagesPath} has ${problem}; use files of one data set`);
  }
  if (height === 0 || width === 0) {
    throw new FailureError(`${imagesPath}: images are ${height}×${width} pixels; download it again`);
  }
  if (count === 0) {
    throw new FailureError(`${imagesPath}: the file holds no images; download it again`);
  }
  const padded = height === mnistSize && width === mnistSize;
  const used = Math.min(count, limit ?? count);
  const pixels = images.data.subarray(0, used * height * width);
  return {
    count: used,
    images: padded ? padImages(pixels, height, mnistBorder) : shared(pixels),
    storedChannels: 1,
    imageSize: padded ? height + 2 * mnistBorder : height,
    ...(width !== height && { imageWidth: width }),
    border: padded ? mnistBorder : 0,
    labels: labels.data.subarray(0, used),
    largestLabel: labels.data.reduce((largest, label) => Math.max(largest, label), 0),
  };
}

function requireFile(directory: string, split: SplitName, kind: keyof typeof fileKinds): string {
  const path = findFile(directory, split, kind);
  if (path === undefined) {
    const names = candidates(split, kind).join(', ');
    throw new FailureError(`${directory}: a file of the data set is missing (looked for ${names}); copy it there`);
  }
  return path;
}

function findFile(directory: string, split: SplitName, kind: keyof typeof fileKinds): string | undefined {
  return candidates(split, kind)
    .map((name) => join(directory, name))
    .find((path) => existsSync(path));
}

/** The names in use: with a dash or a dot before `idx`, plain or gzipped. */
function candidates(split: SplitName, kind: keyof typeof fileKinds): string[] {
  const names = ['-', '.'].map((separator) => `${split}-${kind}${separator}idx${fileKinds[kind]}-ubyte`);
  return names.flatMap((name) => [name, `${name}.gz`]);
}
