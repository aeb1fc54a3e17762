/** @file Folders of image files, one folder a class: train/CLASS/*.jpg and val/CLASS/*.jpg, or test/CLASS/*.jpg. */

import { readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { FailureError } from '../../ir/errors.js';
import { type FolderScan, scanFolder } from './folder-scan.js';
import { imageLibrary } from './image-library.js';
import { histogramStatistics } from './images.js';
import { DataPool } from './pool.js';
import type { Dataset, DatasetFormat, DatasetOptions, FileSplit, Normalization } from './types.js';

/** Height and width unless told, as of a network that is built without --image-size. */
const defaultSize = 32;

/** ImageNet's evaluation scales the shorter side to 256 for a middle of 224. */
const resizeRatio = 256 / 224;

/** Most classes a label can tell apart. */
const maxClasses = 2 ** 16;

/** Files decoded by one job of the first look. */
const filesPerJob = 64;

/** Broken files that a message names. */
const namedFiles = 5;

/** A folder with train/ and val/ or test/, each with a folder of images for each class. */
export const imageFolderFormat: DatasetFormat = {
  lookedFor: 'an image folder: train/CLASS/*.{jpg,jpeg,png} and val/ or test/ likewise',
  find: (directory) => (hasFolder(join(directory, 'train')) ? directory : undefined),
  load: loadImageFolder,
};

/**
 * Loads the names of an image folder's files, and decodes each once: to find those that can't be read, and for the
 * mean and deviation of the training pixels. With both known from a former run, nothing is decoded.
 * @throws FailureError when files can't be read (unless they are to be skipped), a class is empty, or the folders'
 * classes differ
 */
async function loadImageFolder(directory: string, options: DatasetOptions): Promise<Dataset> {
  // Once, instead of for each of the images.
  imageLibrary();
  const { channels = 3, imageSize = defaultSize, limit, known, parts = 'all' } = options;
  const train = await scanFolder(join(directory, 'train'));
  const testFolder = chooseTest(directory);
  const test = await scanFolder(join(directory, testFolder));
  checkClasses(directory, train, test);
  const classNames = train.classes.map(({ name }) => name);
  const resize = Math.round(imageSize * resizeRatio);
  const format = { channels, imageSize, resize, augmentation: 'resized-crop-flip' as const };
  const splits = { train: toSplit(train, classNames, limit), test: toSplit(test, classNames, limit) };
  const look = await inspect(splits, format, options);
  if (look.broken.size > 0 && !options.skipCorrupt) throw unreadable(directory, look);
  const skipped = new Set([...(known?.skipped ?? []).map((name) => join(directory, name)), ...look.broken.keys()]);
  const kept = { train: without(splits.train, skipped), test: without(splits.test, skipped) };
  if (parts === 'all') requireImages(directory, kept.train, classNames);
  if (kept.test.count === 0) throw new FailureError(`${join(directory, testFolder)}: no image is left to test with`);
  return {
    name: basename(resolve(directory)),
    classes: classNames.length,
    ...format,
    classNames,
    ...kept,
    normalization: known?.normalization ?? (look.normalization as Normalization),
    skipped: [...skipped].map((file) => file.slice(join(directory, '/').length)),
    notes: [...train.notes, ...test.notes, ...unusedFolders(directory, testFolder)],
  };
}

function hasFolder(directory: string): boolean {
  try {
    return readdirSync(directory, { withFileTypes: true }).some(
      (entry) => entry.isDirectory() || entry.isSymbolicLink(),
    );
  } catch {
    return false;
  }
}

/** Folders of images to test with, the first one that there is. */
const testFolders = ['test', 'val', 'valid', 'validation'] as const;

/** test/ where its images have classes (ImageNet's own have none), else val/ or what it is called. */
function chooseTest(directory: string): (typeof testFolders)[number] {
  const found = testFolders.find((name) => hasFolder(join(directory, name)));
  if (found) return found;
  throw new FailureError(
    `${directory}: there is a train/ but no val/ or test/ with a folder for each class; move some images there`,
  );
}

function unusedFolders(directory: string, used: (typeof testFolders)[number]): string[] {
  const unused = testFolders.filter((name) => name !== used && hasFolder(join(directory, name)));
  return unused.map(
    (name) =>
      `${join(directory, name)} is not used: the final test takes ${used}/, and validation holds images of train/ out`,
  );
}

function checkClasses(directory: string, train: FolderScan, test: FolderScan): void {
  if (train.classes.length > maxClasses) {
    throw new FailureError(
      `${directory}: there are ${train.classes.length} classes, at most ${maxClasses} can be told`,
    );
  }
  const empty = train.classes.filter(({ files }) => files.length === 0);
  if (empty.length > 0) {
    const names = listed(empty.map(({ name }) => name));
    throw new FailureError(
      `${train.folder}: no .jpg, .jpeg or .png in the class ${names}; add images or remove the folder`,
    );
  }
  const known = new Set(train.classes.map(({ name }) => name));
  const unknown = test.classes.filter(({ name, files }) => files.length > 0 && !known.has(name));
  if (unknown.length > 0) {
    const names = listed(unknown.map(({ name }) => name));
    throw new FailureError(
      `${test.folder}: the class ${names} is not in ${train.folder}; classes are told by their names`,
    );
  }
}

/** The classes' files in turn, so that the first of them are of all classes. */
function toSplit(scan: FolderScan, classNames: readonly string[], limit = Number.POSITIVE_INFINITY): FileSplit {
  const entries = scan.classes.flatMap(({ name, files }) =>
    files.map((file, rank) => ({ file, rank, label: classNames.indexOf(name) })),
  );
  const used = entries.sort((a, b) => a.rank - b.rank || a.label - b.label).slice(0, limit);
  return {
    count: used.length,
    files: used.map(({ file }) => file),
    labels: Uint16Array.from(used, ({ label }) => label),
  };
}

function without({ files, labels }: FileSplit, skipped: ReadonlySet<string>): FileSplit {
  const kept = Array.from(files.keys()).filter((index) => !skipped.has(files[index] as string));
  return {
    count: kept.length,
    files: kept.map((index) => files[index] as string),
    labels: Uint16Array.from(kept, (index) => labels[index] as number),
  };
}

function requireImages(directory: string, { labels }: FileSplit, classNames: readonly string[]): void {
  const present = new Set(labels);
  if (present.size > 0) return;
  throw new FailureError(`${join(directory, 'train')}: no image of ${classNames.length} classes is left to train on`);
}

/** What the first look at a data set's files finds. */
interface Look {
  /** Why files can't be read, by path. */
  readonly broken: ReadonlyMap<string, string>;
  /** Files that were looked at. */
  readonly total: number;
  /** Of the training pixels that could be read; absent where it is known. */
  readonly normalization: Normalization | undefined;
}

async function inspect(
  { train, test }: { readonly train: FileSplit; readonly test: FileSplit },
  format: {
    readonly channels: number;
    readonly imageSize: number;
    readonly resize: number;
    readonly augmentation: 'resized-crop-flip';
  },
  { known, parts, workers, onProgress }: DatasetOptions,
): Promise<Look> {
  const checked = known?.skipped !== undefined;
  const trainFiles = (parts === 'test' || checked) && known?.normalization ? [] : train.files;
  const files = [...trainFiles, ...(checked ? [] : test.files)];
  const broken = new Map<string, string>();
  const histograms = Array.from({ length: format.channels }, () => new Float64Array(256));
  if (files.length === 0) return { broken, total: 0, normalization: undefined };
  const pool = new DataPool({ format: { ...format, normalization: { mean: [], std: [] } }, pixels: {} }, workers);
  try {
    // A job is of one split alone: only training pixels count for the normalization.
    const chunks = [...inChunks(trainFiles), ...inChunks(files.slice(trainFiles.length))];
    const looks = pool.inOrder(chunks.map((chunk) => ({ kind: 'inspect' as const, files: chunk })));
    let done = 0;
    for (const chunk of chunks) {
      const look = (await looks.next()).value;
      for (const { at, reason } of look?.broken ?? []) broken.set(chunk[at] as string, reason);
      if (look && done < trainFiles.length) addCounts(histograms, look.histograms);
      done += chunk.length;
      onProgress?.(done, files.length);
    }
  } finally {
    await pool.close();
  }
  return { broken, total: files.length, normalization: histogramStatistics(histograms) };
}

function inChunks(files: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(files.length / filesPerJob) }, (_, index) =>
    files.slice(index * filesPerJob, (index + 1) * filesPerJob),
  );
}

function addCounts(sums: readonly Float64Array[], histograms: readonly Float64Array[]): void {
  for (const [channel, sum] of sums.entries()) {
    for (const [value, count] of (histograms[channel] ?? []).entries()) sum[value] = (sum[value] as number) + count;
  }
}

function unreadable(directory: string, { broken, total }: Look): FailureError {
  const reasons = [...broken.values()];
  const lines = reasons.slice(0, namedFiles).map((reason) => `\n  ${reason.split(';')[0]}`);
  const more = reasons.length > namedFiles ? `\n  … and ${reasons.length - namedFiles} more` : '';
  return new FailureError(
    `${directory}: ${reasons.length} of ${total} image files can't be read:${lines.join('')}${more}\n` +
      'replace or remove them, or leave them out with --skip-corrupt',
  );
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, namedFiles).join(', ');
  return names.length > namedFiles ? `${shown} … (${names.length} in all)` : shown;
}
