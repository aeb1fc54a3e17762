/** @file CIFAR-10 and CIFAR-100 in their binary and Python versions: labels and 32×32 RGB pixels. */

import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import { fileFailure } from '../files/atomic-file.js';
import { type CifarFile, readPickledImages, readPickledNames } from './cifar-pickle.js';
import { sharedBytes } from './images.js';
import type { Dataset, DatasetFormat, DatasetOptions, PixelSplit } from './types.js';

/** How an archive is laid out. */
interface CifarVersion {
  /** As told to people. */
  readonly name: string;
  readonly folder: string;
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  /** Names of the classes; in the Python version also a mark by which the folder is told. */
  readonly namesFile: string;
  readonly read: (path: string) => Promise<CifarFile>;
  readonly readNames: (path: string) => Promise<readonly string[]>;
}

interface CifarVariant {
  readonly name: string;
  readonly classes: number;
  readonly versions: readonly CifarVersion[];
  readonly normalization: Dataset['normalization'];
}

const imageSize = 32;
const channels = 3;
const pixelBytes = channels * imageSize * imageSize;

/** CIFAR-10: ten classes, five training files. */
export const cifar10Format = cifarFormat({
  name: 'cifar-10',
  classes: 10,
  versions: [
    {
      name: 'binary version',
      folder: 'cifar-10-batches-bin',
      trainFiles: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
      testFile: 'test_batch.bin',
      namesFile: 'batches.meta.txt',
      read: (path) => readRecords(path, 1),
      readNames: readLines,
    },
    {
      name: 'Python version',
      folder: 'cifar-10-batches-py',
      trainFiles: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}`),
      testFile: 'test_batch',
      namesFile: 'batches.meta',
      read: (path) => readPickledImages(path, 'labels', pixelBytes),
      readNames: (path) => readPickledNames(path, 'label_names'),
    },
  ],
  normalization: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
});

/** CIFAR-100: a hundred classes, which are its fine labels. */
export const cifar100Format = cifarFormat({
  name: 'cifar-100',
  classes: 100,
  versions: [
    {
      name: 'binary version',
      folder: 'cifar-100-binary',
      trainFiles: ['train.bin'],
      testFile: 'test.bin',
      namesFile: 'fine_label_names.txt',
      // The coarse label comes before the fine one.
      read: (path) => readRecords(path, 2),
      readNames: readLines,
    },
    {
      name: 'Python version',
      folder: 'cifar-100-python',
      trainFiles: ['train'],
      testFile: 'test',
      namesFile: 'meta',
      read: (path) => readPickledImages(path, 'fine_labels', pixelBytes),
      readNames: (path) => readPickledNames(path, 'fine_label_names'),
    },
  ],
  normalization: { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
});

function cifarFormat(variant: CifarVariant): DatasetFormat {
  const told = variant.versions.map(({ name, trainFiles, testFile, folder }, index) => {
    const files = index === 0 ? `(${name}): ${[...trainFiles, testFile].join(', ')}` : `the ${name}`;
    return `${files}, there or in ${folder}`;
  });
  return {
    lookedFor: `${variant.name} ${told.join('; or ')}`,
    find: (directory) => findVersion(variant, directory)?.place,
    load: (directory, options) => loadCifar(variant, directory, options),
  };
}

/** The version that a folder, or one in it, holds; the binary one where there are both, of the same images. */
function findVersion(
  { versions }: CifarVariant,
  directory: string,
): { readonly version: CifarVersion; readonly place: string } | undefined {
  for (const version of versions) {
    const place = [directory, join(directory, version.folder)].find((folder) => holdsVersion(version, folder));
    if (place !== undefined) return { version, place };
  }
  return undefined;
}

function holdsVersion({ name, trainFiles, testFile, namesFile }: CifarVersion, folder: string): boolean {
  const some = [...trainFiles, testFile].some((file) => isFile(join(folder, file)));
  // CIFAR-100 calls its files train and test in Python, as others may.
  return some && (name === 'binary version' || isFile(join(folder, namesFile)));
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/**
 * @throws RequestError when one channel is asked for: the images have colours
 * @throws FailureError when files are missing, cut off or hold labels out of range
 */
async function loadCifar(variant: CifarVariant, directory: string, options: DatasetOptions): Promise<Dataset> {
  const found = findVersion(variant, directory);
  if (!found) throw new FailureError(`${directory}: the files of ${variant.name} are gone; unpack its archive again`);
  const { version, place } = found;
  if (options.channels !== undefined && options.channels !== channels) {
    throw new RequestError(
      `${place}: ${variant.name} has ${channels} channels but the network takes ${options.channels}; ` +
        `build it with --channels ${channels}`,
    );
  }
  const trainFiles = options.parts === 'test' ? [] : version.trainFiles;
  const missing = [...trainFiles, version.testFile].filter((file) => !existsSync(join(place, file)));
  if (missing.length > 0) {
    throw new FailureError(`${place}: ${variant.name} lacks ${missing.join(', ')}; unpack the whole archive there`);
  }
  const names = await version.readNames(join(place, version.namesFile));
  return {
    name: variant.name,
    classes: variant.classes,
    channels,
    imageSize,
    // Names come with the archive, but nothing depends on them.
    ...(names.length === variant.classes && { classNames: names }),
    train: await loadSplit(variant, version, place, trainFiles),
    test: await loadSplit(variant, version, place, [version.testFile]),
    normalization: variant.normalization,
    augmentation: 'crop-flip',
  };
}

async function loadSplit(
  variant: CifarVariant,
  version: CifarVersion,
  directory: string,
  files: readonly string[],
): Promise<PixelSplit> {
  const parts: CifarFile[] = [];
  for (const file of files) {
    const path = join(directory, file);
    const part = await version.read(path);
    const wrong = Array.from(part.labels).findIndex(
      (label) => !(Number.isInteger(label) && label >= 0 && label < variant.classes),
    );
    if (wrong >= 0) {
      throw new FailureError(
        `${path}: record ${wrong} has the label ${part.labels[wrong]} but ${variant.name} has ${variant.classes} classes; download it again`,
      );
    }
    parts.push(part);
  }
  const count = parts.reduce((sum, { labels }) => sum + labels.length, 0);
  const images = sharedBytes(count * pixelBytes);
  const labels = new Uint8Array(count);
  let image = 0;
  for (const part of parts) {
    images.set(part.images, image * pixelBytes);
    labels.set(part.labels, image);
    image += part.labels.length;
  }
  return { count, images, storedChannels: channels, labels };
}

/** Records of labels, the last of which counts, and pixels. */
async function readRecords(path: string, labelBytes: number): Promise<CifarFile> {
  const recordBytes = labelBytes + pixelBytes;
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
    const rule = `a whole number of records of ${recordBytes} bytes, at least one`;
    throw new FailureError(`${path}: the file has ${bytes.length} bytes, not ${rule}; download it again`);
  }
  const count = bytes.length / recordBytes;
  const images = new Uint8Array(count * pixelBytes);
  for (let record = 0; record < count; record++) {
    const begin = record * recordBytes + labelBytes;
    images.set(bytes.subarray(begin, begin + pixelBytes), record * pixelBytes);
  }
  const labels = Uint8Array.from(
    { length: count },
    (_, record) => bytes[record * recordBytes + labelBytes - 1] as number,
  );
  return { images, labels };
}

/** The lines of a file that are not empty; none where there is no file. */
async function readLines(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split(/\r?\n/).filter((line) => line !== '');
}
