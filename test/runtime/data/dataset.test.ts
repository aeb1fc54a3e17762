/** @file Which data set a source is. */

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FailureError } from '../../../src/ir/errors.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
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
      IDX: {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each also as .gz
      cifar-10 (binary version): data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin, there or in cifar-10-batches-bin
      cifar-100 (binary version): train.bin, test.bin, there or in cifar-100-binary
      svhn (cropped digits): train_32x32.mat, test_32x32.mat
      an image folder: train/CLASS/*.{jpg,jpeg,png} and val/ or test/ likewise"
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
