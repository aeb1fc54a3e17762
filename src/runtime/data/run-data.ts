/** @file A run's data: which images it uses for what, and its batches, made ahead of the step by data workers. */

import { type Augment, type Batch, epochOrder, splitValidation } from './batches.js';
import { fileEntries } from './file-batches.js';
import { shared } from './images.js';
import type { Job } from './jobs.js';
import { DataPool } from './pool.js';
import { type BatchSource, checkCounts, type ImageCounts, type RunPart, sourceBatches } from './source.js';
import type { Dataset, Split } from './types.js';

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
}

/** Indices of the images that a run uses. */
interface RunImages {
  /** Of the training split. */
  readonly training: Uint32Array;
  /** Of the training split, held out. */
  readonly validation: Uint32Array;
  /** Of the test split. */
  readonly test: Uint32Array;
}

/** Which images a run uses. @throws RequestError when nothing would be left to train on */
function splitImages(
  dataset: Dataset,
  { limit = Number.POSITIVE_INFINITY, validSize, seed }: Pick<RunDataOptions, 'limit' | 'validSize' | 'seed'>,
): RunImages {
  const limited = { count: Math.min(dataset.train.count, limit) };
  const { train: training, validation } = splitValidation(limited, validSize, seed);
  return { training, validation, test: upTo(Math.min(dataset.test.count, limit)) };
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
  const augmented = augments(dataset, options.augment);
  const pool = openPool(dataset, { train: dataset.train, test: dataset.test }, workers);
  const training = (epoch: number): Uint32Array =>
    epochOrder(images.training.length, seed, epoch).map((place) => images.training[place] ?? 0);
  return {
    counts: { training: images.training.length, validation: images.validation.length, test: images.test.length },
    batches(part, epoch = 0, first = 0) {
      const indices = part === 'training' ? training(epoch) : images[part];
      const augment = part === 'training' && augmented ? { seed, epoch } : undefined;
      const rest = indices.subarray(first * batchSize);
      const name = part === 'test' ? 'test' : 'train';
      return pool.inOrder(inBatches(name, dataset[name], rest, batchSize, augment));
    },
    close: () => pool.close(),
  };
}

function openPool(
  dataset: Dataset,
  splits: { readonly train?: Split; readonly test?: Split },
  workers: number | undefined,
): DataPool {
  const { channels, imageSize, border, resize, normalization, augmentation } = dataset;
  const format = { channels, imageSize, border, resize, normalization, augmentation };
  const inMemory = Object.entries(splits).flatMap(([name, split]) =>
    'images' in split ? [[name, { ...split, images: shared(split.images) }] as const] : [],
  );
  return new DataPool({ format, pixels: Object.fromEntries(inMemory) }, workers);
}

/** A job for each batch. Paths of files go with the job, so that no thread keeps a copy of all. */
function* inBatches(
  name: 'train' | 'test',
  split: Split,
  indices: Uint32Array,
  batchSize: number,
  augment: Augment | undefined,
): Generator<Exclude<Job, { kind: 'inspect' }>> {
  for (let start = 0; start < indices.length; start += batchSize) {
    const chosen = indices.slice(start, start + batchSize);
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
