/** @file SVHN's cropped digits in MATLAB files, good and broken. */

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { type MatVariable, matFile } from '../../helpers/mat.js';
import { makeFolder, pixelsOf, someBytes } from './files.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await makeFolder();
  path = join(folder, 'train_32x32.mat');
});
afterEach(() => rm(folder, { recursive: true }));

const imageBytes = 3 * 32 * 32;

function digits(labels: readonly number[]): [MatVariable, MatVariable] {
  const count = labels.length;
  const X = { name: 'X', shape: [32, 32, 3, count], data: someBytes(count * imageBytes) };
  return [X, { name: 'y', shape: [count, 1], data: Float64Array.from(labels) }];
}

async function write(train: Uint8Array, test = matFile(digits([3]))): Promise<void> {
  await writeFile(path, train);
  await writeFile(join(folder, 'test_32x32.mat'), test);
}

test.each([true, false])('images become row-major, label 10 is digit 0 (compressed: %s)', async (compressed) => {
  await write(matFile(digits([1, 10, 9]), { compressed }));
  const data = await loadDataset(folder);
  expect(data).toMatchObject({ name: 'svhn', classes: 10, channels: 3, imageSize: 32, augmentation: 'crop' });
  expect(data.augmentByDefault).toBe(false);
  expect([...data.train.labels]).toEqual([1, 0, 9]);
  expect([data.train.count, data.test.count]).toEqual([3, 1]);
  const stored = someBytes(3 * imageBytes);
  const images = pixelsOf(data.train);
  const expected = Uint8Array.from({ length: images.length }, (_, at) => {
    const [image, channel] = [Math.floor(at / imageBytes), Math.floor(at / 1024) % 3];
    const [row, column] = [Math.floor(at / 32) % 32, at % 32];
    return stored[row + 32 * (column + 32 * (channel + 3 * image))] as number;
  });
  expect(Buffer.compare(images, expected)).toBe(0);
});

test('the normalization is that of the training images in use', async () => {
  await write(matFile(digits([1, 2, 3, 4])));
  const { normalization, train } = await loadDataset(folder, { limit: 2 });
  expect(train.count).toBe(2);
  const green = Array.from({ length: 2 }, (_, image) => {
    return [...someBytes(2 * imageBytes).subarray(image * imageBytes + 1024, image * imageBytes + 2048)];
  }).flat();
  const mean = green.reduce((a, b) => a + b) / green.length / 255;
  expect(normalization.mean[1]).toBeCloseTo(mean, 12);
  const known = { normalization: { mean: [0.1, 0.2, 0.3], std: [1, 2, 3] } };
  expect((await loadDataset(folder, { known })).normalization).toEqual(known.normalization);
});

test('one image; other variables are passed over; extra images are told', async () => {
  const [X, y] = digits([7]);
  const text = { name: 'long_comment', shape: [1, 5], data: new Uint8Array(5) };
  await write(matFile([text, y, { ...X, shape: [32, 32, 3] }]));
  await writeFile(join(folder, 'extra_32x32.mat'), '');
  const data = await loadDataset(folder);
  expect([...data.train.labels]).toEqual([7]);
  expect(data.notes?.join()).toContain('extra_32x32.mat is not used');
});

test('one channel is refused, and a missing file is named', async () => {
  await write(matFile(digits([1])));
  await expect(loadDataset(folder, { channels: 1 })).rejects.toThrow(RequestError);
  await rm(join(folder, 'test_32x32.mat'));
  await expect(loadDataset(folder)).rejects.toThrow('svhn lacks test_32x32.mat');
});

describe('refused', () => {
  const good = matFile(digits([1, 2]));
  const [X, y] = digits([1, 2]);
  const hdf5 = Buffer.alloc(200, 'MATLAB 7.3 MAT-file ');
  const bomb = deflateSync(Buffer.from([14, 0, 0, 0, 255, 255, 255, 255, ...new Array(200).fill(0)]));
  const bombTag = Buffer.from([15, 0, 0, 0, bomb.length, 0, 0, 0]);
  const corrupt = Buffer.from(good);
  corrupt.fill(0, 1000, 1100);
  const shape = (announcedShape: number[]): Buffer => matFile([{ ...X, announcedShape }, y]);
  const cases: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(0), 'the file has 0 bytes'],
    ['text', Buffer.alloc(500, 'not found '), 'not a MATLAB file of version 5, little-endian (found version 6f66'],
    ['version 7.3', hdf5, 'found MATLAB 7.3 (HDF5)'],
    ['a cut file', good.subarray(0, 3000), 'announces'],
    ['a file cut in a tag', good.subarray(0, 131), 'too few for any variable'],
    ['damaged bytes', corrupt, "can't be inflated"],
    ['other names', matFile([{ ...X, name: 'images' }, y]), 'has no variable X (there are: images, y)'],
    ['gigabytes of nothing', Buffer.concat([good.subarray(0, 128), bombTag, bomb]), 'announces 4294967295 bytes'],
    ['terabytes', shape([32, 32, 3, 2 ** 31 - 1]), 'X is announced as 32×32×3×2147483647 of 1 byte(s)'],
    ['a negative extent', shape([32, 32, 3, -1]), 'has the shape [32, 32, 3, -1]'],
    ['images of another size', shape([32, 64, 3]), 'X is 32×64×3, not 32×32×3×N'],
    ['no images', matFile(digits([])), 'X holds no images'],
    ['a label of 11', matFile(digits([1, 11])), 'image 1 has the label 11, not one from 1 to 10'],
    ['a label of 1.5', matFile(digits([1.5])), 'image 0 has the label 1.5'],
    ['fewer labels', matFile([X, { ...y, shape: [1, 1], data: Float64Array.of(1) }]), 'X has 2 images but y 1 labels'],
  ];
  test.each(cases)('%s', async (_, bytes, message) => {
    await write(bytes);
    const loading = loadDataset(folder);
    await expect(loading).rejects.toThrow(FailureError);
    await expect(loading).rejects.toThrow(path);
    await expect(loading).rejects.toThrow(message);
  });
});
