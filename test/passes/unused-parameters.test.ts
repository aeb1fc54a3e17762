/** @file Parameters that the loss doesn't depend on: told by name, and left alone with all that is kept of them. */

import { describe, expect, it } from 'vitest';
import {
  batchNorm,
  type CompileOptions,
  compile,
  conv2d,
  flatten,
  floatTensor,
  linear,
  type Network,
  type Tensor,
  type TensorData,
} from '../../src/index.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { createBatch } from '../../src/runtime/data/batches.js';
import { TrainingModel } from '../../src/runtime/model/model.js';
import { Trainer } from '../../src/runtime/run/trainer.js';
import { temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();

/** A network with a branch beside the one that the logits come from. */
function network(branch: (x: Tensor) => unknown): Network {
  return {
    name: 'branched',
    inputShape: [1, 4, 4],
    classes: 2,
    forward(images) {
      const x = conv2d(images, { name: 'conv', filters: 3, kernel: 3, padding: 1 });
      branch(x);
      return linear(flatten(batchNorm(x, { name: 'norm' })), { name: 'out', features: 2 });
    },
  };
}

const withBranch = network((x) => batchNorm(conv2d(x, { name: 'aux', filters: 2, kernel: 1 }), { name: 'auxNorm' }));
const without = network(() => undefined);
const branch = ['aux.weight', 'auxNorm.weight', 'auxNorm.bias'];
const options: CompileOptions = { optimizer: { weightDecay: 0.5, momentum: 0.9 } };

async function steps(name: string, net: Network, given: (initial: Map<string, TensorData>) => void = () => undefined) {
  const compiled = compile(net, options);
  const state = new Map(compiled.initial);
  given(state);
  const model = await TrainingModel.open(await writeBundle(path(name), net, compiled), state, { threads: 1 });
  const pixels = Float32Array.from({ length: 4 * 16 }, (_, at) => Math.sin(at));
  for (let step = 0; step < 3; step++) {
    await model.step(createBatch([1, 4, 4], pixels, [0, 1, 1, 0]), { learningRate: 0.1, step, seed: 0 });
  }
  const after = await model.state();
  await model.close();
  return { before: state, after };
}

describe('parameters that the loss does not depend on', () => {
  it('are named when the network is compiled', () => {
    const { warnings } = compile(withBranch, options);
    expect(warnings).toEqual([
      expect.stringMatching(
        /loss of branched doesn't depend on aux.weight, auxNorm.weight, auxNorm.bias: .* as initialized/,
      ),
    ]);
    expect(compile(without, options).warnings).toEqual([]);
    expect(compile(withBranch, { ...options, freeze: ['aux', 'auxNorm'] }).warnings).toEqual([]);
  });

  it('and their momentum stay as they are, all else moves as without them', async () => {
    const kept = branch.map((name) => `momentum.${name}`);
    const { before, after } = await steps('with', withBranch, (state) => {
      for (const name of branch) {
        const { shape, data } = state.get(name) as TensorData;
        state.set(`momentum.${name}`, floatTensor(shape, new Float32Array(data.length).fill(7)));
      }
    });
    for (const name of [...branch, ...kept]) expect(after.get(name), name).toEqual(before.get(name));
    expect(after.get('auxNorm.running_mean')).not.toEqual(before.get('auxNorm.running_mean'));
    const { after: expected } = await steps('without', without);
    for (const [name, tensor] of expected) {
      if (tensor.dtype === 'float32') expect(after.get(name), name).toEqual(tensor);
    }
    expect(expected.get('out.weight')).not.toEqual(before.get('out.weight'));
  });

  it('may not be all that there are', () => {
    const constant: Network = {
      ...without,
      forward: (images) => {
        conv2d(images, { name: 'conv', filters: 2, kernel: 1 });
        return flatten(conv2d(images, { name: 'head', filters: 2, kernel: 4 }));
      },
    };
    expect(() => compile(constant, { freeze: ['head'] })).toThrow(/depends on none of the 1 parameters to train/);
  });

  it('are a warning of the process where Trainer compiles', async () => {
    const told = new Promise<Error>((resolve) => process.once('warning', resolve));
    new Trainer(withBranch, { save: path('run') });
    expect(await told).toMatchObject({ name: 'DensecWarning', message: expect.stringContaining('aux.weight') });
  });
});
