/** @file A run's batches: the same whatever the number of data workers; data of one's own; workers that fail. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { type Batch, createBatch } from '../../../src/runtime/data/batches.js';
import { type Dataset, loadDataset } from '../../../src/runtime/data/dataset.js';
import { DataPool } from '../../../src/runtime/data/pool.js';
import { fingerprint } from '../../../src/runtime/data/record.js';
import { augments, openRunData, type RunData } from '../../../src/runtime/data/run-data.js';
import type { BatchesRequest, BatchSource } from '../../../src/runtime/data/source.js';
import { writeImageFolder } from '../../helpers/images.js';
import { makeFolder, someBytes, writeIdxFolder } from './files.js';

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => rm(folder, { recursive: true }));

const options = { batchSize: 4, validSize: 3, seed: 5, augment: true };
const accept = (): void => undefined;

/** All that a run sees in two epochs, as bytes. */
async function collect(data: Dataset, workers: number): Promise<Buffer[]> {
  const run = openRunData(data, options, workers, accept);
  const seen: Buffer[] = [];
  try {
    for (const epoch of [0, 1]) seen.push(...(await all(run.batches('training', epoch))).map(toBytes));
    seen.push(...(await all(run.batches('training', 1, 2))).map(toBytes));
    for (const part of ['validation', 'test'] as const) seen.push(...(await all(run.batches(part))).map(toBytes));
  } finally {
    await run.close();
  }
  return seen;
}

async function all(batches: AsyncGenerator<Batch>): Promise<Batch[]> {
  const list: Batch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}

function toBytes({ images, labels }: Batch): Buffer {
  const { data } = images;
  return Buffer.concat([Buffer.from(data.buffer, data.byteOffset, data.byteLength), Buffer.from(labels.data.buffer)]);
}

describe('the same batches with 0, 1 and 3 data workers', () => {
  test('of images in memory', async () => {
    await writeIdxFolder(folder, 9, 20, 6);
    const data = await loadDataset(folder);
    const seen = await collect(data, 0);
    expect(seen).toHaveLength(5 + 5 + 3 + 1 + 2);
    // A resumed epoch goes on where it was.
    expect(seen.slice(10, 13)).toEqual(seen.slice(7, 10));
    expect(seen.slice(0, 5)).not.toEqual(seen.slice(5, 10));
    for (const workers of [1, 3]) expect(await collect(data, workers)).toEqual(seen);
  });

  test('of image files', async () => {
    await writeImageFolder(folder, { train: 7, val: 2 });
    const data = await loadDataset(folder, { imageSize: 8, workers: 0 });
    const seen = await collect(data, 0);
    for (const workers of [1, 3]) expect(await collect(data, workers)).toEqual(seen);
  });
});

test('digits are augmented only when asked, colour images unless told', async () => {
  await writeIdxFolder(folder, 9, 20, 6);
  const data = await loadDataset(folder);
  expect([undefined, true, false].map((told) => augments(data, told))).toEqual([false, true, false]);
  const colour: Dataset = { ...data, augmentation: 'crop-flip', augmentByDefault: undefined };
  expect([undefined, true, false].map((told) => augments(colour, told))).toEqual([true, true, false]);
  expect(augments({ ...data, augmentation: 'none' }, true)).toBe(false);
});

test('a fingerprint tells labels and files apart, not folders', async () => {
  await writeImageFolder(join(folder, 'a'), { train: 2, val: 1 });
  await writeImageFolder(join(folder, 'b'), { train: 2, val: 1 });
  const [a, b] = [await loadDataset(join(folder, 'a')), await loadDataset(join(folder, 'b'))];
  expect(fingerprint(a)).toBe(fingerprint(b));
  await rm(join(folder, 'b', 'train', 'cat', '0.png'));
  expect(fingerprint(await loadDataset(join(folder, 'b')))).not.toBe(fingerprint(a));
});

