/** @file Predictions of steps of many processes. */

import { describe, expect, it } from 'vitest';
import { compile, densenet } from '../../../src/index.js';
import { forecastProcesses, sumMilliseconds } from '../../../src/runtime/measure/many-processes.js';

const link = { bytesPerSecond: 1e9, latencyUs: 20 };

describe('a sum over processes', () => {
  it('takes nothing of one', () => {
    expect(sumMilliseconds(1e6, 1, link)).toBe(0);
  });

  it('is a ring where there is much to send', () => {
    // Each of 4 sends six parts of a quarter: 1.5 times 10 MB, and six messages.
    expect(sumMilliseconds(1e7, 4, link)).toBeCloseTo(15 + 6 * 0.02, 9);
  });

  it('is a tree where there is little', () => {
    expect(sumMilliseconds(4, 1024, link)).toBeCloseTo(20 * 0.02, 3);
  });
});

describe('steps of many processes', () => {
  const network = densenet({ blockConfig: [2, 2], growthRate: 4, imageSize: 8 });

  it('compute alike and sum all gradients and running statistics once', () => {
    const compiled = compile(network, { processes: true });
    const { sums, sumBytes, forecasts } = forecastProcesses(compiled, 16, 5, link);
    const elements = compiled.segments
      .filter(({ role }) => role === 'parameter' || role === 'running')
      .reduce((sum, { length }) => sum + length, 0);
    expect(sumBytes).toBe(4 * elements);
    expect(sums).toBe(compiled.segments.filter(({ role }) => role === 'parameter' || role === 'running').length);
    expect(forecasts.map(({ processes, images }) => [processes, images])).toEqual([
      [1, 16],
      [2, 32],
      [4, 64],
      [5, 80],
    ]);
    expect(new Set(forecasts.map(({ computeMs }) => computeMs)).size).toBe(1);
    expect(forecasts[0]).toMatchObject({ sumsMs: 0, efficiency: 1 });
    for (const { stepMs, computeMs, sumsMs } of forecasts) expect(stepMs).toBeCloseTo(computeMs + sumsMs, 9);
  });

  it('sum more often where batch norm is synchronized', () => {
    const own = forecastProcesses(compile(network, { processes: true }), 16, 2, link);
    const all = forecastProcesses(compile(network, { processes: true, syncBatchNorm: true }), 16, 2, link);
    expect(all.sums).toBeGreaterThan(own.sums + 10);
  });

  it('are not of a step for one process', () => {
    expect(() => forecastProcesses(compile(network), 16, 2, link)).toThrow('the step is for one process');
  });
});
