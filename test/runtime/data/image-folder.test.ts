/** @file Folders of image files: which images there are, those that can't be read, and the batches made of them. */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { makeBatch } from '../../../src/runtime/data/batches.js';
import { type Dataset, loadDataset } from '../../../src/runtime/data/dataset.js';
import { loadBatch } from '../../../src/runtime/data/file-batches.js';
import { readImage } from '../../../src/runtime/data/image-file.js';
import { writeBroken, writeImage, writeImageFolder } from '../../helpers/images.js';
import { makeFolder } from './files.js';

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => rm(folder, { recursive: true }));

const options = { imageSize: 8, workers: 0 };

function filesOf(split: Dataset['train']): string[] {
  if (!('files' in split)) throw new Error('the images are in memory');
  return split.files.map((file) => relative(folder, file));
}

test('classes by name, their files in turn', async () => {
  await writeImageFolder(folder, { train: 3, val: 1 });
  const data = await loadDataset(folder, options);
  expect(data).toMatchObject({ classes: 2, classNames: ['cat', 'dog'], channels: 3, imageSize: 8, skipped: [] });
  expect(data).toMatchObject({ augmentation: 'resized-crop-flip', resize: 9 });
  expect([...data.train.labels]).toEqual([0, 1, 0, 1, 0, 1]);
  const names = ['cat/0.png', 'dog/0.png', 'cat/1.jpg', 'dog/1.jpg', 'cat/2.png', 'dog/2.png'];
  expect(filesOf(data.train)).toEqual(names.map((name) => join('train', name)));
  expect(filesOf(data.test)).toEqual([join('val', 'cat', '0.png'), join('val', 'dog', '0.png')]);
  expect(filesOf((await loadDataset(folder, { ...options, limit: 2 })).train)).toHaveLength(2);
});

test('the normalization is that of the training pixels, whatever the number of workers', async () => {
  await writeImageFolder(folder, { train: 4, val: 1 });
  const data = await loadDataset(folder, options);
  const format = { channels: 3, height: 8, width: 8, resize: 9 } as const;
  let [sum, squares] = [0, 0];
  for (const file of filesOf(data.train)) {
    const red = (await readImage(join(folder, file), format)).subarray(0, 64);
    for (const byte of red) [sum, squares] = [sum + byte / 255, squares + (byte / 255) ** 2];
  }
  const mean = sum / (8 * 64);
  expect(data.normalization.mean[0]).toBeCloseTo(mean, 10);
  expect(data.normalization.std[0]).toBeCloseTo(Math.sqrt(squares / (8 * 64) - mean ** 2), 10);
  expect(await loadDataset(folder, { ...options, workers: 2 })).toEqual(data);
});

test('without augmentation a batch has the middle of each image', async () => {
  await writeImageFolder(folder, { train: 2, val: 1 });
  const data = await loadDataset(folder, options);
  const { images, labels } = await loadBatch(data, data.train, [3, 0]);
  expect(images.shape).toEqual([2, 3, 8, 8]);
  expect([...labels.data]).toEqual([1n, 0n]);
  const bytes = await readImage(join(folder, 'train', 'dog', '1.jpg'), { channels: 3, height: 8, width: 8, resize: 9 });
  const { mean, std } = data.normalization;
  const expected = Float32Array.from(bytes, (byte, at) => {
    const channel = Math.floor(at / 64);
    return (byte / 255 - (mean[channel] as number)) / (std[channel] as number);
  });
  expect(images.data.slice(0, 192)).toEqual(expected);
  expect(() => makeBatch(data, data.train, [0])).toThrow(RequestError);
});

test('augmentation depends on seed, epoch and image alone', async () => {
  await writeImageFolder(folder, { train: 2, val: 1 });
  const data = await loadDataset(folder, options);
  const show = async (indices: number[], seed: number, epoch: number): Promise<Float32Array[]> => {
    const { images } = await loadBatch(data, data.train, indices, { augment: { seed, epoch } });
    return indices.map((_, entry) => images.data.slice(entry * 192, (entry + 1) * 192));
  };
  const together = await show([0, 1, 2, 3], 1, 2);
  expect([...(await show([3, 2], 1, 2)), ...(await show([1, 0], 1, 2))]).toEqual([...together].reverse());
  expect(await show([0, 1, 2, 3], 1, 3)).not.toEqual(together);
  expect(await show([0, 1, 2, 3], 2, 2)).not.toEqual(together);
  const plain = await loadBatch(data, data.train, [0]);
  const seen = new Set<string>();
  for (let epoch = 0; epoch < 30; epoch++) seen.add((await show([0], 1, epoch)).join());
  expect(seen.size).toBe(30);
  expect(seen.has(plain.images.data.join())).toBe(false);
});

test('whole images are scaled and cut as for evaluation, and half of them flipped', async () => {
  await writeImageFolder(folder, { train: 2, val: 1 });
  const data = await loadDataset(folder, options);
  const plain = (await loadBatch(data, data.train, [0])).images.data;
  const flipped = plain.map((_, at) => plain[at - 2 * (at % 8) + 7] as number);
  const seen = new Set<string>();
  for (let epoch = 0; epoch < 20; epoch++) {
    const augment = { seed: 1, epoch, wholeImages: true as const };
    seen.add((await loadBatch(data, data.train, [0], { augment })).images.data.join());
  }
  expect(seen).toEqual(new Set([plain.join(), flipped.join()]));
});

