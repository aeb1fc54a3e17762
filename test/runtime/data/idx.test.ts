/** @file IDX files and the data sets made of them, good and broken. */

import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailureError } from '../../../src/ir/errors.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { readIdx } from '../../../src/runtime/data/idx-file.js';
import { idxBytes, makeFolder, pixelsOf, someBytes, writeIdxFolder } from './files.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await makeFolder();
  path = join(folder, 'file');
});
afterEach(() => rm(folder, { recursive: true }));

const pixels = someBytes(2 * 3 * 4);
const good = idxBytes([2, 3, 4], pixels);

describe('readIdx', () => {
  test.each([
    ['plain', good],
    ['gzipped', gzipSync(good)],
  ])('%s', async (_, bytes) => {
    await writeFile(path, bytes);
    const { shape, data } = await readIdx(path, 3);
    expect(shape).toEqual([2, 3, 4]);
    expect([...data]).toEqual([...pixels]);
  });

  test('a gzipped file of several chunks', async () => {
    const many = someBytes(3_000_000);
    await writeFile(path, gzipSync(idxBytes([3_000_000], many)));
    expect(Buffer.compare((await readIdx(path, 1)).data, many)).toBe(0);
  });

  const terabytes = idxBytes([2 ** 32 - 1, 2 ** 16, 2 ** 16], []);
  const corrupt = gzipSync(idxBytes([40_000], someBytes(40_000)));
  corrupt.fill(0, 20_000, 20_100);
  const cases: [string, Uint8Array, number, string][] = [
    ['no bytes', new Uint8Array(0), 3, 'there are 0 bytes but not the 16 of an IDX header'],
    ['half a header', good.subarray(0, 9), 3, 'there are 9 bytes but not the 16'],
    ['labels for images', idxBytes([12], new Uint8Array(12)), 3, 'begins with 00 00 08 01 but 00 00 08 03 (IDX'],
    ['another type', Buffer.concat([Uint8Array.of(0, 0, 0x0d), good.subarray(3)]), 3, 'begins with 00 00 0d 03'],
    ['text', Buffer.from('<html>not found</html>'), 1, 'begins with 3c 68 74 6d'],
    ['a cut file', good.subarray(0, -1), 3, 'announces 2×3×4, 40 bytes in all, but there is room for 39 at most'],
    ['a cut file, gzipped', gzipSync(good.subarray(0, -1)), 3, 'announces 2×3×4, 40 bytes in all, but there are 39'],
    ['more bytes', Buffer.concat([good, Uint8Array.of(0)]), 3, '40 bytes in all, but more follow'],
    ['more bytes, gzipped', gzipSync(Buffer.concat([good, Uint8Array.of(0)])), 3, 'but more follow'],
    [
      'terabytes',
      terabytes,
      3,
      'announces 4294967295×65536×65536, 18446744069414584000 bytes in all, but there is room',
    ],
    ['terabytes, gzipped', gzipSync(terabytes), 3, 'but there is room for'],
    ['a cut gzip', gzipSync(good).subarray(0, -12), 3, 'not a whole gzip file (unexpected end of file)'],
    ['a gzip without its checksum', gzipSync(good).subarray(0, -4), 3, 'not a whole gzip file'],
    ['a gzip of two bytes', gzipSync(good).subarray(0, 2), 3, 'not a whole gzip file'],
    ['a damaged gzip', corrupt, 1, 'not a whole gzip file'],
  ];
  test.each(cases)('%s', async (_, bytes, dimensions, message) => {
    await writeFile(path, bytes);
    const reading = readIdx(path, dimensions);
    await expect(reading).rejects.toThrow(FailureError);
    await expect(reading).rejects.toThrow(`${path}: `);
    await expect(reading).rejects.toThrow(message);
  });

  test('stops inflating at the size that the header announces', async () => {
    await writeFile(path, gzipSync(idxBytes([100_000], new Uint8Array(50_000_000))));
    const before = process.memoryUsage().arrayBuffers;
    await expect(readIdx(path, 1)).rejects.toThrow('but more follow');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
  });

  test('a missing file and a folder', async () => {
    await expect(readIdx(path, 1)).rejects.toThrow(`cannot read ${path}: there is no such file`);
    await expect(readIdx(folder, 1)).rejects.toThrow(`cannot read ${folder}: it is a folder`);
  });
});

