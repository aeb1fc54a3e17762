/** @file A data set of image files: each is decoded once, to find those that can't be read and what is normal. */

import { isAbsolute, join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import type { Task } from '../../step/tasks.js';
import { type FileParts, listed, named, select } from './file-parts.js';
import { histogramStatistics } from './images.js';
import { DataPool } from './pool.js';
import type { Dataset, DatasetOptions, FileSplit, KnownData, Normalization } from './types.js';

/** Height and width unless told, as of a network that is built without --image-size. */
const defaultSize = 32;

/** ImageNet's evaluation scales the shorter side to 256 for a middle of 224. */
const resizeRatio = 256 / 224;

/** Most classes a label can tell apart. */
const maxClasses = 2 ** 16;

/** Files decoded by one job of the first look. */
const filesPerJob = 64;

/** What a data set of files is made of. */
export interface FileSource extends FileParts {
  readonly name: string;
  /** The source, as messages name it. */
  readonly place: string;
  /** The folder that names of files are told relative to. */
  readonly folder: string;
  readonly classNames: readonly string[];
  readonly task?: Task | undefined;
  readonly notes: readonly string[];
}

/**
 * A data set of image files. Each is decoded once: to find those that can't be read, and for the mean and deviation of
 * the training pixels. With both known from a former run, nothing is decoded.
 * @throws FailureError when files can't be read (unless they are to be skipped), or none are left
 * @throws RequestError when there is but one class to train on
 */
export async function fileDataset(source: FileSource, options: DatasetOptions): Promise<Dataset> {
  const { name, place, folder, classNames, task = 'classes' } = source;
  const {
    channels = 3,
    imageSize = defaultSize,
    imageWidth = imageSize,
    limit,
    known,
    parts = 'all',
    skipCorrupt,
  } = options;
  if (classNames.length > maxClasses) {
    throw new FailureError(`${place}: there are ${classNames.length} classes, at most ${maxClasses} can be told`);
  }
  const isOfClasses = task === 'classes';
  if (parts === 'all' && !known && isOfClasses) requireTwoClasses(source);
  const format = {
    channels,
    imageSize,
    ...(imageWidth !== imageSize && { imageWidth }),
    resize: Math.round(Math.min(imageSize, imageWidth) * resizeRatio),
    augmentation: 'resized-crop-flip' as const,
  };
  const first = mapParts(source, (split) => select(split, upTo(Math.min(split.count, limit ?? split.count))));
  const look = await inspect(first, format, options);
  if (look.broken.size > 0 && !skipCorrupt) throw unreadable(place, look);
  const skipped = new Set([
    ...(known?.skipped ?? []).map((file) => (isAbsolute(file) ? file : join(folder, file))),
    ...look.broken.keys(),
  ]);
  const kept = mapParts(first, (split) =>
    select(
      split,
      upTo(split.count).filter((index) => !skipped.has(split.files[index] as string)),
    ),
  );
  if (parts === 'all' && kept.train.count === 0) {
    throw new FailureError(`${place}: no image of ${classNames.length} classes is left to train on`);
  }
  if (kept.test.count === 0 && source.split?.testShare !== 0) {
    throw new FailureError(`${place}: no image is left to test with`);
  }
  const normalization = known?.normalization ?? look.normalization;
  if (!normalization) {
    throw new RequestError(
      `${place} has no training images to take the mean and deviation from, and the weights don't say how images are normalized; give training images along with them`,
    );
  }
  const base = join(folder, '/');
  return {
    name,
    ...(!isOfClasses && { task }),
    classes: classNames.length,
    ...format,
    classNames,
    ...kept,
    ...(source.split && { split: source.split }),
    normalization,
    skipped: [...skipped].map((file) => (file.startsWith(base) ? file.slice(base.length) : file)),
    notes: [...source.notes, ...(isOfClasses ? missingClasses(source) : [])],
  };
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** The parts changed, where validation and test stay one if they are. */
function mapParts(
  { train, validation, test }: FileParts,
  change: (split: FileSplit) => FileSplit,
): Pick<FileParts, 'train' | 'validation' | 'test'> {
  const changed = { train: change(train), test: change(test) };
  if (validation === undefined) return changed;
  return { ...changed, validation: validation === test ? changed.test : change(validation) };
}

function requireTwoClasses({ train, place, classNames }: FileSource): void {
  const [only, ...others] = new Set(train.labels);
  if (only === undefined || others.length > 0) return;
  throw new RequestError(
    `${place}: all training images are of one class, ${classNames[only]}; a network tells at least two classes apart: give images of another one too`,
  );
}

/** Tells which classes have no validation or test image: their error is not measured. */
function missingClasses({ place, train, validation, test, classNames }: FileSource): string[] {
  const trained = [...(train.count > 0 ? new Set(train.labels) : classNames.keys())];
  const tell = (split: FileSplit, use: string): string[] => {
    const present = new Set(split.labels);
    const missing = trained.filter((label) => !present.has(label)).map((label) => classNames[label] ?? `${label}`);
    if (missing.length === 0 || split.count === 0) return [];
    return [
      `${place}: no ${use} image of ${missing.length} of ${trained.length} classes, so their error isn't measured: ${listed(missing)}`,
    ];
  };
  if (validation === undefined) return tell(test, 'test');
  return validation === test
    ? tell(test, 'validation and test')
    : [...tell(validation, 'validation'), ...tell(test, 'test')];
}

/** What the first look at a data set's files finds. */
interface Look {
  /** Why files can't be read, by path. */
  readonly broken: ReadonlyMap<string, string>;
  /** Files that were looked at. */
  readonly total: number;
  /** Of the training pixels that could be read; absent where none were looked at. */
  readonly normalization: Normalization | undefined;
}

async function inspect(
  { train, validation, test }: FileParts,
  format: {
    readonly channels: number;
    readonly imageSize: number;
    readonly imageWidth?: number;
    readonly resize: number;
    readonly augmentation: 'resized-crop-flip';
  },
  { known, parts, workers, onProgress }: DatasetOptions,
): Promise<Look> {
  const checked = known?.skipped !== undefined;
  const trainFiles = isTrainKnown(known, parts) ? [] : train.files;
  const own = validation && validation !== test ? validation.files : [];
  const otherFiles = checked ? [] : [...own, ...test.files];
  const total = trainFiles.length + otherFiles.length;
  const broken = new Map<string, string>();
  const histograms = Array.from({ length: format.channels }, () => new Float64Array(256));
  if (total === 0) return { broken, total, normalization: undefined };
  const pool = new DataPool({ format: { ...format, normalization: { mean: [], std: [] } }, pixels: {} }, workers);
  try {
    // A job is of training images or of others alone: only training pixels count for the normalization.
    const chunks = [...inChunks(trainFiles), ...inChunks(otherFiles)];
    const looks = pool.inOrder(chunks.map((chunk) => ({ kind: 'inspect' as const, files: chunk })));
    let done = 0;
    for (const chunk of chunks) {
      const look = (await looks.next()).value;
      for (const { at, reason } of look?.broken ?? []) broken.set(chunk[at] as string, reason);
      if (look && done < trainFiles.length) addCounts(histograms, look.histograms);
      done += chunk.length;
      onProgress?.(done, total);
    }
  } finally {
    await pool.close();
  }
  const normalization = trainFiles.length > 0 ? histogramStatistics(histograms) : undefined;
  return { broken, total, normalization };
}

/** Whether nothing is to be found out of the training images. */
function isTrainKnown(known: KnownData | undefined, parts: DatasetOptions['parts']): boolean {
  return known?.normalization !== undefined && (parts === 'test' || known.skipped !== undefined);
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

function unreadable(folder: string, { broken, total }: Look): FailureError {
  const reasons = [...broken.values()];
  const lines = reasons.slice(0, named).map((reason) => `\n  ${reason.split(';')[0]}`);
  const more = reasons.length > named ? `\n  … and ${reasons.length - named} more` : '';
  return new FailureError(
    `${folder}: ${reasons.length} of ${total} image files can't be read:${lines.join('')}${more}\n` +
      'replace or remove them, or leave them out with --skip-corrupt',
  );
}
