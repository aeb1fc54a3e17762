/** @file The library's trainer: a run, its weights, a resumed run, and what it refuses. */

import { existsSync, mkdirSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { openBundle } from '../../../src/runtime/bundle/bundle.js';
import { type ArrayDatasetOptions, arrayDataset } from '../../../src/runtime/data/arrays.js';
import { makeBatch } from '../../../src/runtime/data/batches.js';
import { type Dataset, loadDataset, type PixelSplit } from '../../../src/runtime/data/dataset.js';
import type { BatchSource } from '../../../src/runtime/data/source.js';
import { type LabelledImage, labelFiles } from '../../../src/runtime/deploy/label.js';
import { Predictor } from '../../../src/runtime/deploy/predictor.js';
import type { TrainEvent } from '../../../src/runtime/run/events.js';
import { Trainer, type TrainerOptions } from '../../../src/runtime/run/trainer.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { writeIdxFolder } from '../data/files.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [1], growthRate: 4, imageSize: 4, channels: 1, classes: 2, dropRate: 0.2 });
const options = { epochs: 2, batchSize: 8, learningRate: 0.05 };

/** Images that are bright on one half or the other. */
function halves(change: Partial<ArrayDatasetOptions> = {}): Dataset {
  const labels = Array.from({ length: 40 }, (_, index) => index % 2);
  const images = Uint8Array.from(
    labels.flatMap((label, index) => Array.from({ length: 16 }, (_, at) => (at < 8 === (label === 0) ? 200 : index))),
  );
  const all = { images, labels };
  return arrayDataset({ name: 'halves', channels: 1, imageSize: 4, train: all, test: all, ...change });
}

function trainer(save: string, more: Partial<TrainerOptions> = {}): Trainer {
  return new Trainer(network, { save: path(save), threads: 1, seed: 3, ...more });
}

