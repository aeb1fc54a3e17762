/** @file Weights under other names, and what is said of those that don't fit. */

import { beforeAll, describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { floatTensor, type TensorData } from '../../../src/ir/index.js';
import { type Bundle, writeBundle } from '../../../src/runtime/bundle/bundle.js';
import { writeSafetensors } from '../../../src/runtime/files/safetensors.js';
import { readState } from '../../../src/runtime/model/state.js';
import {
  type LoadedWeights,
  loadInitialWeights,
  loadWeights,
  matchWeights,
} from '../../../src/runtime/model/weights.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [2, 1], growthRate: 4, imageSize: 16, smallInputs: false, classes: 3 });
const compiled = compile(network);
const layout = compiled.segments;
let bundle: Bundle;

beforeAll(async () => {
  bundle = await writeBundle(path('bundle'), network, compiled, { config: network.config });
});

/** The initial weights, each name and tensor changed. */
function weights(change: (name: string) => string = (name) => name): Map<string, TensorData> {
  return new Map([...compiled.initial].map(([name, tensor]) => [change(name), tensor]));
}

/** A file of such weights after `edit`. */
async function file(name: string, edit: (tensors: Map<string, TensorData>) => void): Promise<string> {
  const tensors = weights();
  edit(tensors);
  await writeSafetensors(path(name), tensors);
  return path(name);
}

const torchvision = (name: string): string => name.replace('norm_final', 'norm5');
const oldTorchvision = (name: string): string =>
  torchvision(name).replace(/(denselayer\d+)\.(norm|conv)(\d)/, '$1.$2.$3');

describe('names', () => {
  it.each<[string, (name: string) => string]>([
    ["the network's own", (name) => name],
    ["torchvision's", torchvision],
    ["torchvision's before 0.4", oldTorchvision],
    ["DataParallel's", (name) => `module.${name}`],
    ["a compiled DataParallel's of torchvision's", (name) => `module._orig_mod.${oldTorchvision(name)}`],
    ["a program's own", (name) => `model.${name}`],
    ["a wrapped backbone's", (name) => `module.model.backbone.${torchvision(name)}`],
    ["a wrapper's that is called like a layer", (name) => `features.${name}`],
    ['a backbone with a head of its own', (name) => (name.startsWith('features') ? `net.${name}` : name)],
  ])('are read where they are %s', (_, change) => {
    const match = matchWeights(weights(change), layout);
    const prefix = change('features.conv0.weight').replace(/features\.conv0\.weight$/, '');
    expect(match).toMatchObject({ missing: [], unexpected: [], mismatched: [], prefix });
    expect(match.state).toEqual(compiled.initial);
  });

  it('go with their momentum', () => {
    const momentum = floatTensor([3], [1, 2, 3]);
    const { state, unexpected } = matchWeights(
      new Map([
        ['momentum.module.classifier.bias', momentum],
        ['momentum.features.norm0.running_mean', momentum],
      ]),
      layout,
    );
    expect(state.get('momentum.classifier.bias')).toBe(momentum);
    expect(unexpected).toEqual(['momentum.features.norm0.running_mean']);
  });

  it('of two networks in one file are refused', () => {
    const both = new Map([...weights((name) => `student.${name}`), ...weights((name) => `teacher.${name}`)]);
    expect(() => matchWeights(both, layout)).toThrow(
      /behind student\. and behind teacher\. fit equally well; leave one of them out/,
    );
  });

  it('beside averaged ones are the network’s own', () => {
    const both = new Map([...weights((name) => `ema.${name}`), ...weights()]);
    const { prefix, missing, unexpected, state } = matchWeights(both, layout);
    expect([prefix, missing]).toEqual(['', []]);
    // Averages are known by the names that our own have; no counter is averaged.
    expect(unexpected.every((name) => /^ema\..*num_batches_tracked$/.test(name))).toBe(true);
    expect(state.get('features.conv0.weight')).toEqual(weights().get('features.conv0.weight'));
  });

  it('may not stand twice for one tensor', () => {
    const tensors = weights();
    tensors.set('features.norm5.weight', tensors.get('features.norm_final.weight') as TensorData);
    expect(() => matchWeights(tensors, layout)).toThrow(
      'features.norm_final.weight and features.norm5.weight both stand for features.norm_final.weight',
    );
  });
});

describe('weights that do not fit', () => {
  it('are told in full: missing, of another shape, without a place', async () => {
    const bad = await file('bad', (tensors) => {
      tensors.delete('features.norm0.weight');
      tensors.set('features.conv0.weight', floatTensor([8, 3, 5, 5], new Float32Array(600)));
      tensors.set('head.weight', floatTensor([1], [0]));
    });
    const error = await loadWeights(bad, layout).catch((reason: unknown) => reason as Error & { exitCode: number });
    expect(error).toMatchObject({ exitCode: 2 });
    expect((error as Error).message.split('\n  ').slice(1)).toEqual([
      "it lacks 1 of the network's tensors: features.norm0.weight",
      '1 have another shape or type: features.conv0.weight is float32 [8, 3, 5, 5], the network has float32 [8, 3, 7, 7]',
      '1 have no place in the network: head.weight',
    ]);
  });

  it('are listed up to ten of a kind', async () => {
    const bad = await file('few', (tensors) => {
      for (const name of [...tensors.keys()].slice(0, 14)) tensors.delete(name);
    });
    await expect(loadWeights(bad, layout)).rejects.toThrow(/lacks 12 of .*; and 2 more/);
  });

  it('may lack counters and bring tensors that the network has no place for', async () => {
    const more = await file('more', (tensors) => {
      for (const name of [...tensors.keys()]) if (name.endsWith('num_batches_tracked')) tensors.delete(name);
      tensors.set('features.extra.weight', floatTensor([1], [0]));
    });
    const { state, unexpected } = await loadWeights(more, layout);
    expect(unexpected).toEqual(['features.extra.weight']);
    expect(state.has('features.extra.weight')).toBe(false);
    expect(await readState(more, bundle)).toEqual(state);
  });
});

describe('initial weights', () => {
  const load = (name: string): Promise<LoadedWeights> => loadInitialWeights(name, layout, 3, compiled.initial);
  const other = (count: number) => (tensors: Map<string, TensorData>) => {
    const [, inputs = 0] = tensors.get('classifier.weight')?.shape ?? [];
    tensors.set('classifier.weight', floatTensor([count, inputs], new Float32Array(count * inputs)));
    tensors.set('classifier.bias', floatTensor([count], new Float32Array(count)));
    tensors.set('features.norm0.bias', floatTensor([8], new Float32Array(8).fill(0.5)));
    tensors.set('momentum.features.norm0.bias', floatTensor([8], new Float32Array(8)));
  };

  it('keep the fresh last layer where the file tells other classes apart, and no momentum', async () => {
    const { state, replaced } = await load(await file('classes', other(1000)));
    expect([...replaced].sort()).toEqual(['classifier.bias', 'classifier.weight']);
    expect(state.get('classifier.weight')).toEqual(compiled.initial.get('classifier.weight'));
    expect(state.get('features.norm0.bias')).toEqual(floatTensor([8], new Float32Array(8).fill(0.5)));
    expect([...state.keys()].filter((name) => name.startsWith('momentum.'))).toEqual([]);
    expect([...state.keys()].sort()).toEqual([...compiled.initial.keys()].sort());
  });

  it('replace nothing where the classes agree', async () => {
    const { state, replaced } = await load(bundle.initial);
    expect(replaced).toEqual([]);
    expect(state).toEqual(compiled.initial);
  });

  it.each<[string, (tensors: Map<string, TensorData>) => void]>([
    ['inputs of the last layer', (tensors) => tensors.set('classifier.weight', floatTensor([3, 1], [0, 0, 0]))],
    ['shape of another layer', (tensors) => tensors.set('features.norm0.bias', floatTensor([3], [0, 0, 0]))],
  ])('are refused for another %s', async (_, edit) => {
    const bad = await file('bad-initial', (tensors) => {
      other(1000)(tensors);
      edit(tensors);
    });
    await expect(load(bad)).rejects.toThrow(/have another shape or type/);
  });
});