describe('a folder of IDX files', () => {
  const train = () => join(folder, 'train-images-idx3-ubyte');

  test('28×28 gets a black border to 32×32 and three channels', async () => {
    await writeIdxFolder(folder, 28, 4, 2);
    const data = await loadDataset(folder);
    expect(data).toMatchObject({
      classes: 3,
      channels: 3,
      imageSize: 32,
      augmentation: 'crop',
      augmentByDefault: false,
    });
    expect(data.train).toMatchObject({ count: 4, storedChannels: 1, labels: Uint8Array.of(0, 1, 2, 0) });
    expect(data.test.count).toBe(2);
    const original = someBytes(4 * 28 * 28);
    for (let at = 0; at < 4 * 32 * 32; at++) {
      const [image, y, x] = [at >> 10, ((at >> 5) & 31) - 2, (at & 31) - 2];
      const inside = x >= 0 && x < 28 && y >= 0 && y < 28;
      expect(pixelsOf(data.train)[at]).toBe(inside ? original[(image * 28 + y) * 28 + x] : 0);
    }
  });

  test('other sizes and one channel stay; the normalization is that of the training pixels', async () => {
    await writeIdxFolder(folder, 5, 4, 2);
    const data = await loadDataset(folder, { channels: 1 });
    expect(data).toMatchObject({ channels: 1, imageSize: 5 });
    expect(pixelsOf(data.train)).toEqual(someBytes(100));
    const values = [...someBytes(100)].map((value) => value / 255);
    const mean = values.reduce((a, b) => a + b) / 100;
    const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 100);
    expect(data.normalization.mean[0]).toBeCloseTo(mean, 12);
    expect(data.normalization.std[0]).toBeCloseTo(std, 12);
  });

  test('images of one colour can be normalized', async () => {
    await writeIdxFolder(folder, 5, 2, 2);
    await writeFile(train(), idxBytes([2, 5, 5], new Uint8Array(50).fill(51)));
    const mean = [0.2, 0.2, 0.2];
    expect((await loadDataset(folder)).normalization).toEqual({ mean, std: [1, 1, 1] });
  });

  test('names with a dot and .gz', async () => {
    await writeIdxFolder(folder, 5, 4, 2);
    await rename(train(), join(folder, 'train-images.idx3-ubyte'));
    const labels = join(folder, 'train-labels-idx1-ubyte');
    await writeFile(`${labels}.gz`, gzipSync(idxBytes([4], [5, 6, 7, 8])));
    await rm(labels);
    const data = await loadDataset(folder);
    expect(data.train.labels).toEqual(Uint8Array.of(5, 6, 7, 8));
    expect(data.classes).toBe(9);
  });

  test('a missing file is named', async () => {
    await writeIdxFolder(folder, 5, 4, 2);
    await rm(join(folder, 't10k-labels-idx1-ubyte'));
    await expect(loadDataset(folder)).rejects.toThrow(
      `${folder}: a file of the data set is missing (looked for t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz, ` +
        't10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz); copy it there',
    );
  });

  test.each([
    ['another number of labels', idxBytes([3, 5, 5], new Uint8Array(75)), 'has 3 images but'],
    [
      'training images of another shape',
      idxBytes([4, 5, 6], new Uint8Array(120)),
      'training images are 5×6 pixels but test images 5×5',
    ],
    ['images without pixels', idxBytes([4, 0, 0], []), 'images are 0×0 pixels'],
    [
      'test images of another size',
      idxBytes([4, 6, 6], new Uint8Array(144)),
      'training images are 6×6 pixels but test images 5×5',
    ],
  ])('%s', async (_, bytes, message) => {
    await writeIdxFolder(folder, 5, 4, 2);
    await writeFile(train(), bytes);
    const loading = loadDataset(folder);
    await expect(loading).rejects.toThrow(FailureError);
    await expect(loading).rejects.toThrow(message);
  });

  test('no images at all', async () => {
    await writeIdxFolder(folder, 5, 0, 2);
    await expect(loadDataset(folder)).rejects.toThrow('the file holds no images');
  });
});
