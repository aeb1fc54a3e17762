/**
 * @file Transfer learning: a network trained on one task, its features kept, a new classifier trained on another.
 *
 *     npm run build && node dist/examples/transfer-learning.js FOLDER
 */

import { join } from 'node:path';
import { densenet, Trainer } from 'densec';
import { stripes } from './stripes.js';

const folder = process.argv[2] ?? 'runs/transfer-learning';
const shape = { blockConfig: [2, 2], growthRate: 4, imageSize: 8, channels: 1 };

async function run(trainer: Trainer, labels: readonly number[], epochs: number): Promise<void> {
  const dataset = stripes(labels, 64);
  for await (const event of trainer.train(dataset, { epochs, batchSize: 16, learningRate: 0.05, schedule: 'cosine' })) {
    if (event.event === 'result') console.log(`${dataset.name}: test error ${event.testError}`);
  }
}

const three = densenet({ ...shape, classes: 3 });
await run(new Trainer(three, { save: join(folder, 'three'), force: true }), [0, 1, 2], 6);

// Another number of classes, so the classifier begins afresh; everything under `features` stays as it was learned.
const two = densenet({ ...shape, classes: 2 });
const tuned = new Trainer(two, {
  save: join(folder, 'two'),
  force: true,
  init: join(folder, 'three', 'best.safetensors'),
  freeze: ['features'],
});
const trained = tuned.compiled.segments.filter(({ role, frozen }) => role === 'parameter' && !frozen);
console.log(`trained: ${trained.flatMap(({ tensors }) => tensors.map(({ name }) => name)).join(', ')}`);
await run(tuned, [3, 0], 8);
