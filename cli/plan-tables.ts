/** @file What densec plan says of batch sizes that fit, and of plans that take more time for less memory. */

import { RequestError } from '../src/ir/index.js';
import type { FittingBatch, LargestBatch } from '../src/runtime/measure/largest-batches.js';
import type { SweptPlan } from '../src/runtime/measure/sweep-plans.js';
import { nameOf, provenOf } from '../src/runtime/report/index.js';
import { grouped, megabytes, note, printTable } from './output.js';

/** The batch sizes. @throws RequestError where no policy fits any by either figure */
export function requireFitting(rows: readonly LargestBatch[], memory: number): readonly LargestBatch[] {
  if (rows.some(({ live }) => live.batchSize > 0)) return rows;
  const least = rows.reduce((best, row) => (row.live.bytes < best.live.bytes ? row : best));
  throw new RequestError(
    `no batch fits into ${megabytes(memory)}: the least is ${megabytes(least.live.bytes)} alive at once, ${least.inBundle ? 'by this bundle' : `with --remat ${least.remat}`}; give more memory, or choose a smaller network`,
  );
}

/** The batch sizes as JSON has them. */
export function fittingJson(rows: readonly LargestBatch[], memoryBytes: number): object {
  return { memoryBytes, maxBatch: rows };
}

/** Shows the batch sizes to people. */
export function showFitting(rows: readonly LargestBatch[], memory: number): void {
  printTable(
    [`fits into ${megabytes(memory)}`, 'batch, by the process', 'MB', 'batch, by live bytes', 'MB'],
    rows.map(({ remat, inBundle, process, live }) => [
      `${remat}${inBundle ? ' (this bundle)' : ''}`,
      ...cells(process),
      ...cells(live),
    ]),
  );
  note(
    "The process: what a training run is forecast to grow by, evaluation and batches that wait included. Live bytes: a step's tensors alone, the least that any runtime needs.",
  );
}

/** Shows a sweep to people. */
export function showSweep(plans: readonly SweptPlan[]): void {
  const isMeasured = plans.some(({ measured }) => measured);
  process.stdout.write('\n');
  printTable(
    [
      'plan',
      'live peak MB',
      'modelled ms',
      'recomputed',
      'proven',
      ...(isMeasured ? ['measured ms', 'growth MB'] : []),
    ],
    plans.map((plan) => [
      nameOf(plan),
      figure(plan.predictedLivePeakBytes, 1e6),
      figure(plan.estimatedStepMs),
      plan.recomputed === undefined ? '–' : grouped(plan.recomputed),
      provenOf(plan),
      ...(isMeasured ? [figure(plan.measured?.stepMs.median), figure(plan.measured?.peakGrowthBytes, 1e6)] : []),
    ]),
  );
}

function figure(value: number | null | undefined, unit = 1): string {
  return value === undefined || value === null ? '–' : (value / unit).toFixed(1);
}

function cells({ batchSize, bytes }: FittingBatch): string[] {
  return batchSize === 0
    ? ['none', `at least ${(bytes / 1e6).toFixed(1)}`]
    : [grouped(batchSize), (bytes / 1e6).toFixed(1)];
}
