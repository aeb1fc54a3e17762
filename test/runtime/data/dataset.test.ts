/** @file Which data set a source is. */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FailureError } from '../../../src/ir/errors.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { writeImage, writeImageFolder } from '../../helpers/images.js';
import { makeFolder, writeCifar10, writeIdxFolder } from './files.js';

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => rm(folder, { recursive: true }));

test('an empty folder: the message lists what was looked for', async () => {
  const error = await loadDataset(folder).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FailureError);
  expect((error as Error).message.replaceAll(folder, 'DIR')).toMatchInlineSnapshot(`
    "DIR holds no data set that densec reads; looked for
      IDX: {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each also as .gz, there or in raw
      cifar-10 (binary version): data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin, there or in cifar-10-batches-bin; or the Python version, there or in cifar-10-batches-py
      cifar-100 (binary version): train.bin, test.bin, there or in cifar-100-binary; or the Python version, there or in cifar-100-python
      svhn (cropped digits): train_32x32.mat, test_32x32.mat
      an image folder: train/CLASS/* (JPEG, PNG, WebP, …), val/ and test/ likewise; or CLASS/* alone
      numpy: an .npz file, or .npy files, with x_train, y_train, x_test, y_test or train_images, train_labels, val_images …
      a CSV file: a file and its label in each row, and its part (train, val, test) if told"
  `);
});

test('a folder that does not exist, and a file', async () => {
  await expect(loadDataset(join(folder, 'none'))).rejects.toThrow('there is no such file or folder');
  const path = join(folder, 'file');
  await writeFile(path, '');
  await expect(loadDataset(path)).rejects.toThrow(`${path} is a file; give the folder that holds the data set`);
});

test('two data sets in one folder', async () => {
  await writeIdxFolder(folder, 28, 1, 1);
  await writeCifar10(join(folder, 'cifar-10-batches-bin'));
  await expect(loadDataset(folder)).rejects.toThrow(`${folder} holds files of several data sets`);
  expect((await loadDataset(join(folder, 'cifar-10-batches-bin'))).name).toBe('cifar-10');
});

test("torchvision's raw/ is looked into, and lends no name", async () => {
  const raw = join(folder, 'FashionMNIST', 'raw');
  await mkdir(raw, { recursive: true });
  await writeIdxFolder(raw, 28, 2, 1);
  for (const source of [raw, join(folder, 'FashionMNIST')]) {
    expect(await loadDataset(source)).toMatchObject({ name: 'FashionMNIST', imageSize: 32 });
  }
  expect(await complaint(folder)).toContain(`holds one: give that folder`);
});

/** What is said of a source before the list of what was looked for, with the folder of the test left out. */
async function complaint(source: string): Promise<string> {
  const error = (await loadDataset(source).catch((reason: unknown) => reason)) as Error;
  expect(error).toBeInstanceOf(FailureError);
  return error.message.replaceAll(folder, 'DIR').split('\nlooked for')[0] as string;
}

test.each<[string, () => Promise<string>, string]>([
  [
    'an archive',
    async () => {
      await writeFile(join(folder, 'cifar-10-binary.tar.gz'), '');
      return join(folder, 'cifar-10-binary.tar.gz');
    },
    'DIR/cifar-10-binary.tar.gz is a file; unpack it (tar -xzf cifar-10-binary.tar.gz) and give the folder that comes of it',
  ],
  [
    'a folder with an archive',
    async () => {
      await writeFile(join(folder, 'photos.zip'), '');
      return folder;
    },
    'DIR holds no data set that densec reads; there is photos.zip: unpack it (unzip photos.zip) and give the folder that comes of it',
  ],
  [
    'the folder above',
    async () => {
      await writeCifar10(join(folder, 'data', 'mine'));
      return join(folder, 'data');
    },
    'DIR/data holds no data set that densec reads; DIR/data/mine holds one: give that folder',
  ],
  [
    'the folder below',
    async () => {
      await writeImageFolder(folder, { train: 1, val: 1 });
      return join(folder, 'train');
    },
    'DIR/train is one part of DIR, which has val/ too: give that folder, or move this one to train on it alone',
  ],
  [
    "CIFAR's MATLAB version",
    async () => {
      await mkdir(join(folder, 'cifar-10-batches-mat'));
      return folder;
    },
    "DIR holds no data set that densec reads; cifar-10-batches-mat is of CIFAR's MATLAB version: take the binary or the Python one, as cifar-10-binary.tar.gz or cifar-100-python.tar.gz",
  ],
  [
    'IDX files by other names',
    async () => {
      await writeFile(join(folder, 'emnist-letters-train-images-idx3-ubyte.gz'), '');
      return folder;
    },
    'DIR holds no data set that densec reads; emnist-letters-train-images-idx3-ubyte.gz is an IDX file of another name: call the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, with .gz where they have it',
  ],
  [
    'images without classes',
    async () => {
      await writeImage(join(folder, '1.jpg'), 8, 8);
      return folder;
    },
    'DIR holds no data set that densec reads; there is an image in it, as 1.jpg, but nothing tells their classes: give the folder above if it is that of one class; else move the images of each class into a folder of their own, or list files and labels in a CSV file and give that',
  ],
  [
    'classes in a folder below',
    async () => {
      await writeImage(join(folder, 'flowers', 'rose', '1.jpg'), 8, 8);
      await writeFile(join(folder, 'flowers.tgz'), '');
      return folder;
    },
    'DIR holds no data set that densec reads; DIR/flowers holds one: give that folder',
  ],
  [
    'a table beside its images',
    async () => {
      await writeImage(join(folder, 'images', '1.jpg'), 8, 8);
      await writeFile(join(folder, 'labels.csv'), 'images/1.jpg,rose');
      return folder;
    },
    'DIR holds no data set that densec reads; there is labels.csv: give that file, if it lists image files and their labels',
  ],
  [
    'images that are not read',
    async () => {
      await mkdir(join(folder, 'rose'));
      await writeFile(join(folder, 'rose', '1.bmp'), 'BM');
      return folder;
    },
    'DIR holds no data set that densec reads; there are images of a format that is not read, as 1.bmp: convert them to PNG or JPEG',
  ],
])('%s: the message says what to do', async (_, make, expected) => {
  expect((await complaint(await make())).replaceAll('\\', '/')).toBe(expected);
});
