/** @file What a run's data takes of memory: measured figures in docs/decisions.md, "What a training run takes". */

import { elementCount } from '../../ir/tensor-data.js';
import { batchesAhead, defaultDataWorkers } from './pool.js';
import { isBatchSource } from './run-data.js';
import type { BatchSource } from './source.js';
import type { Dataset, Split } from './types.js';

/** Memory that training takes for its data. */
export interface DataMemory {
  /** Bytes of an image as the network takes it. */
  readonly imageBytes: number;
  /** Batches in memory at once: those that wait ahead, the one in use with its copy, one to be collected. */
  readonly batches: number;
  /** Bytes for threads, and for copies of images that threads can't share, whatever the batch size. */
  readonly fixedBytes: number;
  /** Bytes of images that are in memory already. */
  readonly loadedBytes: number;
}

/** A data worker: its heap and its share of the allocator's. */
const workerBytes = 25e6;

/** Decoding image files: the library and what it keeps. */
const decoderBytes = 60e6;

/** Batches beside those that wait ahead. */
const inUse = 2;

/**
 * What training on some data will take.
 * @param sample shape of an image as the network takes it, (C, H, W)
 * @param workers data workers, as told for the run
 */
export function dataMemory(
  data: Dataset | BatchSource,
  sample: readonly number[],
  workers = defaultDataWorkers,
): DataMemory {
  const imageBytes = 4 * elementCount(sample);
  // A source is asked for one batch ahead; what it keeps itself it alone knows.
  if (isBatchSource(data)) return { imageBytes, batches: inUse + 1, fixedBytes: 0, loadedBytes: 0 };
  const { train, validation, test } = data;
  const splits = [train, test, ...(validation && validation !== test ? [validation] : [])];
  const files = splits.some((split) => 'files' in split);
  return {
    imageBytes,
    batches: inUse + batchesAhead(workers),
    fixedBytes: workers * workerBytes + (files ? decoderBytes : 0) + sum(splits, copiedBytes),
    loadedBytes: sum(splits, pixelBytes),
  };
}

/** What training on pixels in memory that threads share takes beside them, where the data isn't known yet. */
export function usualDataMemory(sample: readonly number[], workers = defaultDataWorkers): DataMemory {
  return {
    imageBytes: 4 * elementCount(sample),
    batches: inUse + batchesAhead(workers),
    fixedBytes: workers * workerBytes,
    loadedBytes: 0,
  };
}

function pixelBytes(split: Split): number {
  return 'images' in split ? split.images.byteLength : 0;
}

/** Images in memory of one thread alone are copied for the others when a run begins. */
function copiedBytes(split: Split): number {
  return 'images' in split && !(split.images.buffer instanceof SharedArrayBuffer) ? split.images.byteLength : 0;
}

function sum(splits: readonly Split[], bytes: (split: Split) => number): number {
  return splits.reduce((total, split) => total + bytes(split), 0);
}
