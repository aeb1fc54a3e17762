/** @file bench:budgets: its plans, the table, the page's section and the plot; what is written before is kept. */

import { describe, expect, it } from 'vitest';
import { renderBudgets } from '../../bench/budget-plot.js';
import {
  type BudgetNetwork,
  type BudgetRow,
  budgetSection,
  growthOf,
  parseNetworks,
  stepMsOf,
  tableOf,
  withNetwork,
} from '../../bench/budget-rows.js';
import { measureBudgets } from '../../bench/measure-budgets.js';
import { denseNetSubject } from '../../bench/peer-subjects.js';
import { torchArguments } from '../../bench/torch-peer.js';
import { denseNetConfig } from '../../src/builders/index.js';
import { FailureError } from '../../src/ir/index.js';
import { wellFormed } from '../helpers/markup.js';

const config = denseNetConfig({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });

const rounds = [
  { stepMs: 10, peakGrowthBytes: 5e6 },
  { stepMs: 30, peakGrowthBytes: 7e6 },
  { stepMs: 20, peakGrowthBytes: 6e6 },
];
const ours: BudgetRow = {
  ...{ name: 'within 4.0 MB', budgetBytes: 4e6, least: 'proven', status: 'feasible', gap: 0.01, seconds: 3 },
  ...{ predictedLivePeakBytes: 4e6, estimatedStepMs: 22, forecastBytes: 9e6, verified: true, rounds },
};
const network: BudgetNetwork = {
  ...{ title: 'small, batch 2', batchSize: 2, threads: 1, asked: 3, date: '2026-01-31T00:00:00Z' },
  ...{ machine: 'Abacus, 2 cores', torch: '2.13.0', costs: 'default' },
  rows: [
    { name: 'none', predictedLivePeakBytes: 6e6, estimatedStepMs: 20, forecastBytes: 9e6, rounds },
    ours,
    { name: 'PyTorch naive', rounds },
    { name: 'torch.compile, budget 0.5', activationBudget: 0.5, rounds: [], failed: 'no compiler' },
  ],
};

describe('measureBudgets', () => {
  const options = {
    ...{ subject: denseNetSubject(config), title: 'small', batchSize: 4, budgets: 2, seconds: 2, gap: 0 },
    ...{ threads: 1, steps: 1, rounds: 1, python: '/no/such/python', torchBudgets: [1, 0] },
    onPlan: () => undefined,
  };

  it('tells each plan as it is found, runs nothing if only plans are asked for', async () => {
    const told: number[] = [];
    const found = await measureBudgets({
      ...{ ...options, verify: true, planOnly: true },
      onMeasured: () => expect.unreachable(),
      onNote: () => expect.unreachable(),
      onRow: async ({ rows }) => void told.push(rows.length),
    });
    expect(told).toEqual([1, 2, 3, 4, 5]);
    expect(found.rows.map(({ name }) => name).slice(0, 3)).toEqual(['none', 'efficient', 'max']);
    for (const row of found.rows.slice(3)) {
      expect(row.predictedLivePeakBytes).toBeLessThanOrEqual(row.budgetBytes ?? 0);
      expect(row.seconds).toBeGreaterThan(0);
      expect(row.rounds).toEqual([]);
    }
    expect(['proven', 'found']).toContain(found.rows[3]?.least);
  }, 120_000);

  it('verifies and measures, and goes on without Python, which it says', async () => {
    const notes: string[] = [];
    let told = 0;
    const found = await measureBudgets({
      ...{ ...options, verify: true, planOnly: false },
      onMeasured: () => undefined,
      onNote: (note) => notes.push(note),
      onRow: async () => void told++,
    });
    expect(notes).toEqual([expect.stringMatching(/PyTorch is left out: there is no \/no\/such\/python/)]);
    expect(found.torch).toBeNull();
    for (const row of found.rows) {
      expect([row.verified, row.rounds.length]).toEqual([true, 1]);
      expect(stepMsOf(row)).toBeGreaterThan(0);
    }
    // After each plan, and after each measurement of each model.
    expect(told).toBeGreaterThan(found.rows.length);
  }, 300_000);
});

describe('a peer of torch.compile', () => {
  it('is told its budget', () => {
    const request = { config, efficient: false, batchSize: 2, steps: 1, threads: 1, seed: 0 };
    expect(torchArguments({ ...request, activationBudget: 0.4 }).join(' ')).toContain('--activation-budget 0.4');
    expect(torchArguments(request)).not.toContain('--activation-budget');
  });
});

describe('what is written', () => {
  it('replaces the network of its title and keeps the others', () => {
    const [other, again] = [
      { ...network, title: 'other' },
      { ...network, threads: 2 },
    ];
    expect(withNetwork([network, other], again)).toEqual([again, other]);
    expect(withNetwork([network], other)).toEqual([network, other]);
    expect(parseNetworks(JSON.stringify([network, other]), 'x.json')).toEqual([network, other]);
    expect(() => parseNetworks('{}', 'x.json')).toThrow(FailureError);
  });

  it('has medians, and the model held against them', () => {
    expect([stepMsOf(ours), growthOf(ours)]).toEqual([20, 6e6]);
    const { head, rows } = tableOf(network);
    for (const row of rows) expect(row.length).toBe(head.length);
    expect(rows[1]).toEqual([
      ...['within 4.0 MB', '4', '22.0', 'to 1.00 %, the least there is', '3.0', '9', 'yes', '20.0', '1.10', '6'],
    ]);
    expect(rows[3]?.[0]).toBe('torch.compile, budget 0.5 (failed)');
    expect(budgetSection([network])).toContain(
      'small, batch 2: 1 thread, Abacus, 2 cores, 2026-01-31, 3 rounds, PyTorch 2.13.0, costs: default.',
    );
  });

  it('is drawn, measured or modelled', () => {
    const svg = renderBudgets([network, { ...network, rows: [{ ...ours, rounds: [] }] }]);
    expect(wellFormed(svg)[0]).toBe('svg');
    expect(svg).toMatch(/measured growth.*modelled, live peak/s);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});
