/** @file CIFAR-10 and CIFAR-100 in their binary versions, good and broken. */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { pickled } from '../../helpers/pickle.js';
import { cifarRecords, makeFolder, pixelsOf, someBytes, writeCifar10, writeCifar10Python } from './files.js';

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => rm(folder, { recursive: true }));

test.each(['.', 'cifar-10-batches-bin'])('CIFAR-10 in %s', async (place) => {
  await writeCifar10(join(folder, place));
  const data = await loadDataset(folder);
  expect(data).toMatchObject({
    name: 'cifar-10',
    classes: 10,
    channels: 3,
    imageSize: 32,
    augmentation: 'crop-flip',
    normalization: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  });
  expect(data.train).toMatchObject({ count: 10, storedChannels: 3 });
  expect([...data.train.labels]).toEqual([0, 5, 1, 6, 2, 7, 3, 8, 4, 9]);
  expect(pixelsOf(data.train).subarray(3 * 3072, 4 * 3072)).toEqual(someBytes(3072, 2));
  expect(data.test).toMatchObject({ count: 1, labels: Uint8Array.of(3), images: someBytes(3072) });
});

test.each(['.', 'cifar-100-binary'])('CIFAR-100 in %s: the fine labels', async (place) => {
  await mkdir(join(folder, place), { recursive: true });
  await writeFile(
    join(folder, place, 'train.bin'),
    cifarRecords([
      [19, 99],
      [0, 1],
    ]),
  );
  await writeFile(join(folder, place, 'test.bin'), cifarRecords([[5, 42]]));
  const data = await loadDataset(folder, { channels: 3 });
  expect(data).toMatchObject({ name: 'cifar-100', classes: 100, augmentation: 'crop-flip' });
  expect(data.normalization.std).toEqual([0.2673, 0.2564, 0.2762]);
  expect([...data.train.labels]).toEqual([99, 1]);
  expect(pixelsOf(data.train).subarray(3072)).toEqual(someBytes(3072, 2));
});

test('names of the classes, where the archive has brought them', async () => {
  await writeCifar10(folder);
  const names = Array.from({ length: 10 }, (_, label) => `name ${label}`);
  expect(await loadDataset(folder)).not.toHaveProperty('classNames');
  await writeFile(join(folder, 'batches.meta.txt'), `${names.join('\n')}\n\n`);
  expect((await loadDataset(folder)).classNames).toEqual(names);
  await writeFile(join(folder, 'batches.meta.txt'), 'only one\n');
  expect(await loadDataset(folder)).not.toHaveProperty('classNames');
});

test('one channel is refused', async () => {
  await writeCifar10(folder);
  const loading = loadDataset(folder, { channels: 1 });
  await expect(loading).rejects.toThrow(RequestError);
  await expect(loading).rejects.toThrow('cifar-10 has 3 channels but the network takes 1; build it with --channels 3');
});

test('missing files are named', async () => {
  await writeCifar10(folder);
  await rm(join(folder, 'data_batch_2.bin'));
  await rm(join(folder, 'test_batch.bin'));
  await expect(loadDataset(folder)).rejects.toThrow(`${folder}: cifar-10 lacks data_batch_2.bin, test_batch.bin;`);
});

test.each([
  ['an empty file', new Uint8Array(0), 'the file has 0 bytes, not a whole number of records of 3073 bytes'],
  ['a cut file', cifarRecords([[1], [2]]).subarray(0, -1), 'the file has 6145 bytes, not a whole number'],
  ['a label out of range', cifarRecords([[1], [10]]), 'record 1 has the label 10 but cifar-10 has 10 classes'],
])('%s', async (_, bytes, message) => {
  await writeCifar10(folder);
  const path = join(folder, 'data_batch_3.bin');
  await writeFile(path, bytes);
  const loading = loadDataset(folder);
  await expect(loading).rejects.toThrow(FailureError);
  await expect(loading).rejects.toThrow(`${path}: ${message}`);
});

test('a file that is a folder', async () => {
  await writeCifar10(folder);
  await rm(join(folder, 'test_batch.bin'));
  await mkdir(join(folder, 'test_batch.bin'));
  await expect(loadDataset(folder)).rejects.toThrow('it is a folder; give the path of a file');
});

test.each(['.', 'cifar-10-batches-py'])("CIFAR-10's Python version in %s is the binary one", async (place) => {
  await writeCifar10Python(join(folder, place));
  await writeCifar10(join(folder, 'binary'));
  const { classNames, ...data } = await loadDataset(folder);
  expect(data).toEqual(await loadDataset(join(folder, 'binary')));
  expect(classNames?.[9]).toBe('name 9');
});

test("CIFAR-100's Python version: the fine labels", async () => {
  const place = join(folder, 'cifar-100-python');
  await mkdir(place);
  const data = someBytes(2 * 3072);
  await writeFile(join(place, 'train'), pickled({ coarse_labels: [0, 1], fine_labels: [99, 5], data }));
  await writeFile(join(place, 'test'), pickled({ fine_labels: [42, 43], coarse_labels: [5, 6], data }));
  const names = Array.from({ length: 100 }, (_, label) => `name ${label}`);
  await writeFile(join(place, 'meta'), pickled({ fine_label_names: names, coarse_label_names: ['x'] }));
  const loaded = await loadDataset(folder);
  expect(loaded).toMatchObject({ name: 'cifar-100', classNames: names });
  expect([...loaded.train.labels]).toEqual([99, 5]);
  expect(pixelsOf(loaded.train)).toEqual(data);
  const test = await loadDataset(place, { parts: 'test' });
  expect([test.train.count, test.test.count]).toEqual([0, 2]);
});

test.each<[string, () => Buffer, string]>([
  ['no labels', () => pickled({ data: new Uint8Array(3072) }), "holds no array 'data' with 'labels'; it has data"],
  [
    'a label too many',
    () => pickled({ data: new Uint8Array(3072), labels: [1, 2] }),
    "'data' is 1×3072 of u1 for 2 labels",
  ],
  [
    'a label out of range',
    () => pickled({ data: new Uint8Array(3072), labels: [10] }),
    'record 0 has the label 10 but cifar-10 has 10',
  ],
  [
    'code',
    () => Buffer.from('\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.', 'latin1'),
    'no code of theirs is run',
  ],
  ['no pickle', () => Buffer.from('data'), 'is no pickle of protocol 2 to 5'],
])('a Python file with %s', async (_, make, message) => {
  await writeCifar10Python(folder);
  await writeFile(join(folder, 'data_batch_3'), make());
  await expect(loadDataset(folder)).rejects.toThrow(FailureError);
  await expect(loadDataset(folder)).rejects.toThrow(message);
  await expect(loadDataset(folder)).rejects.toThrow('data_batch_3');
});

test('only the test images are read where only they are used', async () => {
  await writeCifar10(folder);
  for (let file = 1; file <= 5; file++) await rm(join(folder, `data_batch_${file}.bin`));
  expect((await loadDataset(folder, { parts: 'test' })).test.count).toBe(1);
  await expect(loadDataset(folder)).rejects.toThrow('lacks data_batch_1.bin');
});
