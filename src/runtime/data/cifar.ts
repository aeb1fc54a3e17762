/** @file The binary versions of CIFAR-10 and CIFAR-100: files of records, each of labels and 32×32 RGB pixels. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import { fileFailure } from '../atomic-file.js';
import { sharedBytes } from './images.js';
import type { Dataset, DatasetFormat, DatasetOptions, PixelSplit } from './types.js';

interface CifarVariant {
  readonly name: string;
  readonly classes: number;
  readonly folder: string;
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  /** Names of the classes, one a line. */
  readonly namesFile: string;
  /** Bytes before the pixels; the last of them is the label (CIFAR-100 has the coarse one before it). */
  readonly labelBytes: number;
  readonly normalization: Dataset['normalization'];
}

const imageSize = 32;
const channels = 3;
const pixelBytes = channels * imageSize * imageSize;

/** CIFAR-10: ten classes, five training files. */
export const cifar10Format = cifarFormat({
  name: 'cifar-10',
  classes: 10,
  folder: 'cifar-10-batches-bin',
  trainFiles: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
  testFile: 'test_batch.bin',
  namesFile: 'batches.meta.txt',
  labelBytes: 1,
  normalization: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
});

/** CIFAR-100: a hundred classes, which are its fine labels. */
export const cifar100Format = cifarFormat({
  name: 'cifar-100',
  classes: 100,
  folder: 'cifar-100-binary',
  trainFiles: ['train.bin'],
  testFile: 'test.bin',
  namesFile: 'fine_label_names.txt',
  labelBytes: 2,
  normalization: { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
});

function cifarFormat(variant: CifarVariant): DatasetFormat {
  const files = [...variant.trainFiles, variant.testFile];
  return {
    lookedFor: `${variant.name} (binary version): ${files.join(', ')}, there or in ${variant.folder}`,
    find: (directory) =>
      [directory, join(directory, variant.folder)].find((place) => files.some((file) => existsSync(join(place, file)))),
    load: (directory, options) => loadCifar(variant, directory, options),
  };
}

/**
 * @throws RequestError when one channel is asked for: the images have colours
 * @throws FailureError when files are missing, cut off or hold labels out of range
 */
async function loadCifar(variant: CifarVariant, directory: string, options: DatasetOptions): Promise<Dataset> {
  if (options.channels !== undefined && options.channels !== channels) {
    throw new RequestError(
      `${directory}: ${variant.name} has ${channels} channels but the network takes ${options.channels}; ` +
        `build it with --channels ${channels}`,
    );
  }
  const missing = [...variant.trainFiles, variant.testFile].filter((file) => !existsSync(join(directory, file)));
  if (missing.length > 0) {
    throw new FailureError(`${directory}: ${variant.name} lacks ${missing.join(', ')}; unpack the whole archive there`);
  }
  return {
    name: variant.name,
    classes: variant.classes,
    channels,
    imageSize,
    ...(await classNames(join(directory, variant.namesFile), variant.classes)),
    train: await loadSplit(variant, directory, variant.trainFiles),
    test: await loadSplit(variant, directory, [variant.testFile]),
    normalization: variant.normalization,
    augmentation: 'crop-flip',
  };
}

/** Names come with the archive, but nothing depends on them. */
async function classNames(path: string, classes: number): Promise<Pick<Dataset, 'classNames'>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const names = text.split(/\r?\n/).filter((line) => line !== '');
  return names.length === classes ? { classNames: names } : {};
}

async function loadSplit(variant: CifarVariant, directory: string, files: readonly string[]): Promise<PixelSplit> {
  const recordBytes = variant.labelBytes + pixelBytes;
  const contents: Buffer[] = [];
  for (const file of files) {
    contents.push(await readRecords(join(directory, file), recordBytes));
  }
  const count = contents.reduce((sum, bytes) => sum + bytes.length, 0) / recordBytes;
  const images = sharedBytes(count * pixelBytes);
  const labels = new Uint8Array(count);
  let image = 0;
  for (const [index, bytes] of contents.entries()) {
    for (let at = 0; at < bytes.length; at += recordBytes) {
      const label = bytes[at + variant.labelBytes - 1] as number;
      if (label >= variant.classes) {
        const place = `${join(directory, files[index] as string)}: record ${at / recordBytes} has the label ${label}`;
        throw new FailureError(`${place} but ${variant.name} has ${variant.classes} classes; download it again`);
      }
      labels[image] = label;
      images.set(bytes.subarray(at + variant.labelBytes, at + recordBytes), image * pixelBytes);
      image++;
    }
  }
  return { count, images, storedChannels: channels, labels };
}

async function readRecords(path: string, recordBytes: number): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw fileFailure('read', path, error);
  }
  if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
    const rule = `a whole number of records of ${recordBytes} bytes, at least one`;
    throw new FailureError(`${path}: the file has ${bytes.length} bytes, not ${rule}; download it again`);
  }
  return bytes;
}
