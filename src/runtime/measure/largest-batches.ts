/** @file The largest batch size of each policy that fits into some memory. */

import type { Compiled } from '../../compile.js';
import { largestBatch, type PeakLine, peakAt } from '../../memory/peak-lines.js';
import type { RematName } from '../../passes/solvers/index.js';
import type { Bundle } from '../bundle/bundle.js';
import { compileAgain, lowerAgain } from '../bundle/replan.js';
import { type DataMemory, usualDataMemory } from '../data/memory.js';
import { processLines } from './forecast.js';

/** A batch size, and what a step of it takes. */
export interface FittingBatch {
  /** 0 where no batch that can be trained on fits. */
  readonly batchSize: number;
  /** Bytes at that batch size; where none fits, at the least that can be trained on. */
  readonly bytes: number;
}

/** What fits by one plan. */
export interface LargestBatch {
  /** The policy; `custom` and `budget` for the bundle's plan where it is of one's own or within a memory budget. */
  readonly remat: Compiled['remat'];
  /** Whether it is the plan that the bundle has. */
  readonly inBundle: boolean;
  /** By the bytes that are alive at once. */
  readonly live: FittingBatch;
  /** By the forecast of the process: training, evaluation, and batches that wait. */
  readonly process: FittingBatch;
}

const policies: readonly RematName[] = ['none', 'efficient', 'max'];

/**
 * The largest batch sizes, exactly: what is alive, and so the forecast, is a largest of lines over the batch size.
 * @param bytes the memory
 * @throws RequestError or FailureError as `compileAgain` and `lowerAgain`
 */
export function largestBatches(bundle: Bundle, bytes: number): readonly LargestBatch[] {
  const { remat: own, inputShape } = bundle.manifest;
  const data = usualDataMemory(inputShape);
  const rows = policies.map((remat) => {
    const compiled = remat === own ? compileAgain(bundle) : lowerAgain(bundle, { remat });
    return rowOf(compiled, remat, remat === own, data, bytes);
  });
  return own === 'custom' || own === 'budget' ? [...rows, rowOf(compileAgain(bundle), own, true, data, bytes)] : rows;
}

function rowOf(
  compiled: Compiled,
  remat: LargestBatch['remat'],
  inBundle: boolean,
  data: DataMemory,
  bytes: number,
): LargestBatch {
  const { schedules, leastBatchSize } = compiled;
  const fitting = (lines: readonly PeakLine[]): FittingBatch => {
    const largest = largestBatch(lines, bytes);
    const batchSize = largest < leastBatchSize ? 0 : largest;
    return { batchSize, bytes: Math.round(peakAt(lines, Math.max(batchSize, leastBatchSize))) };
  };
  return {
    remat,
    inBundle,
    live: fitting(schedules.training.livePeak),
    process: fitting(processLines(compiled, data)),
  };
}