describe('images that cannot be read', () => {
  beforeEach(async () => {
    await writeImageFolder(folder, { train: 3, val: 2 });
    await writeBroken(join(folder, 'train', 'cat', '1.jpg'), 'text');
    await writeBroken(join(folder, 'val', 'dog', '1.jpg'), 'cut');
  });

  test.each([0, 2])('are refused, named and counted, with %i workers', async (workers) => {
    const loading = loadDataset(folder, { ...options, workers });
    await expect(loading).rejects.toThrow(FailureError);
    await expect(loading).rejects.toThrow(`${folder}: 2 of 10 image files can't be read:`);
    await expect(loading).rejects.toThrow(join('train', 'cat', '1.jpg'));
    await expect(loading).rejects.toThrow(join('val', 'dog', '1.jpg'));
    await expect(loading).rejects.toThrow('leave them out with --skip-corrupt');
  });

  test('only the first few are named', async () => {
    for (let image = 10; image < 20; image++) await writeBroken(join(folder, 'train', 'dog', `${image}.png`), 'text');
    const error = (await loadDataset(folder, options).catch((reason: unknown) => reason)) as Error;
    expect(error.message).toContain('12 of 20 image files');
    expect(error.message).toContain('… and 7 more');
    expect(error.message.split('\n')).toHaveLength(8);
  });

  test('can be left out, and are then known', async () => {
    const data = await loadDataset(folder, { ...options, skipCorrupt: true });
    const skipped = [join('train', 'cat', '1.jpg'), join('val', 'dog', '1.jpg')];
    expect(data.skipped).toEqual(skipped);
    expect([data.train.count, data.test.count]).toEqual([5, 3]);
    expect(filesOf(data.train)).not.toContain(skipped[0]);
    const { normalization } = data;
    const again = await loadDataset(folder, { ...options, known: { normalization, skipped } });
    expect(again).toEqual(data);
  });

  test('are not looked for among training images where only test images are used', async () => {
    await rm(join(folder, 'val', 'dog', '1.jpg'));
    const known = { normalization: { mean: [0, 0, 0], std: [1, 1, 1] } };
    const data = await loadDataset(folder, { ...options, parts: 'test', known });
    expect([data.test.count, data.normalization]).toEqual([3, known.normalization]);
  });

  test('must not be all', async () => {
    for (const name of ['0.png', '2.png']) await writeBroken(join(folder, 'train', 'cat', name), 'text');
    for (const name of ['0.png', '1.jpg', '2.png']) await writeBroken(join(folder, 'train', 'dog', name), 'text');
    await expect(loadDataset(folder, { ...options, skipCorrupt: true })).rejects.toThrow('is left to train on');
  });
});

test('other files are told, hidden ones are not images, deeper folders are looked into', async () => {
  await writeImageFolder(folder, { train: 1, val: 1 });
  await writeFile(join(folder, 'train', 'cat', 'notes.txt'), '');
  await writeFile(join(folder, 'train', 'cat', '._0.png'), '');
  await writeImage(join(folder, 'train', 'cat', '.ipynb_checkpoints', '0.png'), 9, 9);
  await writeImage(join(folder, 'train', '.cache', '0.png'), 9, 9);
  await writeImage(join(folder, 'train', 'cat', 'set.jpg', 'A.JPG'), 9, 9);
  await mkdir(join(folder, 'val', 'nothing'));
  await writeImage(join(folder, 'train', 'cat', 'more', '7.JPEG'), 9, 9);
  const data = await loadDataset(folder, options);
  expect(filesOf(data.train)).toContain(join('train', 'cat', 'more', '7.JPEG'));
  expect(filesOf(data.train)).toContain(join('train', 'cat', 'set.jpg', 'A.JPG'));
  expect(data.train.count).toBe(4);
  expect(data.notes).toEqual([
    `${join(folder, 'train')}: 1 file is no image and not used, as ${join(folder, 'train', 'cat', 'notes.txt')}`,
    expect.stringContaining('has no test images: those for validation (val/) are for the final test too'),
  ]);
});

test('val/ is for validation, test/ for the test; a class that it lacks is told', async () => {
  await writeImageFolder(folder, { train: 1, val: 2 });
  await writeImage(join(folder, 'test', 'dog', 'a.png'), 9, 9);
  await writeImage(join(folder, 'validation', 'dog', 'a.png'), 9, 9);
  const data = await loadDataset(folder, options);
  expect(filesOf(data.test)).toEqual([join('test', 'dog', 'a.png')]);
  expect([...data.test.labels]).toEqual([1]);
  expect(filesOf(data.validation ?? data.train)[0]).toBe(join('val', 'cat', '0.png'));
  expect(data.notes).toEqual([
    `${join(folder, 'validation')} is not used`,
    `${folder}: no test image of 1 of 2 classes, so their error isn't measured: cat`,
  ]);
});

test.each(['valid', 'validation'])('%s/ is as good as val/', async (name) => {
  await writeImageFolder(folder, { train: 1, val: 1 });
  await rename(join(folder, 'val'), join(folder, name));
  expect(filesOf((await loadDataset(folder, options)).test)).toEqual([
    join(name, 'cat', '0.png'),
    join(name, 'dog', '0.png'),
  ]);
});

test.each([
  ['too few to set some apart', async () => rm(join(folder, 'val'), { recursive: true }), 'too few to set 10 % aside'],
  [
    'a class without images',
    async () => {
      await mkdir(join(folder, 'train', 'bird'));
      await writeFile(join(folder, 'train', 'bird', 'a.bmp'), 'BM');
    },
    'no image that is read in the class bird',
  ],
  [
    'a class that is not trained',
    async () => writeImage(join(folder, 'val', 'eel', 'a.png'), 9, 9),
    'the class eel is not in',
  ],
])('%s', async (_, spoil, message) => {
  await writeImageFolder(folder, { train: 1, val: 1 });
  await spoil();
  const loading = loadDataset(folder, options);
  await expect(loading).rejects.toThrow(FailureError);
  await expect(loading).rejects.toThrow(message);
});