describe('data workers', () => {
  test('that lose a file name it', async () => {
    await writeImageFolder(folder, { train: 4, val: 1 });
    const data = await loadDataset(folder, { imageSize: 8, workers: 0 });
    await rm(join(folder, 'val', 'dog', '0.png'));
    const run = openRunData(data, options, 2, accept);
    await expect(all(run.batches('test'))).rejects.toThrow(FailureError);
    await expect(all(run.batches('test'))).rejects.toThrow(join('dog', '0.png'));
    await run.close();
  });

  test('that end are one error for all that wait', async () => {
    const pool = new DataPool({ format, pixels: {} }, 2);
    const { threads } = pool as unknown as { threads: { worker: Worker }[] };
    const jobs = Array.from({ length: 6 }, () => pool.run({ kind: 'inspect', files: ['none.png'] }));
    await threads[1]?.worker.terminate();
    const errors = await Promise.all(jobs.map((job) => job.catch((error: unknown) => error)));
    expect(new Set(errors).size).toBe(1);
    expect(errors[0]).toBeInstanceOf(FailureError);
    expect((errors[0] as Error).message).toMatch(/^a data worker failed: .*--data-workers/);
    await expect(pool.run({ kind: 'inspect', files: [] })).rejects.toBe(errors[0]);
    await pool.close();
  });
});

const format = { channels: 3, imageSize: 8, normalization: { mean: [], std: [] }, augmentation: 'none' } as const;

describe('data of one’s own', () => {
  const counts = { training: 10, validation: 0, test: 3 };

  function ownSource(batchesOf: BatchSource['batches']): BatchSource {
    return { name: 'own', counts, batches: batchesOf };
  }

  function batch(size: number, first: number): Batch {
    return createBatch([1, 2, 2], Float32Array.from(someBytes(4 * size, first + 1)), new Uint8Array(size));
  }

  function* good({ part, batchSize, first }: BatchesRequest): Generator<Batch> {
    for (let at = first * batchSize; at < counts[part]; at += batchSize) {
      yield batch(Math.min(batchSize, counts[part] - at), at);
    }
  }

  const open = (source: BatchSource, check: (batch: Batch, what: string) => void = accept): RunData =>
    openRunData(source, options, undefined, check);

  test('comes from an iterator, plain or asynchronous', async () => {
    const requests: BatchesRequest[] = [];
    const plain = open(
      ownSource((request) => {
        requests.push(request);
        return good(request);
      }),
    );
    const seen = (await all(plain.batches('training', 2, 1))).map(toBytes);
    expect(seen).toEqual([batch(4, 4), batch(2, 8)].map(toBytes));
    expect(requests).toEqual([{ part: 'training', epoch: 2, seed: 5, batchSize: 4, first: 1 }]);
    const later = open(
      ownSource(async function* (request) {
        yield* good(request);
      }),
    );
    expect((await all(later.batches('training', 2, 1))).map(toBytes)).toEqual(seen);
    expect(plain.counts).toEqual(counts);
  });

  test('must be as much as announced, in batches of the size asked for', async () => {
    const short = open(ownSource(() => [batch(4, 0), batch(4, 4)]));
    await expect(all(short.batches('training'))).rejects.toThrow(
      'own, training batch 3 of 3: the source ended; it announces 10 images',
    );
    const uneven = open(ownSource(() => [batch(3, 0)]));
    await expect(all(uneven.batches('test'))).resolves.toHaveLength(1);
    await expect(all(uneven.batches('training'))).rejects.toThrow('batch 1 of 3 has 3 images, not 4');
  });

  test('is held against the network, and its iterator is closed', async () => {
    let closed = false;
    const source = ownSource(function* (request) {
      try {
        yield* good(request);
      } finally {
        closed = true;
      }
    });
    const refuse = (_: Batch, what: string): void => {
      throw new RequestError(`${what} is refused`);
    };
    await expect(all(open(source, refuse).batches('test'))).rejects.toThrow('own, test batch 1 of 1 is refused');
    expect(closed).toBe(true);
  });

  test.each([0, -1, 1.5])('announces a count of images, not %s', (training) => {
    const source = { ...ownSource(good), counts: { ...counts, training } };
    expect(() => open(source)).toThrow(RequestError);
    expect(() => open(source)).toThrow(`own: the count of training images is ${training}`);
  });

  test('has as many numbers as labels ask for', () => {
    const make = () => createBatch([3, 2, 2], new Float32Array(12), [0, 1]);
    expect(make).toThrow('a batch has 12 numbers for 2 labels; images of [3, 2, 2] take 24');
  });
});
