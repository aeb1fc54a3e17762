/** @file verify: sound bundles pass, and each way to break a plan is caught by the check that is there for it. */

import { beforeAll, describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { FailureError, RequestError } from '../../../src/ir/index.js';
import type { RematName } from '../../../src/passes/solvers/index.js';
import { type Bundle, writeBundle } from '../../../src/runtime/bundle/bundle.js';
import { type Check, type VerifyOptions, verify } from '../../../src/runtime/verify/index.js';
import { brokenBundle, type OpenNode, removeTokens } from '../../helpers/broken.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [2, 2], growthRate: 4, imageSize: 8 });
const bundles = new Map<RematName, Bundle>();
const bundleOf = (remat: RematName): Bundle => bundles.get(remat) as Bundle;

beforeAll(async () => {
  for (const remat of ['none', 'efficient', 'max'] as const) {
    bundles.set(remat, await writeBundle(path(remat), network, compile(network, { remat })));
  }
});

async function checksOf(bundle: Bundle, options: VerifyOptions = {}): Promise<Check[]> {
  const checks: Check[] = [];
  for await (const check of verify(bundle, { threads: 1, ...options })) checks.push(check);
  return checks;
}

/** What checks that failed say, by their names. */
async function failures(bundle: Bundle, options: VerifyOptions = {}): Promise<Record<string, string>> {
  const failed = (await checksOf(bundle, options)).filter(({ ok }) => !ok);
  return Object.fromEntries(failed.map(({ name, detail }) => [name, detail]));
}

describe('a sound bundle', () => {
  it.each(['none', 'efficient', 'max'] as const)('passes every check recomputing %s', async (remat) => {
    const checks = await checksOf(bundleOf(remat));
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    for (const level of ['disabled', 'basic', 'extended', 'all']) {
      expect(checks.filter(({ name }) => name.endsWith(`, ${level}`)).length).toBe(6);
    }
  });

  it('takes the step of a bundle with another policy', async () => {
    const checks = await checksOf(bundleOf('max'), { against: bundleOf('none'), batchSize: 6 });
    const against = checks.filter(({ name }) => name.startsWith('against'));
    expect(against.map(({ name }) => name.replace('against: ', '')).sort()).toEqual([
      'counters',
      'loss',
      'momentum',
      'parameters',
      'running statistics',
    ]);
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  it.each(['none', 'efficient', 'max'] as const)('takes the step to the bit, recomputing %s', async (remat) => {
    const checks = await checksOf(bundleOf(remat), { against: bundleOf('none') });
    for (const { name, detail } of checks) if (name.startsWith('against')) expect(detail).toMatch(/bit for bit$/);
  });
});

const isRecomputed = ({ name, opType }: OpenNode): boolean =>
  name?.startsWith('recompute/') === true && /^(Relu|FusedConv|BatchNormalization|Conv)$/.test(opType ?? '');

const levels = ['disabled', 'basic', 'extended', 'all'] as const;

describe('a broken plan is caught where', () => {
  it('tokens are removed: recomputation merges with the forward pass', async () => {
    const broken = await brokenBundle(bundleOf('efficient'), path('no-tokens'), 'remade', (surgery) => {
      removeTokens(surgery);
      surgery.prune();
    });
    const failed = await failures(broken);
    for (const level of ['basic', 'extended', 'all']) {
      expect(failed[`recomputation, ${level}`]).toMatch(/merged with the forward pass: .* reads .*, not /);
    }
  });

  it('a token stands beside another Reshape, with which the optimizer merges it', async () => {
    const broken = await brokenBundle(bundleOf('max'), path('two-reshapes'), 'remade', (surgery) => {
      const isToken = (node: OpenNode): boolean => surgery.tokens('recompute/').includes(node);
      // Tokens on weights, whose shapes are static, in place of those on features.
      const moved = surgery.nodes.filter(isRecomputed).flatMap((node) => {
        const weight = (node.input ?? []).find((name) => surgery.producer(name) && !surgery.dependsOn(name, 'images'));
        const [token] = (node.input ?? []).flatMap((name) => surgery.sources(name, isToken));
        const [size] = surgery.sources(token?.input?.[1] ?? '', ({ opType }) => opType === 'Shape');
        return weight && size ? [{ node, weight, size: size.output?.[0] ?? '' }] : [];
      });
      expect(moved.length).toBeGreaterThan(0);
      removeTokens(surgery);
      for (const { node, weight, size } of moved) {
        const zero = surgery.add('Sub', [size, size], `${node.name}/zero`);
        const shape = surgery.add('Shape', [weight], `${node.name}/shape`);
        const extents = surgery.add('Add', [shape, zero], `${node.name}/extents`);
        const token = surgery.add('Reshape', [weight, extents], `${node.name}/token`);
        const beside = surgery.add('Reshape', [token, shape], `${node.name}/beside`);
        node.input = (node.input ?? []).map((name) => (name === weight ? beside : name));
      }
      surgery.prune();
    });
    const failed = await failures(broken);
    // This version of the runtime merges the two and then fails over what it left; another may just lose the token.
    for (const level of ['basic', 'extended', 'all']) {
      expect(failed[`runs, ${level}`] ?? failed[`recomputation, ${level}`]).toMatch(/could not run|merged with/);
    }
    expect(failed).not.toHaveProperty(['runs, disabled']);
  });

  it('the backward pass reads a value of the forward pass that it should recompute', async () => {
    let name = '';
    const broken = await brokenBundle(bundleOf('efficient'), path('merged'), 'kept', (surgery) => {
      const untied = (value: string): string =>
        surgery.tokens('recompute/').find(({ output }) => output?.[0] === value)?.input?.[0] ?? value;
      const formula = ({ opType, input, attribute }: OpenNode): string =>
        JSON.stringify([opType, input?.map(untied), attribute]);
      const originals = new Map(
        surgery.nodes.flatMap((node) => (node.name?.startsWith('recompute/') ? [] : [[formula(node), node]])),
      );
      const copy = surgery.nodes.find((node) => isRecomputed(node) && originals.has(formula(node)));
      if (!copy) throw new Error('nothing is recomputed from what is kept');
      name = copy.output?.[0] ?? '';
      surgery.rewire(name, originals.get(formula(copy))?.output?.[0] ?? '');
    });
    const failed = await failures(broken);
    for (const level of levels) {
      expect(failed[`recomputation, ${level}`]).toContain(`nothing reads 1 recomputed node of the model: ${name}`);
    }
  });

  it('recomputation waits for the forward pass only, and runs in it', async () => {
    const broken = await brokenBundle(bundleOf('efficient'), path('early'), 'remade', (surgery) => {
      for (const token of surgery.tokens('recompute/')) {
        for (const shape of surgery.sources(token.input?.[1] ?? '', ({ opType }) => opType === 'Shape')) {
          shape.input = ['images'];
        }
      }
      const early = surgery.nodes.find(isRecomputed)?.output?.[0] ?? '';
      expect(surgery.dependsOn(early, 'images')).toBe(true);
      // Something of the forward pass needs it.
      const nothing = surgery.add('Mul', [early, surgery.scalar('zero', 0)], 'early/mul');
      const sum = surgery.add('ReduceSum', [nothing], 'early/reduceSum', { name: 'keepdims', type: 2, i: 0 });
      const rate = surgery.add('Add', ['learning_rate', sum], 'early/add');
      surgery.rewire('learning_rate', rate, surgery.producer(rate));
    });
    const failed = await failures(broken);
    for (const level of levels) expect(failed[`recomputed late, ${level}`]).toMatch(/recomputed before backward\//);
  });

  it('nodes run in another order than was planned', async () => {
    const broken = await brokenBundle(bundleOf('efficient'), path('reordered'), 'kept', (surgery) => {
      // The runtime begins with the last node that nothing reads.
      const read = new Set(surgery.nodes.flatMap(({ input }) => input ?? []));
      const first = surgery.nodes.findIndex(({ output }) => !output?.some((name) => read.has(name)));
      surgery.nodes.push(...surgery.nodes.splice(first, 1));
    });
    const failed = await failures(broken);
    expect(failed.file).toMatch(/^node \d+ would be .*, the plan has /);
    for (const level of levels)
      expect(failed[`planned order, ${level}`]).toMatch(/\d+ out of order among \d+ of \d+ planned nodes/);
  });

  it('batch statistics are recomputed', async () => {
    const broken = await brokenBundle(bundleOf('efficient'), path('statistics'), 'remade', (surgery) => {
      const copy = surgery.nodes.find(isRecomputed);
      const value = copy?.output?.[0] ?? '';
      const axes = { name: 'axes', type: 7, ints: [0, 2, 3] };
      const mean = surgery.add('ReduceMean', [value], 'recompute/statistic/reduceMean', axes);
      const reduce = surgery.producer(mean);
      surgery.rewire(value, surgery.add('Sub', [value, mean], 'recompute/statistic/sub'), reduce);
      const sub = surgery.producer('recompute/statistic/sub');
      if (sub) sub.input = [value, mean];
    });
    const failed = await failures(broken);
    expect(failed['batch statistics']).toBe('1 batch statistic recomputed: recompute/statistic/reduceMean');
  });

  it('running statistics are updated twice', async () => {
    const broken = await brokenBundle(bundleOf('efficient'), path('twice'), 'remade', (surgery) => {
      const update = surgery.producer('next.running.0');
      if (!update) throw new Error('there are no running statistics');
      update.output = ['update/once'];
      update.name = 'update/once';
      // once + 0.9·(once − before) is once + 0.1·(observed − once).
      const difference = surgery.add('Sub', ['update/once', 'running.0'], 'update/difference');
      const change = surgery.add('Mul', [difference, surgery.scalar('left', 0.9)], 'update/change');
      surgery.add('Add', ['update/once', change], 'next.running.0');
    });
    const failed = await failures(broken, { against: bundleOf('none') });
    expect(failed['running statistics']).toMatch(/not updated once: features\..*running_mean keeps 0\.81\d* of what/);
    expect(failed['against: running statistics']).toMatch(/the worst of \d+ tensors is features\./);
  });

  it('more is alive than was predicted', async () => {
    const { plan } = bundleOf('efficient').manifest;
    const tight = { ...bundleOf('efficient').manifest, plan: { ...plan, livePeak: [{ fixed: 1000, perSample: 0 }] } };
    const failed = await failures({ ...bundleOf('efficient'), manifest: tight as Bundle['manifest'] });
    expect(failed['live peak, disabled']).toMatch(/^[\d,]+ bytes alive at the peak, 1,000 predicted for batches of 4/);
  });
});

describe('what can’t be verified is refused', () => {
  it('where the bundle keeps no plan', async () => {
    const { plan: _, ...manifest } = bundleOf('none').manifest;
    await expect(checksOf({ ...bundleOf('none'), manifest })).rejects.toThrow(FailureError);
  });

  it('where the other bundle is of another network', async () => {
    const other = densenet({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });
    const against = await writeBundle(path('other'), other, compile(other));
    await expect(checksOf(bundleOf('none'), { against })).rejects.toThrow(RequestError);
    await expect(checksOf(bundleOf('none'), { against })).rejects.toThrow(/differ in their tensors/);
  });

  it('where the batch is too small', async () => {
    const flat = densenet({ blockConfig: [1, 1, 1], growthRate: 4, imageSize: 4 });
    const bundle = await writeBundle(path('flat'), flat, compile(flat));
    await expect(checksOf(bundle, { batchSize: 1 })).rejects.toThrow(/at least 2/);
  });
});
