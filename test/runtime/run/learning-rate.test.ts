/** @file Learning rates over a run. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { accepted } from '../../../src/choices.js';
import {
  checkScheduleOptions,
  checkWarmup,
  learningRateAt,
  type RateOptions,
  rateChoices,
} from '../../../src/runtime/run/learning-rate.js';

/** The rate of every batch of a run of 8 epochs of 4 batches. */
function rates(options: Partial<RateOptions> & { schedule?: 'multistep' | 'cosine' | 'constant' | 'step' }): number[] {
  const run = { schedule: 'constant', learningRate: 0.4, warmup: 0, epochs: 8, ...options } as const;
  return Array.from({ length: 4 * run.epochs }, (_, step) =>
    learningRateAt(run, { epoch: Math.floor(step / 4), batch: step % 4, batches: 4 }),
  );
}

describe('the learning rate', () => {
  it('is divided by 10 at half and again at three quarters of the epochs', () => {
    const found = rates({ schedule: 'multistep' });
    expect(found.slice(0, 16).every((rate) => rate === 0.4)).toBe(true);
    for (const rate of found.slice(16, 24)) expect(rate).toBeCloseTo(0.04, 12);
    for (const rate of found.slice(24)) expect(rate).toBeCloseTo(0.004, 12);
  });

  it('falls along half a cosine, batch by batch', () => {
    const found = rates({ schedule: 'cosine' });
    expect(found[0]).toBe(0.4);
    expect(found[16]).toBeCloseTo(0.2, 12);
    for (const [step, rate] of found.entries()) {
      expect(rate).toBeCloseTo(0.2 * (1 + Math.cos((Math.PI * step) / 32)), 12);
    }
  });

  it('rises linearly over the warm-up, to the full rate at its end', () => {
    const found = rates({ warmup: 1.5 });
    for (const [step, rate] of found.slice(0, 6).entries()) expect(rate).toBeCloseTo((0.4 * (step + 1)) / 6, 12);
    expect(found.slice(5).every((rate) => Math.abs(rate - 0.4) < 1e-12)).toBe(true);
  });

  it('after a warm-up falls along a cosine over the epochs that are left, or at multistep’s own epochs', () => {
    const cosine = rates({ schedule: 'cosine', warmup: 2 });
    expect(cosine[8]).toBe(0.4);
    expect(cosine[20]).toBeCloseTo(0.2, 12);
    expect(cosine.slice(8)).toEqual([...cosine.slice(8)].sort((a, b) => b - a));
    const multistep = rates({ schedule: 'multistep', warmup: 1 });
    expect(multistep[0]).toBeCloseTo(0.1, 12);
    expect([multistep[15], multistep[16]]).toEqual([0.4, expect.closeTo(0.04, 12)]);
  });

  it('with a warm-up shorter than a batch is never above the full rate', () => {
    expect(Math.max(...rates({ warmup: 0.1 }))).toBe(0.4);
  });
});

it('refuses a warm-up that leaves nothing, and schedules that are none', () => {
  expect(() => checkWarmup({ warmup: 8, epochs: 8 })).toThrow(/8 of 8 epochs/);
  expect(() => checkWarmup({ warmup: 7.5, epochs: 8 })).not.toThrow();
  expect(() => accepted(rateChoices.warmup.schema, -1)).toThrow(/at least 0/);
  expect(() => accepted(rateChoices.warmup.schema, Number.NaN)).toThrow(/warm-up epochs is NaN/);
  expect(() => accepted(rateChoices.schedule.schema, 'linear')).toThrow(/multistep, cosine, constant/);
});

it('is multiplied by the factor every so many epochs', () => {
  const found = rates({ schedule: 'step', lrEvery: 3, lrFactor: 0.5 });
  const first = found.filter((_, step) => step % 4 === 0);
  expect(first).toEqual([0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1]);
  expect(rates({ schedule: 'step', lrEvery: 8 })).toEqual(Array(32).fill(0.4));
});

interface PlateauCase {
  readonly learningRate: number;
  readonly lrFactor: number;
  readonly lrPatience: number;
  readonly lrMin: number;
  readonly losses: readonly number[];
  readonly rates: readonly number[];
}

const plateauCases = JSON.parse(
  readFileSync(new URL('../../fixtures/plateau/rates.json', import.meta.url), 'utf8'),
) as PlateauCase[];

it.each(plateauCases)('follows the validation loss as PyTorch does: factor $lrFactor, patience $lrPatience', (each) => {
  const { losses, rates: expected, ...options } = each;
  const run = { ...options, schedule: 'plateau', warmup: 0, epochs: losses.length + 1 } as const;
  const found = expected.map((_, epoch) =>
    learningRateAt(run, { epoch: epoch + 1, batch: 0, batches: 1 }, losses.slice(0, epoch + 1)),
  );
  for (const [epoch, rate] of expected.entries()) expect(found[epoch]).toBeCloseTo(rate, 12);
  expect(new Set(found).size).toBeGreaterThan(1);
});

it.each([
  ['lrEvery', 'cosine', /the schedule cosine takes no --lr-every: it belongs to --schedule step/],
  ['lrPatience', 'step', /takes no --lr-patience: it belongs to --schedule plateau/],
  ['lrFactor', 'own', /takes no --lr-factor: it belongs to --schedule step or plateau/],
] as const)('refuses %s with %s', (key, schedule, message) => {
  expect(() => checkScheduleOptions({ [key]: 1 }, schedule)).toThrow(message);
});
