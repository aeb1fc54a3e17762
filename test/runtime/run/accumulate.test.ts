/** @file Gradients of several batches make one update: the mean over their images, and nothing else changes before. */

import { beforeAll, describe, expect, it } from 'vitest';
import { mlp } from '../../../examples/mlp.js';
import { densenet } from '../../../src/builders/index.js';
import { type Compiled, compile } from '../../../src/compile.js';
import { type FloatTensor, floatTensor, int64Tensor } from '../../../src/ir/index.js';
import type { OptimizerChoice } from '../../../src/passes/optimizers/index.js';
import { type Bundle, writeBundle } from '../../../src/runtime/bundle/bundle.js';
import type { Batch } from '../../../src/runtime/data/batches.js';
import { TrainingModel } from '../../../src/runtime/model/model.js';
import type { State } from '../../../src/runtime/model/state.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { randomArray, randomSource } from '../../helpers/random.js';

const path = temporaryFolder();
const random = randomSource('accumulate');
const image = [1, 32, 32];

function randomBatch(count: number, shape: readonly number[]): Batch {
  const images = randomArray([count, ...shape], random, 'normal');
  const labels = Array.from({ length: count }, () => Math.floor(random() * 10));
  const tensor = floatTensor(images.shape, Float32Array.from(images.data));
  return { images: tensor, labels: int64Tensor([count], labels) as Batch['labels'] };
}

/** The batch of all images of several. */
function joined(batches: readonly Batch[]): Batch {
  const shape = batches[0]?.images.shape.slice(1) ?? [];
  const pixels = batches.flatMap(({ images }) => [...images.data]);
  const labels = batches.flatMap(({ labels: { data } }) => [...data].map(Number));
  return {
    images: floatTensor([labels.length, ...shape], Float32Array.from(pixels)),
    labels: int64Tensor([labels.length], labels) as Batch['labels'],
  };
}

/** States after each step, where an update takes the batches together. */
async function follow(bundle: Bundle, { initial }: Compiled, batches: readonly Batch[]): Promise<State[]> {
  const model = await TrainingModel.open(bundle, initial);
  const total = batches.reduce((sum, { labels }) => sum + labels.data.length, 0);
  const states: State[] = [];
  for (const [index, batch] of batches.entries()) {
    const accumulation = { share: batch.labels.data.length / total, last: index === batches.length - 1 };
    await model.step(batch, { learningRate: 0.05, step: index, seed: 0, accumulation });
    states.push(await model.state());
  }
  await model.close();
  return states;
}

function values(state: State | undefined, name: string): number[] {
  const tensor = state?.get(name) as FloatTensor | undefined;
  return [...(tensor?.data ?? [])];
}

const optimizers: [string, OptimizerChoice][] = [
  ['sgd', { weightDecay: 0.01 }],
  ['sgd without momentum', { momentum: 0, nesterov: false }],
  // The first step of adamw is the sign of the gradient but for epsilon, so rounding would show where it is near 0.
  ['adamw', { kind: 'adamw', epsilon: 1e-3 }],
  ['adam', { kind: 'adam', epsilon: 1e-3, weightDecay: 0.01 }],
  ['rmsprop', { kind: 'rmsprop', epsilon: 1e-3, centered: true, momentum: 0.5 }],
];

describe.each(optimizers)('%s', (name, optimizer) => {
  it('takes three batches of 4, 4 and 2 as one of 10 where no batch norm looks at them', async () => {
    const network = mlp([16]);
    const batches = [4, 4, 2].map((count) => randomBatch(count, image));
    const three = compile(network, { optimizer: { ...optimizer, accumulate: 3 } });
    const one = compile(network, { optimizer });
    const states = await follow(await writeBundle(path(`${name} 3`), network, three), three, batches);
    const [whole] = await follow(await writeBundle(path(`${name} 1`), network, one), one, [joined(batches)]);
    for (const parameter of whole?.keys() ?? []) {
      const [ours, expected] = [values(states[2], parameter), values(whole, parameter)];
      const scale = Math.max(...expected.map(Math.abs));
      const worst = Math.max(...ours.map((value, index) => Math.abs(value - (expected[index] as number))));
      expect(worst, parameter).toBeLessThanOrEqual(2e-5 * scale);
    }
  });
});

describe('before the last batch of an update', () => {
  const network = densenet({ blockConfig: [1], growthRate: 4, imageSize: 8 });
  let compiled: Compiled;
  let states: State[];

  beforeAll(async () => {
    compiled = compile(network, { optimizer: { kind: 'adamw', accumulate: 3, decayNormBias: false } });
    const bundle = await writeBundle(path('adamw'), network, compiled);
    const batches = [4, 4, 4].map((count) => randomBatch(count, [3, 8, 8]));
    states = await follow(bundle, compiled, [...batches, ...batches]);
  });

  it('parameters and averages stay as they are, bit for bit', () => {
    for (const [parameter, { data }] of compiled.initial) {
      if (!states[0]?.has(`momentum.${parameter}`)) continue;
      expect(states[4]?.get(parameter)?.data, parameter).toEqual(data);
      expect(values(states[4], `variance.${parameter}`).every((value) => value === 0)).toBe(true);
      expect(states[5]?.get(parameter)?.data, parameter).not.toEqual(data);
    }
  });

  it('gradients add up, and are gone after the update', () => {
    const [first, last] = [
      values(states[0], 'accumulated.classifier.bias'),
      values(states[4], 'accumulated.classifier.bias'),
    ];
    expect(first.some((value) => value !== 0)).toBe(true);
    expect(last).not.toEqual(first);
    expect(values(states[5], 'accumulated.classifier.bias').every((value) => value === 0)).toBe(true);
  });

  it('running statistics and counters follow every batch', () => {
    const counts = states.map((state) => Number(state.get('features.norm_final.num_batches_tracked')?.data[0]));
    expect(counts).toEqual([1, 2, 3, 4, 5, 6]);
    expect(values(states[0], 'features.norm_final.running_mean')).not.toEqual(
      values(states[1], 'features.norm_final.running_mean'),
    );
  });
});
