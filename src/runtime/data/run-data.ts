/** @file A run's data: which images it uses for what, and its batches, made ahead of the step by data workers. */

import { RequestError } from '../../ir/errors.js';
import { type Augment, type Batch, epochOrder, splitValidation } from './batches.js';
import { changesColors } from './color-jitter.js';
import { type Deal, rowsRead } from './deal.js';
import { fileEntries } from './file-batches.js';
import { shared } from './images.js';
import type { Job, SplitName } from './jobs.js';
import { DataPool } from './pool.js';
import { type BatchSource, checkCounts, type ImageCounts, type RunPart, sourceBatches } from './source.js';
import { mostPicked } from './stratify.js';
import type { Dataset, Split } from './types.js';

/** Training images held out for validation unless told, at most a tenth. */
export const defaultValidSize = 5000;

/** What decides a run's batches. */
export interface RunDataOptions {
  readonly batchSize: number;
  /** Training images held out for validation. */
  readonly validSize: number;
  /** Most images to use of each split. */
  readonly limit?: number | undefined;
  readonly seed: number;
  /** Whether training images are augmented; by default as the data set says. */
  readonly augment?: boolean | undefined;
  /** Where several processes share each batch: what this one takes of it, in training and in evaluation. */
  readonly deals?: { readonly training: Deal; readonly evaluation: Deal } | undefined;
  /** Whether image files are augmented by random parts of them, scaled, beside flips; they are unless false. */
  readonly resizedCrop?: boolean | undefined;
  /** How far brightness, contrast and saturation of training images may change, with or without other augmentation. */
  readonly colorJitter?: number | undefined;
  /** How far their hue may move, as a share of the colour circle. */
  readonly hueJitter?: number | undefined;
}

/** Indices of the images that a run uses. */
interface RunImages {
  /** Of the training split. */
  readonly training: Uint32Array;
  /** Of the training split, held out; or of the data set's own validation images. */
  readonly validation: Uint32Array;
  /** Of the test split. */
  readonly test: Uint32Array;
}

/** Whether validation takes the images that the data set has for it, not training images that are held out. */
function validatesOnOwn({ validation }: Dataset, { validSize }: Pick<RunDataOptions, 'validSize'>): boolean {
  return validation !== undefined && validSize === 0;
}

/** Which images a run uses. @throws RequestError when nothing would be left to train on */
function splitImages(dataset: Dataset, options: Pick<RunDataOptions, 'limit' | 'validSize' | 'seed'>): RunImages {
  const { limit = Number.POSITIVE_INFINITY, validSize, seed } = options;
  const { train, validation: own, test, holdOut } = dataset;
  const limited = { labels: train.labels.subarray(0, Math.min(train.count, limit)) };
  const parts = splitValidation(limited, validSize, seed, holdOut);
  const validation = own && validatesOnOwn(dataset, options) ? upTo(Math.min(own.count, limit)) : parts.validation;
  return { training: parts.train, validation, test: upTo(Math.min(test.count, limit)) };
}

/**
 * How many training images a run holds out for validation: as told by number or share; else none where the data set
 * has validation images of its own, and a tenth elsewhere.
 * @throws RequestError when both number and share are told, or the share is none
 */
export function heldOut(
  data: Dataset | BatchSource,
  {
    validSize,
    validShare,
    limit = Number.POSITIVE_INFINITY,
  }: {
    readonly validSize?: number | undefined;
    readonly validShare?: number | undefined;
    readonly limit?: number | undefined;
  },
): number {
  const own = !isBatchSource(data) && data.validation !== undefined;
  if (validShare === undefined) {
    const images = Math.min(isBatchSource(data) ? data.counts.training : data.train.count, limit);
    const usual = own ? 0 : Math.min(defaultValidSize, Math.floor(images / 10));
    return (
      validSize ?? (isBatchSource(data) ? usual : Math.min(usual, mostPicked(data.train.labels.subarray(0, images))))
    );
  }
  if (validSize !== undefined) {
    throw new RequestError('--valid-size and --valid-share are both given; leave out one of them');
  }
  if (!(validShare >= 0 && validShare < 1)) {
    throw new RequestError(`the share of validation images is ${validShare}; it must be at least 0 and below 1`);
  }
  if (isBatchSource(data)) {
    throw new RequestError(`${data.name} has counts of its own; --valid-share is for data sets`);
  }
  // Of images that came without parts, it is a share of them all, as that for the test is.
  const images = Math.min(data.train.count, limit) / (1 - (data.split?.testShare ?? 0));
  return Math.round(validShare * images);
}

