/** @file densec calibrate from end to end: what it measures is kept, taken by plan, and checked within ten budgets. */

import { expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const env = { HOME: path(), XDG_CACHE_HOME: path('cache'), LOCALAPPDATA: path('cache') };

it('measures a table that plan takes from then on', async () => {
  const result = await densec(['calibrate', '--threads', '1', '--json'], { env });
  expect(result.code, result.stderr).toBe(0);
  const { machine, threads, nodeUs, bytesPerSecond, flopsPerSecond, rates, runs, check, name } = result.json() as {
    machine: { name: string };
    threads: number;
    nodeUs: number;
    bytesPerSecond: number;
    flopsPerSecond: number;
    rates: Record<string, { bytesPerSecond: number }>;
    runs: { measuredMs: number; predictedMs: number }[];
    check: { meanError: number; plans: { budgetBytes?: number; measured?: object }[] };
    name: string;
  };
  expect(machine.name).not.toBe('');
  expect(threads).toBe(1);
  for (const figure of [nodeUs, bytesPerSecond, flopsPerSecond, check.meanError]) expect(figure).toBeGreaterThan(0);
  expect(Object.keys(rates).length).toBe(8);
  for (const { measuredMs, predictedMs } of runs) expect(Math.min(measuredMs, predictedMs)).toBeGreaterThan(0);
  expect(check.plans.filter(({ budgetBytes }) => budgetBytes !== undefined).length).toBe(10);
  expect(result.stderr).toMatch(/wrote .*costs-cpu-.*-1\.json/);

  const built = await densec(['build', '--depth', '10', '--image-size', '8', '-o', path('bundle')], { env });
  expect(built.code, built.stderr).toBe(0);
  const planned = await densec(['plan', path('bundle'), '--batch-size', '4', '--threads', '1', '--json'], { env });
  expect(planned.json().costs).toBe(name);
  expect(planned.stderr).toContain(name);
}, 1_800_000);
