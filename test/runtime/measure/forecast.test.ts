/** @file The forecast of a run's memory. */

import { expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { planMemory } from '../../../src/memory/plan.js';
import { type DataMemory, dataMemory } from '../../../src/runtime/data/memory.js';
import type { Dataset } from '../../../src/runtime/data/types.js';
import { fittingBatchSize, forecastMemory } from '../../../src/runtime/measure/forecast.js';

const nothing: DataMemory = { imageBytes: 0, batches: 0, fixedBytes: 0, loadedBytes: 0 };
const compiled = compile(densenet({ blockConfig: [2, 2], growthRate: 6, imageSize: 16 }));

it('keeps the plan’s peak, thins out its course, and counts more than is alive', () => {
  const plan = planMemory(compiled.training, 8);
  const forecast = forecastMemory(compiled, 8, nothing);
  expect(forecast.livePeakBytes).toBe(plan.peakBytes);
  expect(forecast.timeline.length).toBeLessThanOrEqual(480);
  expect(Math.max(...forecast.timeline)).toBe(Math.max(...plan.timeline));
  expect(forecast.timeline[0]).toBe(plan.timeline[0]);
  expect(forecast.processBytes).toBeGreaterThan(plan.peakBytes);
  expect(forecast.peakAt).toMatch(/\w/);
  expect(forecast.backwardPosition).toBeGreaterThan(0.05);
  expect(forecast.backwardPosition).toBeLessThan(0.9);
});

const format = { name: 'x', classes: 2, channels: 3, imageSize: 16, augmentation: 'none' } as const;
const normalization = { mean: [0, 0, 0], std: [1, 1, 1] };
const labels = new Uint8Array(10);

function inMemory(images: Uint8Array): Dataset {
  const split = { count: 10, images, storedChannels: 3, labels };
  return { ...format, normalization, train: split, test: split };
}

it('counts the batches that wait for a step, more with more data workers, and threads', () => {
  const dataset = inMemory(new Uint8Array(new SharedArrayBuffer(10 * 768)));
  const [none, one, four] = [0, 1, 4].map((workers) => dataMemory(dataset, [3, 16, 16], workers)) as DataMemory[];
  const bytes = (data: DataMemory | undefined, batch: number): number =>
    forecastMemory(compiled, batch, data ?? nothing).processBytes -
    forecastMemory(compiled, batch, nothing).processBytes;
  // One worker has a batch in hand and one done; the step's own and one to be collected come on top.
  expect([none?.batches, one?.batches, four?.batches]).toEqual([2, 4, 7]);
  expect(bytes(four, 64) - bytes(four, 63)).toBe(7 * 768 * 4);
  expect(bytes(none, 64)).toBe(2 * 64 * 768 * 4);
  expect(bytes(four, 64) - bytes(one, 64)).toBeGreaterThan(3 * 64 * 768 * 4 + 3 * 10e6);
  expect(four?.loadedBytes).toBe(2 * 10 * 768);
});

it('counts the copy that threads need of images which only one can see, and decoders of image files', () => {
  const [mine, common] = [new Uint8Array(7680), new Uint8Array(new SharedArrayBuffer(7680))];
  const fixed = (dataset: Dataset): number => dataMemory(dataset, [3, 16, 16], 1).fixedBytes;
  expect(fixed(inMemory(mine)) - fixed(inMemory(common))).toBe(2 * 7680);
  const files = { count: 10, files: Array.from(labels, String), labels };
  const folder = { ...inMemory(common), train: files, test: files };
  expect(fixed(folder)).toBeGreaterThan(fixed(inMemory(common)) + 10e6);
  expect(dataMemory(folder, [3, 16, 16], 1).loadedBytes).toBe(0);
});

it('finds a batch size that fits with its data', () => {
  const data = dataMemory(inMemory(new Uint8Array(7680)), [3, 16, 16], 4);
  const forecast = forecastMemory(compiled, 512, data);
  const fitting = fittingBatchSize(compiled, forecast, 0.6 * forecast.processBytes);
  expect(forecastMemory(compiled, fitting, data).processBytes).toBeLessThanOrEqual(0.6 * forecast.processBytes);
  expect(forecastMemory(compiled, fitting + 2, data).processBytes).toBeGreaterThan(0.6 * forecast.processBytes);
});
