/** @file What a training run tells of the memory it will need. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import type { RematName } from '../../../src/passes/solvers/index.js';
import { forecastMemory } from '../../../src/runtime/measure/forecast.js';
import { describeMemory } from '../../../src/runtime/measure/memory-advice.js';

const data = { imageBytes: 3072, batches: 4, fixedBytes: 25e6, loadedBytes: 150e6 };
const network = densenet({ blockConfig: [2, 2], growthRate: 6, imageSize: 16 });

function adviceFor(remat: RematName, share: number): ReturnType<typeof describeMemory> {
  const compiled = compile(network, { remat });
  const forecast = forecastMemory(compiled, 4096, data);
  return describeMemory(compiled, forecast, { bytes: share * forecast.processBytes, limitedBy: 'container' });
}

describe('a forecast', () => {
  it('that fits is told without a warning', () => {
    const { need, warning } = adviceFor('none', 1.01);
    expect(need).toMatch(
      /^memory: about [\d.]+ MB for batches of 4096 \([\d.]+ MB alive .*, 75\.3 MB to prepare batches\) on top of 150\.0 MB of images, [\d.]+ MB free in this cont/,
    );
    expect(warning).toBeUndefined();
  });

  it('that does not fit names a batch size that would, and what saves memory', () => {
    const { warning = '' } = adviceFor('none', 0.5);
    expect(warning).toMatch(/--batch-size \d+ .*--efficient, or --remat max, or --memory-budget free$/);
    const batchSize = Number(/--batch-size (\d+)/.exec(warning)?.[1]);
    const compiled = compile(network);
    const bytes = 0.5 * forecastMemory(compiled, 4096, data).processBytes;
    expect(forecastMemory(compiled, batchSize, data).processBytes).toBeLessThanOrEqual(bytes);
    expect(forecastMemory(compiled, batchSize + 2, data).processBytes).toBeGreaterThan(bytes);
  });

  it('offers only what would change something', () => {
    expect(adviceFor('efficient', 0.5).warning).not.toMatch(/--efficient/);
    expect(adviceFor('max', 0.5).warning).not.toMatch(/--remat/);
    expect(adviceFor('max', 0.001).warning).toMatch(/smaller network or a larger machine/);
  });

  it('is a refusal where what is alive at once is more than is free, and only there', () => {
    const compiled = compile(network);
    const forecast = forecastMemory(compiled, 4096, data);
    const at = (bytes: number) => describeMemory(compiled, forecast, { bytes, limitedBy: 'machine' }).refusal;
    expect(at(forecast.livePeakBytes)).toBeUndefined();
    expect(at(forecast.livePeakBytes - 1)).toMatch(
      /^a step of 4096 images has [\d.]+ MB alive at once, but only [\d.]+ MB are free; try .*--batch-size \d+.*--allow-overcommit \(in a program allowOvercommit: true\)$/,
    );
  });
});
