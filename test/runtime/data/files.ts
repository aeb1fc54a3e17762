/** @file Makes small data sets on disk for the tests. */

import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Split } from '../../../src/runtime/data/dataset.js';
import { matFile } from '../../helpers/mat.js';
import { pickled } from '../../helpers/pickle.js';

/** A new empty folder. */
export function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'densec-data-'));
}

/** The bytes of an IDX file; `data` need not fit the shape. */
export function idxBytes(shape: readonly number[], data: ArrayLike<number>): Buffer {
  const header = Buffer.from([0, 0, 8, shape.length, ...shape.flatMap(() => [0, 0, 0, 0])]);
  shape.forEach((extent, axis) => {
    header.writeUInt32BE(extent, 4 + 4 * axis);
  });
  return Buffer.concat([header, Uint8Array.from(data)]);
}

/** `count` bytes that follow no simple pattern, the same each time. */
export function someBytes(count: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 24;
  });
}

/** The bytes of a split in memory. */
export function pixelsOf(split: Split): Uint8Array {
  if ('images' in split) return split.images;
  throw new Error('the split is of files');
}

/** Writes the four IDX files of a data set, with labels 0, 1, 2, 0, … */
export async function writeIdxFolder(folder: string, side: number, trainCount: number, testCount: number) {
  for (const [name, count] of [
    ['train', trainCount],
    ['t10k', testCount],
  ] as const) {
    const labels = Array.from({ length: count }, (_, index) => index % 3);
    await writeFile(
      join(folder, `${name}-images-idx3-ubyte`),
      idxBytes([count, side, side], someBytes(count * side ** 2)),
    );
    await writeFile(join(folder, `${name}-labels-idx1-ubyte`), idxBytes([count], labels));
  }
}

/** CIFAR records: for each the label bytes, then 3072 pixels made by `someBytes` with the seed 1 + the record's index. */
export function cifarRecords(labels: readonly (readonly number[])[]): Buffer {
  return Buffer.concat(labels.flatMap((bytes, index) => [Uint8Array.from(bytes), someBytes(3072, index + 1)]));
}

/** Writes CIFAR-10's six files; each training file has two records, the test file one. */
export async function writeCifar10(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (let file = 1; file <= 5; file++) {
    await writeFile(join(folder, `data_batch_${file}.bin`), cifarRecords([[file - 1], [file + 4]]));
  }
  await writeFile(join(folder, 'test_batch.bin'), cifarRecords([[3]]));
}

/** Writes SVHN's two files, of some pixels, with labels 1, 2, … 10, 1, … as SVHN has them. */
export async function writeSvhnFolder(folder: string, train: number, test: number): Promise<void> {
  for (const [name, count] of [
    ['train', train],
    ['test', test],
  ] as const) {
    const X = { name: 'X', shape: [32, 32, 3, count], data: someBytes(count * 3072, count) };
    const y = { name: 'y', shape: [count, 1], data: Float64Array.from({ length: count }, (_, at) => (at % 10) + 1) };
    await writeFile(join(folder, `${name}_32x32.mat`), matFile([X, y]));
  }
}

/** Six files of CIFAR-10's Python version with the images of `writeCifar10`. */
export async function writeCifar10Python(place: string): Promise<void> {
  await mkdir(place, { recursive: true });
  const images = (count: number): Uint8Array =>
    Buffer.concat(Array.from({ length: count }, (_, index) => someBytes(3072, index + 1)));
  for (let file = 1; file <= 5; file++) {
    const content = {
      batch_label: ['x'],
      labels: [file - 1, file + 4],
      data: images(2),
      filenames: ['a.png', 'b.png'],
    };
    await writeFile(join(place, `data_batch_${file}`), pickled(content));
  }
  await writeFile(join(place, 'test_batch'), pickled({ labels: [3], data: images(1) }));
  const names = Array.from({ length: 10 }, (_, label) => `name ${label}`);
  await writeFile(join(place, 'batches.meta'), pickled({ label_names: names }));
}
