/** @file Frozen parameters: no gradient, no update, not even decay; everything else as without freezing. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { type Compiled, compile } from '../../src/compile.js';
import { expectClose } from '../helpers/compare.js';
import type { NdArray } from '../helpers/evaluate.js';
import { randomSource } from '../helpers/random.js';
import { runInRuntime } from '../helpers/runtime.js';
import { packedFeeds, randomSituation, type Tensors, unpackedState } from '../helpers/training.js';

const network = densenet({ blockConfig: [2, 1], growthRate: 4, imageSize: 8, classes: 3 });

const frozenNames = ({ segments }: Compiled): string[] =>
  segments.filter(({ frozen }) => frozen).flatMap(({ tensors }) => tensors.map(({ name }) => name));

describe('freezing', () => {
  it('takes beginnings of names, whole parts between dots', () => {
    const freeze = ['features.conv0', 'features.denseblock1.denselayer1', 'classifier.bias'];
    const names = frozenNames(compile(network, { freeze }));
    expect(names.sort()).toEqual([
      'classifier.bias',
      'features.conv0.weight',
      ...['conv1.weight', 'conv2.weight', 'norm1.bias', 'norm1.weight', 'norm2.bias', 'norm2.weight'].map(
        (name) => `features.denseblock1.denselayer1.${name}`,
      ),
    ]);
    const byPredicate = (name: string): boolean => name.endsWith('.bias');
    expect(frozenNames(compile(network, { freeze: byPredicate })).every(byPredicate)).toBe(true);
  });

  it.each<[string, string[], RegExp]>([
    ['a beginning that fits nothing', ['features.conv'], /begins with features.conv, .*features.conv0, /],
    ['to freeze everything', ['features', 'classifier'], /all 26 parameters .* are frozen/],
  ])('refuses %s', (_, freeze, message) => {
    expect(() => compile(network, { freeze })).toThrow(message);
  });

  it('derives no gradient beyond the layers that are trained', () => {
    const { training } = compile(network, { freeze: ['features'] });
    const scopes = training.nodes.filter(({ origin }) => origin.phase === 'backward').map(({ origin }) => origin.scope);
    expect(new Set(scopes)).toEqual(new Set(['loss', 'classifier']));
    expect(training.inputs.filter(({ role }) => role === 'momentum')).toHaveLength(1);
  });

  it.each(['none', 'efficient', 'max'] as const)(
    'steps the rest as if nothing were frozen, recomputing %s',
    async (remat) => {
      const optimizer = { weightDecay: 0.1 };
      const free = compile(network, { optimizer });
      const frozen = compile(network, {
        optimizer,
        remat,
        freeze: ['features.denseblock1', 'features.norm_final.weight'],
      });
      const situation = randomSituation(free, 3, 4, randomSource('freeze'));
      const step = async ({ training, segments }: Compiled): Promise<Tensors> =>
        unpackedState(await runInRuntime(training, packedFeeds(training, segments, situation)), segments);
      const [expected, actual] = [await step(free), await step(frozen)];
      const names = frozenNames(frozen);
      expect(names).toContain('features.norm_final.weight');
      for (const name of names)
        expect([actual.has(name), actual.has(`momentum.${name}`)], name).toEqual([false, false]);
      // What is left, running statistics of frozen layers included, moves as before.
      expect(actual.has('features.denseblock1.denselayer1.norm1.running_mean')).toBe(true);
      expectClose(actual, new Map([...expected].filter(([name]) => actual.has(name))) as Map<string, NdArray>, 1e-4);
      expect(expected.size - actual.size).toBe(2 * names.length);
    },
  );
});
