/** @file Networks that are no DenseNets learn too: the examples, on a few hundred real digits. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mlp } from '../../examples/mlp.js';
import { resnet } from '../../examples/resnet.js';
import type { Network } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { epochOrder, makeBatch } from '../../src/runtime/data/batches.js';
import { type Dataset, loadDataset } from '../../src/runtime/data/dataset.js';
import { TrainingModel } from '../../src/runtime/model/model.js';
import { evaluateBatch } from '../../src/runtime/model/step.js';

/** Digits to learn from, and as many from all over the test images to judge by. */
const digits = 1000;
const batchSize = 50;

interface Course {
  readonly network: Network;
  readonly epochs: number;
  readonly learningRate: number;
}

const courses: readonly Course[] = [
  { network: mlp([128]), epochs: 10, learningRate: 0.02 },
  { network: resnet([8, 16, 32]), epochs: 6, learningRate: 0.1 },
];

let dataset: Dataset;
let directory: string;

beforeAll(async () => {
  dataset = await loadDataset('mnist', { channels: 1 });
  directory = await mkdtemp(join(tmpdir(), 'densec-converge-'));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe.each(courses)('$network.name', (course) => {
  test('fits its digits and knows others', async () => {
    const { training, heldOut } = await follow(course);
    expect(training).toBeLessThan(0.05);
    expect(heldOut).toBeLessThan(0.15);
  });
});

/** Trains a network from its initial state; the learning rate falls to a tenth for the last third. */
async function follow({ network, epochs, learningRate }: Course): Promise<{ training: number; heldOut: number }> {
  const compiled = compile(network, { seed: 1 });
  const bundle = await writeBundle(join(directory, network.name), network, compiled);
  const model = await TrainingModel.open(bundle, compiled.initial);
  let step = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = epochOrder(digits, 1, epoch);
    for (let begin = 0; begin < digits; begin += batchSize) {
      const batch = makeBatch(dataset, dataset.train, order.subarray(begin, begin + batchSize));
      const rate = epoch < (2 / 3) * epochs ? learningRate : learningRate / 10;
      await model.step(batch, { learningRate: rate, step: step++, seed: 1 });
    }
  }
  const state = await model.state();
  await model.close();
  const learnt = Array.from({ length: digits }, (_, index) => index);
  const others = learnt.map((index) => index * Math.floor(dataset.test.count / digits));
  const training = await evaluateBatch(bundle, state, makeBatch(dataset, dataset.train, learnt));
  const heldOut = await evaluateBatch(bundle, state, makeBatch(dataset, dataset.test, others));
  return { training: training.error, heldOut: heldOut.error };
}
