/** @file What a run will need of memory against what is free, and advice where it won't fit. */

import type { Compiled } from '../../compile.js';
import { fittingBatchSize, type MemoryForecast } from './forecast.js';
import type { FreeMemory } from './free-memory.js';

/**
 * What a run will need, in words, a warning where that is more than is free, and a refusal where already the bytes that
 * a step has alive at once are: such a run is killed in its first step.
 */
export function describeMemory(
  compiled: Compiled,
  forecast: MemoryForecast,
  free: FreeMemory,
): { readonly need: string; readonly warning?: string; readonly refusal?: string } {
  const { batchSize, livePeakBytes, processBytes, dataBytes, data } = forecast;
  const where = free.limitedBy === 'container' ? ' in this container' : '';
  const parts = `${megabytes(livePeakBytes)} alive at once by the plan, ${megabytes(dataBytes)} to prepare batches`;
  const loaded = data.loadedBytes > 0 ? ` on top of ${megabytes(data.loadedBytes)} of images` : '';
  const need = `memory: about ${megabytes(processBytes)} for batches of ${batchSize} (${parts})${loaded}, ${megabytes(free.bytes)} free${where}`;
  if (processBytes <= free.bytes) return { need };
  const fitting = fittingBatchSize(compiled, forecast, free.bytes);
  const advice = [
    ...(fitting > 0 ? [`--batch-size ${fitting} (with --accumulate, an update still takes as many images)`] : []),
    ...(compiled.remat === 'none' ? ['--efficient'] : []),
    ...(compiled.remat === 'none' || compiled.remat === 'efficient' ? ['--remat max', '--memory-budget free'] : []),
  ];
  const remedy = advice.length > 0 ? `try ${advice.join(', or ')}` : 'use a smaller network or a larger machine';
  const warning = `the run will hardly fit and may be killed; ${remedy}`;
  if (livePeakBytes <= free.bytes) return { need, warning };
  const refusal = `a step of ${batchSize} images has ${megabytes(livePeakBytes)} alive at once, but only ${megabytes(free.bytes)} are free${where}; ${remedy}, or start it all the same with --allow-overcommit (in a program allowOvercommit: true)`;
  return { need, warning, refusal };
}

/** Bytes in MB = 10⁶. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
