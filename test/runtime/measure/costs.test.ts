/** @file A machine's table of costs: rates are found again from kernels that have them; where it is kept; what is no table. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { cacheFolder } from '../../../src/runtime/measure/calibration.js';
import { fitCosts, type KernelSample, type MeasuredSteps, measureCosts } from '../../../src/runtime/measure/costs.js';
import { type ModelError, modelErrorOf } from '../../../src/runtime/measure/sweep-plans.js';
import { type Costs, stepMicroseconds, targets, workOf } from '../../../src/targets/index.js';

/** With kernels of every kind, the stem's max pooling among them. */
const network = densenet({ blockConfig: [2, 2], growthRate: 8, imageSize: 32, smallInputs: false });

/** Steps on a machine that has exactly these costs. */
function stepsBy(costs: Costs, batchSize: number): MeasuredSteps {
  const compiled = compile(network);
  const free = { ...targets.cpu, costs: { ...costs, nodeUs: 0 } };
  const nodes = compiled.training.nodes.filter(({ operator }) => operator !== 'constant');
  const samples = nodes.map(
    (node): KernelSample => ({ ...workOf(node, batchSize), microseconds: stepMicroseconds([node], free, batchSize) }),
  );
  const stepMs = stepMicroseconds(compiled.training.nodes, { ...targets.cpu, costs }, batchSize) / 1000;
  return { batchSize, compiled, stepMs, spread: 1, samples };
}

describe('a fit', () => {
  it('finds the costs of the machine that the steps were taken on', () => {
    const rates = Object.fromEntries(
      Object.entries(targets.cpu.costs.rates).map(([kind, { bytesPerSecond, flopsPerSecond }]) => [
        kind,
        { bytesPerSecond: bytesPerSecond / 10, ...(flopsPerSecond && { flopsPerSecond: flopsPerSecond / 10 }) },
      ]),
    ) as Costs['rates'];
    const made = { name: 'made', nodeUs: 7, rates };
    const runs = [64, 256].map((batchSize) => stepsBy(made, batchSize));
    const found = fitCosts('found', runs);
    expect(found.name).toBe('found');
    expect(found.nodeUs).toBeGreaterThan(5);
    expect(found.nodeUs).toBeLessThan(9);
    const near = (rate: number | undefined, to: number | undefined): void => {
      expect((rate ?? 0) / (to ?? 0)).toBeGreaterThan(0.85);
      expect((rate ?? 0) / (to ?? 0)).toBeLessThan(1.15);
    };
    for (const kind of ['elementwise', 'reduction', 'movement'] as const) {
      near(found.rates[kind].bytesPerSecond, rates[kind].bytesPerSecond);
    }
    expect(found.rates.view.bytesPerSecond).toBe(Number.POSITIVE_INFINITY);
    for (const { compiled, batchSize, stepMs } of runs) {
      const modelled = stepMicroseconds(compiled.training.nodes, { ...targets.cpu, costs: found }, batchSize) / 1000;
      near(modelled, stepMs);
    }
  });

  it('of steps that are run has a rate above 0 of every kind, and is told with what it was fitted to', async () => {
    const told: string[] = [];
    const run = { name: 'small', network: () => network, remat: 'max', batchSize: 8 } as const;
    const { costs, runs } = await measureCosts(
      'mine',
      1,
      (done, total, what) => told.push(`${done}/${total} ${what}`),
      [run],
    );
    expect(told).toEqual(['1/1 small, max, batch 8']);
    expect(costs.name).toBe('mine');
    expect(costs.nodeUs).toBeGreaterThan(0);
    expect(Object.keys(costs.rates)).toEqual(Object.keys(targets.cpu.costs.rates));
    for (const { bytesPerSecond, flopsPerSecond = 1 } of Object.values(costs.rates)) {
      expect(Math.min(bytesPerSecond, flopsPerSecond)).toBeGreaterThan(0);
    }
    expect(runs).toEqual([
      {
        ...{ name: 'small', remat: 'max', batchSize: 8 },
        ...{ measuredMs: expect.any(Number), predictedMs: expect.any(Number), spread: expect.any(Number) },
      },
    ]);
  });
});

describe('the error of a model', () => {
  const plan = (estimatedStepMs?: number, median?: number): Parameters<typeof modelErrorOf>[0][number] => ({
    ...{ remat: 'budget', inBundle: false },
    ...(estimatedStepMs !== undefined && { estimatedStepMs }),
    ...(median !== undefined && { measured: { stepMs: { median, min: 0, max: 0 }, peakGrowthBytes: null } }),
  });

  it('is the mean and the largest of what modelled times are apart from measured ones', () => {
    const error = modelErrorOf([plan(110, 100), plan(70, 100), plan(50), plan()]);
    expect(error.meanError).toBeCloseTo(0.2);
    expect(error.largestError).toBeCloseTo(0.3);
    expect(modelErrorOf([plan(50)])).toEqual({ meanError: null, largestError: null } satisfies ModelError);
  });
});

describe('the folder of caches', () => {
  it.each([
    ['linux', {}, '/home/me/.cache/densec'],
    ['linux', { XDG_CACHE_HOME: '/caches' }, '/caches/densec'],
    ['linux', { XDG_CACHE_HOME: 'caches' }, '/home/me/.cache/densec'],
    ['darwin', { XDG_CACHE_HOME: '/caches' }, '/home/me/Library/Caches/densec'],
    ['win32', { LOCALAPPDATA: '/local' }, '/local/densec'],
    ['win32', {}, '/home/me/AppData/Local/densec'],
  ] as const)('of %s with %j is %s', (platform, env, folder) => {
    expect(cacheFolder(platform, env, '/home/me').replaceAll('\\', '/')).toBe(folder);
  });
});

describe('a table given by a program', () => {
  it('is checked, figure by figure', () => {
    const { rates } = targets.cpu.costs;
    const wrong =
      (costs: object): (() => unknown) =>
      () =>
        compile(network, { costs: costs as Costs });
    expect(wrong({ name: 'mine', nodeUs: 1, rates: { ...rates, product: { bytesPerSecond: 0 } } })).toThrow(
      /costs: rates\.product\.bytesPerSecond: .*above 0/,
    );
    expect(wrong({ name: 'mine', nodeUs: 1, rates: {} })).toThrow(/costs: rates\.elementwise/);
    expect(wrong({ nodeUs: 1, rates })).toThrow(/costs: name/);
    expect(compile(network, { costs: { name: 'mine', nodeUs: 1, rates } }).costs.name).toBe('mine');
    expect(compile(network).costs.name).toBe('default');
  });
});