async function all(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

describe('Trainer', () => {
  it('refuses a run whose step alone is more than memory holds, unless it is allowed', async () => {
    const many = 1e9;
    const source: BatchSource = {
      name: 'many',
      counts: { training: many, validation: 0, test: 0 },
      batches: () => {
        throw new Error('a batch was asked for');
      },
    };
    const start = (allowOvercommit: boolean): Promise<unknown> =>
      all(trainer(`many ${allowOvercommit}`, { allowOvercommit }).train(source, { epochs: 1, batchSize: many }));
    await expect(start(false)).rejects.toThrow(/images has [\d.]+ MB alive at once, .*allowOvercommit: true/);
    expect(existsSync(path('many false'))).toBe(false);
    await expect(start(true)).rejects.toThrow('a batch was asked for');
  });

  it('trains, evaluates, exports; the exported model knows how its images are normalized', async () => {
    const run = trainer('whole');
    const dataset = halves();
    const events = await all(run.train(dataset, options));
    const last = events.at(-1);
    expect(last).toMatchObject({ event: 'result', interrupted: false, epochs: 2 });
    const { error, count } = await run.evaluate(dataset);
    expect(count).toBe(40);
    expect(last?.event === 'result' && last.testError).toBe(error);
    await run.export(path('model.onnx'), { classNames: ['upper', 'lower'] });
    const predictor = await Predictor.open(path('model.onnx'), { threads: 1 });
    expect(predictor.description).toEqual({ normalization: dataset.normalization, classNames: ['upper', 'lower'] });
    await predictor.close();
  });

  it('stops when its signal is aborted, and resumes to the same bits', async () => {
    const run = trainer('stopped');
    const abort = new AbortController();
    const events: TrainEvent[] = [];
    for await (const event of run.train(halves(), { ...options, signal: abort.signal })) {
      events.push(event);
      if (event.event === 'step' && event.batch === 2) abort.abort();
    }
    expect(events.at(-1)).toMatchObject({ event: 'result', interrupted: true });
    expect((await all(trainer('stopped').resume(halves()))).at(-1)).toMatchObject({ interrupted: false });
    expect((await run.weights('last')).state).toEqual((await trainer('whole').weights('last')).state);
  });

  it('goes on after its end with more epochs, another rate and another policy, and tells so', async () => {
    const larger = densenet({ ...network.config, blockConfig: [1, 1] });
    const by = (remat: 'none' | 'max'): Trainer => new Trainer(larger, { save: path('longer'), threads: 1, remat });
    await all(by('none').train(halves(), options));
    const max = by('max');
    const events = await all(max.resume(halves(), { epochs: 3, learningRate: 0.02, schedule: 'constant' }));
    expect(events.filter(({ event }) => event === 'change')).toEqual([
      { event: 'change', epoch: 3, changes: ['goes on with another lowering: remat none → max'] },
      {
        event: 'change',
        epoch: 3,
        changes: ['number of epochs 2 → 3', 'learning rate 0.05 → 0.02', 'schedule multistep → constant'],
        learningRate: 0.02,
      },
    ]);
    expect(events.filter(({ event }) => event === 'epoch')).toMatchObject([
      { epoch: 3, epochs: 3, learningRate: 0.02 },
    ]);
    expect((await openBundle(path('longer', 'bundle'))).manifest.remat).toBe('max');
  });

  it('ends in the same bits with data workers and without, and evaluates with them', async () => {
    const crop = (): Dataset => halves({ augmentation: 'crop-flip' });
    const [none, two] = [trainer('workers0'), trainer('workers2')];
    const results = [
      await all(none.train(crop(), { ...options, dataWorkers: 0 })),
      await all(two.train(crop(), { ...options, dataWorkers: 2 })),
    ];
    const losses = results.map((events) => events.flatMap((event) => (event.event === 'step' ? [event.loss] : [])));
    expect(losses[0]).toHaveLength(10);
    expect(losses[1]).toEqual(losses[0]);
    expect((await two.weights('last')).state).toEqual((await none.weights('last')).state);
    expect(await two.evaluate(crop(), { dataWorkers: 2 })).toEqual(await none.evaluate(crop(), { dataWorkers: 0 }));
    expect(losses[0]).not.toEqual(
      (await all(trainer('plain').train(halves(), { ...options, dataWorkers: 2 }))).flatMap((event) =>
        event.event === 'step' ? [event.loss] : [],
      ),
    );
  });

  it('begins with the weights of a file', async () => {
    const init = path('whole', 'best.safetensors');
    const run = trainer('init', { init });
    await all(run.train(halves(), { ...options, epochs: 1, learningRate: 1e-30 }));
    const [before, after] = [await trainer('whole').weights(), await run.weights()];
    expect(after.state.get('classifier.weight')).toEqual(before.state.get('classifier.weight'));
  });

  it.each<[string, (run: Trainer) => AsyncGenerator<TrainEvent>, RegExp]>([
    ['images of another size', (run) => run.train(halves({ imageSize: 2, channels: 4 }), options), /takes \[1, 4, 4\]/],
    ['too much validation', (run) => run.train(halves(), { ...options, validSize: 40 }), /validation size 40/],
    [
      'weights that are not there',
      () => trainer('new', { init: path('none') }).train(halves(), options),
      /no such file/,
    ],
    ['to write over a run', () => trainer('whole').train(halves(), options), /already holds/],
    ['to resume what never ran', (run) => run.resume(halves()), /last\.safetensors/],
    [
      'to resume another network',
      () => new Trainer(densenet({ ...network.config, growthRate: 5 }), { save: path('whole') }).resume(halves()),
      /whole is another one: the network; resume it as it began/,
    ],
    [
      'to resume with another optimizer',
      () => trainer('whole', { optimizer: { momentum: 0.5 } }).resume(halves()),
      /the optimizer \(momentum 0\.9, not 0\.5\)/,
    ],
    [
      'to resume with another seed',
      () => trainer('whole').resume(halves(), { seed: 9 }),
      /started with the seed 3, not 9, and keeps it: the images held out were drawn by it/,
    ],
  ])('refuses %s', async (_, begin, message) => {
    await expect(all(begin(trainer('new')))).rejects.toThrow(message);
    expect(existsSync(path('new'))).toBe(false);
  });
});

it('labels image files as the run tested them, border and all', async () => {
  mkdirSync(path('idx'));
  await writeIdxFolder(path('idx'), 28, 40, 12);
  const dataset = await loadDataset(path('idx'), { channels: 1 });
  const { border = 0, imageSize } = dataset;
  expect([border, imageSize]).toEqual([2, 32]);
  const padded = densenet({ blockConfig: [1], growthRate: 4, channels: 1, classes: 3 });
  const run = new Trainer(padded, { save: path('padded'), threads: 1 });
  await all(run.train(dataset, { epochs: 1, batchSize: 8 }));
  await run.export(path('padded.onnx'));

  const files = Array.from({ length: 12 }, (_, index) => path(`${index}.png`));
  const { images: stored } = dataset.test as PixelSplit;
  for (const [index, file] of files.entries()) {
    const pixels = stored.slice(index * 1024, (index + 1) * 1024);
    const inner = { left: border, top: border, width: 28, height: 28 };
    await sharp(pixels, { raw: { width: 32, height: 32, channels: 1 } })
      .extract(inner)
      .png()
      .toFile(file);
  }
  const predictor = await Predictor.open(path('padded.onnx'), { threads: 1 });
  const { images } = makeBatch(dataset, dataset.test, [...files.keys()]);
  const expected = await predictor.predict(images, 3);
  const labelled: LabelledImage[] = [];
  for await (const image of labelFiles(predictor, files, 3)) labelled.push(image);
  await predictor.close();
  expect(labelled).toEqual(files.map((image, index) => ({ image, top: expected[index] })));
});

describe('arrayDataset', () => {
  it('takes classes and statistics from the arrays', () => {
    const { classes, normalization, train } = halves();
    expect([classes, train.count]).toEqual([2, 40]);
    expect(normalization.mean[0]).toBeCloseTo((200 + 19.5) / 2 / 255, 9);
  });

  const one = { images: new Uint8Array(16), labels: [0] };
  it.each<[string, Partial<ArrayDatasetOptions>, RegExp]>([
    ['too few bytes', { test: { images: new Uint8Array(15), labels: [0] } }, /test: 15 bytes .* 1 × 1 × 4 × 4 = 16/],
    ['a label that is no whole number', { train: { ...one, labels: [0.5] } }, /label of image 0 is 0.5/],
    ['a label beyond the classes', { train: one, test: { ...one, labels: [3] }, classes: 2 }, /label 3 .* 2 classes/],
    ['nothing to train on', { train: { images: new Uint8Array(0), labels: [] } }, /no training images/],
  ])('refuses %s', (_, change, message) => {
    expect(() => halves(change)).toThrow(message);
  });
});
