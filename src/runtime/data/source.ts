/** @file Data of one's own, batch by batch: what a program gives `train` instead of a data set. */

import { FailureError, RequestError } from '../../ir/errors.js';
import type { Batch } from './batches.js';

/** The uses of images in a run: steps, choosing the best weights, and the final test. */
export type RunPart = 'training' | 'validation' | 'test';

/** How many images a run uses for what. */
export type ImageCounts = Readonly<Record<RunPart, number>>;

/** Which batches are asked for. */
export interface BatchesRequest {
  readonly part: RunPart;
  /** Counted from 0; always 0 but for training. */
  readonly epoch: number;
  readonly seed: number;
  /** Images of a batch. The last one has what is left: `counts[part]` in all. */
  readonly batchSize: number;
  /** Batches to leave out at the beginning: a resumed run has seen them. */
  readonly first: number;
}

/**
 * Makes a run's batches. For runs that can be repeated and resumed to the same bits, what it makes must depend on the
 * request alone.
 */
export interface BatchSource {
  /** For reports. */
  readonly name: string;
  /** With no validation images the last epoch's weights count as the best; with no test images nothing is tested. */
  readonly counts: ImageCounts;
  /** Batches in order, the first one being number `first`; made with `createBatch`, normalized and augmented. */
  batches(request: BatchesRequest): Iterable<Batch> | AsyncIterable<Batch>;
}

/** @throws RequestError when a source's counts are no counts, or it has nothing to train on */
export function checkCounts({ name, counts }: BatchSource): void {
  for (const part of ['training', 'validation', 'test'] as const) {
    const count: unknown = counts[part];
    const least = part === 'training' ? 1 : 0;
    if (Number.isSafeInteger(count) && (count as number) >= least) continue;
    throw new RequestError(`${name}: the count of ${part} images is ${count}; it must be a whole number from ${least}`);
  }
}

/**
 * A source's batches, the next one asked for while the last is in use, and each held against what was asked for.
 * @param check throws where a batch doesn't fit the network
 * @throws FailureError when the source ends early or a batch has another number of images
 */
export async function* sourceBatches(
  source: BatchSource,
  request: BatchesRequest,
  check: (batch: Batch, what: string) => void,
): AsyncGenerator<Batch> {
  const { part, batchSize, first } = request;
  const count = source.counts[part];
  const batches = Math.ceil(count / batchSize);
  const iterator = iterate(source.batches(request));
  try {
    let next = ask(iterator);
    for (let batch = first; batch < batches; batch++) {
      const { done, value } = await next;
      const what = `${source.name}, ${part} batch ${batch + 1} of ${batches}`;
      if (done) throw new FailureError(`${what}: the source ended; it announces ${count} images`);
      check(value, what);
      const expected = Math.min(batchSize, count - batch * batchSize);
      if (value.labels.data.length !== expected) {
        throw new FailureError(
          `${what} has ${value.labels.data.length} images, not ${expected}; keep to the batch size`,
        );
      }
      if (batch + 1 < batches) next = ask(iterator);
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}

/** Batches as they come, each held against the network. @param check throws where one doesn't fit */
export async function* checkedBatches(
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  check: (batch: Batch, what: string) => void,
): AsyncGenerator<Batch> {
  let number = 0;
  for await (const batch of batches) {
    check(batch, `batch ${++number}`);
    yield batch;
  }
}

function iterate(batches: Iterable<Batch> | AsyncIterable<Batch>): Iterator<Batch> | AsyncIterator<Batch> {
  return Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
}

async function ask(iterator: Iterator<Batch> | AsyncIterator<Batch>): Promise<IteratorResult<Batch>> {
  return iterator.next();
}
