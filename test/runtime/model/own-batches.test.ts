/** @file Training on batches that a program makes, interrupted and resumed as on any data set. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  type Batch,
  type BatchSource,
  batchNorm,
  compile,
  conv2d,
  createBatch,
  globalAveragePool,
  linear,
  type Network,
  relu,
  Trainer,
} from '../../../src/index.js';
import { TrainingRun } from '../../../src/runtime/run/begin.js';
import type { TrainEvent } from '../../../src/runtime/run/events.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();

const network: Network = {
  name: 'own-batches',
  inputShape: [1, 8, 8],
  classes: 2,
  forward(images) {
    const x = relu(batchNorm(conv2d(images, { name: 'conv', filters: 4, kernel: 3 }), { name: 'norm' }));
    return linear(globalAveragePool(x), { name: 'classifier', features: 2 });
  },
};

/** Images whose brightness tells their class; what each holds depends on epoch and place alone. */
const source: BatchSource = {
  name: 'brightness',
  counts: { training: 22, validation: 0, test: 9 },
  async *batches({ part, epoch, batchSize, first }) {
    const count = source.counts[part];
    for (let start = first * batchSize; start < count; start += batchSize) {
      const labels = Array.from({ length: Math.min(batchSize, count - start) }, (_, at) => (start + at) % 2);
      const pixels = labels.flatMap((label, at) =>
        Array.from({ length: 64 }, (_, pixel) => 2 * label - 1 + Math.sin(pixel * (start + at + 1) + epoch) / 4),
      );
      yield createBatch([1, 8, 8], Float32Array.from(pixels), labels);
    }
  },
};

async function last(events: AsyncIterable<TrainEvent>): Promise<TrainEvent | undefined> {
  let event: TrainEvent | undefined;
  for await (event of events);
  return event;
}

const options = { epochs: 3, batchSize: 4, learningRate: 0.2, schedule: 'constant' } as const;

it('trains, and ends in the same bits when stopped and resumed in the middle', async () => {
  const compiled = compile(network);
  const whole = await TrainingRun.begin({ network, compiled }, source, { ...options, save: path('whole') });
  const result = await whole.run();
  expect(result).toMatchObject({ steps: 18, skippedImages: 0, testError: 0 });
  expect(result.dataWait).toBeLessThan(1);
  const begun = await TrainingRun.begin({ network, compiled }, source, { ...options, save: path('parts') });
  const stopped = await begun.run((event) => {
    if (event.event === 'step' && event.epoch === 2 && event.batch === 3) begun.stop();
  });
  expect(stopped).toMatchObject({ interrupted: true, steps: 9 });
  const resumed = new Trainer(network, { save: path('parts') }).resume(source);
  expect(await last(resumed)).toMatchObject({ event: 'result', interrupted: false, steps: 18 });
  for (const file of ['best.safetensors', 'results.csv']) {
    expect(readFileSync(path('parts', file)).equals(readFileSync(path('whole', file))), file).toBe(true);
  }
});

it('evaluates a source, and any batches, as the run tested them', async () => {
  const trainer = new Trainer(network, { save: path('whole') });
  const asTested = await trainer.evaluate(source, { batchSize: 4 });
  const { confusion, ...figures } = asTested;
  expect(figures).toEqual({ loss: expect.any(Number), error: 0, count: 9, metrics: { summary: {} } });
  expect(confusion?.pairs()).toEqual([]);
  // The last batch is smaller; the mean is over images.
  const list: Batch[] = [];
  for await (const batch of source.batches({ part: 'test', epoch: 0, seed: 0, batchSize: 2, first: 0 }))
    list.push(batch);
  const plain = await trainer.evaluate(list);
  expect(plain).toEqual({ ...asTested, loss: expect.closeTo(asTested.loss, 6) });
  const wrongLabels = list.map(({ images, labels }) => ({
    images,
    labels: { ...labels, data: labels.data.map((label) => 1n - label) },
  }));
  expect(await trainer.evaluate(wrongLabels)).toMatchObject({ error: 1, count: 9 });
});

it.each<[string, Parameters<Trainer['evaluate']>, RegExp]>([
  ['no batches', [[]], /no images to evaluate/],
  ['a source without a test', [{ ...source, counts: { ...source.counts, test: 0 } }], /no images to evaluate/],
  [
    'a batch of another shape',
    [[createBatch([1, 4, 4], new Float32Array(16), [0])]],
    /batch 1: the images are \[1, 1, 4/,
  ],
  ['a label beyond the classes', [[createBatch([1, 8, 8], new Float32Array(64), [2])]], /batch 1: label 2 of image 0/],
  ['a batch size of 0', [source, { batchSize: 0 }], /batch size is 0/],
])('does not evaluate %s', async (_, given, message) => {
  await expect(new Trainer(network, { save: path('whole') }).evaluate(...given)).rejects.toThrow(message);
});

it('trains without a test where the source has none', async () => {
  const untested = { ...source, counts: { ...source.counts, test: 0 } };
  const trainer = new Trainer(network, { save: path('untested') });
  const result = await last(trainer.train(untested, { ...options, epochs: 1 }));
  expect(result).toMatchObject({ event: 'result', interrupted: false });
  expect(result).not.toHaveProperty('testError');
});

it('refuses batches of another shape, and says which', async () => {
  const wrong: BatchSource = { ...source, batches: () => [createBatch([1, 4, 4], new Float32Array(64), [0, 1, 0, 1])] };
  const trainer = new Trainer(network, { save: path('no') });
  const events = trainer.train(wrong, options);
  await expect(last(events)).rejects.toThrow(
    'brightness, training batch 1 of 6: the images are [4, 1, 4, 4], the network takes [N, 1, 8, 8]',
  );
});