/** What people should know of the images that a run uses for what. */
export function imageNotes(dataset: Dataset, options: Pick<RunDataOptions, 'limit' | 'validSize' | 'seed'>): string[] {
  const { train, validation, test, name, classNames, task = 'classes' } = dataset;
  const notes: string[] = [];
  if (validation && validation !== test && options.validSize > 0) {
    notes.push(
      `${name}: ${options.validSize} training images are held out as asked, so its ${validation.count} validation images are not used`,
    );
  }
  if (task !== 'classes') return notes;
  const { training } = splitImages(dataset, options);
  const trained = new Set(Array.from(training, (index) => train.labels[index]));
  const lost = [...new Set(train.labels)].filter((label) => !trained.has(label));
  if (lost.length > 0) {
    const names = lost.slice(0, 5).map((label) => classNames?.[label] ?? label);
    notes.push(
      `${name}: no image is left to train on of ${lost.length} classes (${names.join(', ')}${lost.length > 5 ? ', …' : ''}): choose a smaller validation size`,
    );
  }
  return notes;
}

/** A data set's training images that a run trains on, by their indices. @throws RequestError when there would be none */
export function trainedOn(
  dataset: Dataset,
  options: Pick<RunDataOptions, 'limit' | 'validSize' | 'seed'>,
): Uint32Array {
  return splitImages(dataset, options).training;
}

/** How many images a run uses for what. @throws RequestError when nothing would be left to train on */
export function imageCounts(
  data: Dataset | BatchSource,
  options: Pick<RunDataOptions, 'limit' | 'validSize' | 'seed'>,
): ImageCounts {
  if (isBatchSource(data)) {
    checkCounts(data);
    return data.counts;
  }
  const { training, validation, test } = splitImages(data, options);
  return { training: training.length, validation: validation.length, test: test.length };
}

/** A run's data. */
export interface RunData {
  readonly counts: ImageCounts;
  /**
   * Batches of a part, in order.
   * @param epoch counted from 0; on it depend order and augmentation of training
   * @param first batches to leave out at the beginning
   */
  batches(part: RunPart, epoch?: number, first?: number): AsyncGenerator<Batch>;
  close(): Promise<void>;
}

/**
 * The data of a run.
 * @param check throws where a batch of one's own doesn't fit the network
 * @throws RequestError when the options don't fit the data
 */
export function openRunData(
  data: Dataset | BatchSource,
  options: RunDataOptions,
  workers: number | undefined,
  check: (batch: Batch, what: string) => void,
): RunData {
  if (isBatchSource(data) && options.deals) {
    throw new RequestError(
      `${data.name} makes its batches itself, which are not dealt out to several processes; train it in one`,
    );
  }
  return isBatchSource(data) ? ownData(data, options, check) : datasetData(data, options, workers);
}

/** Whether data comes from the program itself. */
export function isBatchSource(data: Dataset | BatchSource): data is BatchSource {
  return 'batches' in data;
}

/** Whether a run augments: as told, else as its data set says. */
export function augments({ augmentation, augmentByDefault = true }: Dataset, told: boolean | undefined): boolean {
  return augmentation !== 'none' && (told ?? augmentByDefault);
}

/**
 * Batches of all test images in their order, without augmentation.
 * @param workers data workers; by default one less than there are cores, at most four
 */
export async function* testBatches(
  dataset: Dataset,
  batchSize: number,
  workers: number | undefined,
): AsyncGenerator<Batch> {
  const { test } = dataset;
  const pool = openPool(dataset, { test }, workers);
  try {
    yield* pool.inOrder(inBatches('test', test, upTo(test.count), batchSize, undefined));
  } finally {
    await pool.close();
  }
}

function ownData(
  source: BatchSource,
  { batchSize, seed }: RunDataOptions,
  check: (batch: Batch, what: string) => void,
): RunData {
  checkCounts(source);
  return {
    counts: source.counts,
    batches: (part, epoch = 0, first = 0) => sourceBatches(source, { part, epoch, seed, batchSize, first }, check),
    close: async () => undefined,
  };
}

function datasetData(dataset: Dataset, options: RunDataOptions, workers: number | undefined): RunData {
  const images = splitImages(dataset, options);
  const { batchSize, seed } = options;
  const colors = { strength: options.colorJitter, hue: options.hueJitter };
  const augmented = augments(dataset, options.augment);
  const { train, test } = dataset;
  const own = validatesOnOwn(dataset, options) ? dataset.validation : undefined;
  const splits = { training: train, validation: own ?? train, test };
  const pool = openPool(dataset, { train, test, ...(own && own !== test && { validation: own }) }, workers);
  const training = (epoch: number): Uint32Array =>
    epochOrder(images.training.length, seed, epoch).map((place) => images.training[place] ?? 0);
  return {
    counts: { training: images.training.length, validation: images.validation.length, test: images.test.length },
    batches(part, epoch = 0, first = 0) {
      const indices = part === 'training' ? training(epoch) : images[part];
      const isChanged = part === 'training' && (augmented || changesColors(colors));
      const augment = isChanged
        ? {
            ...{ seed, epoch, colors },
            ...(!augmented && { colorsOnly: true as const }),
            ...(options.resizedCrop === false && { wholeImages: true as const }),
          }
        : undefined;
      const rest = indices.subarray(first * batchSize);
      const split = splits[part];
      const name = split === train ? 'train' : split === test ? 'test' : 'validation';
      const deal = options.deals?.[part === 'training' ? 'training' : 'evaluation'];
      return pool.inOrder(inBatches(name, split, rest, batchSize, augment, deal));
    },
    close: () => pool.close(),
  };
}

/** @throws RequestError where parts of images that are in memory would have to be scaled */
export function requireResizedCrop({ name, augmentation }: Dataset, told: boolean | undefined): void {
  if (told !== true || augmentation === 'resized-crop-flip') return;
  throw new RequestError(
    `${name} has images of one size in memory, and --resized-crop is for image files; leave it out (--augment crops such images with 4 black pixels around)`,
  );
}

function openPool(
  dataset: Dataset,
  splits: { readonly [N in SplitName]?: Split },
  workers: number | undefined,
): DataPool {
  const { channels, imageSize, imageWidth, border, resize, normalization, augmentation } = dataset;
  const format = { channels, imageSize, imageWidth, border, resize, normalization, augmentation };
  const inMemory = Object.entries(splits).flatMap(([name, split]) =>
    'images' in split ? [[name, { ...split, images: shared(split.images) }] as const] : [],
  );
  return new DataPool({ format, pixels: Object.fromEntries(inMemory) }, workers);
}

/** A job for each batch, or for what a process takes of it. Paths of files go with the job, so that no thread keeps a copy of all. */
function* inBatches(
  name: SplitName,
  split: Split,
  indices: Uint32Array,
  batchSize: number,
  augment: Augment | undefined,
  deal?: Deal,
): Generator<Exclude<Job, { kind: 'inspect' }>> {
  for (let start = 0; start < indices.length; start += batchSize) {
    const whole = indices.subarray(start, start + batchSize);
    const { first, count } = deal ? rowsRead(whole.length, deal) : { first: 0, count: whole.length };
    const chosen = whole.slice(first, first + count);
    if ('images' in split) {
      yield { kind: 'pixels', split: name, indices: chosen, augment };
      continue;
    }
    yield { kind: 'files', entries: fileEntries(split, chosen), augment };
  }
}

function upTo(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index);
}
