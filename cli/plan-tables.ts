/** @file What densec plan says of batch sizes that fit, and of plans that take more time for less memory. */

import { RequestError } from '../src/ir/index.js';
import type { FittingBatch, LargestBatch } from '../src/runtime/measure/largest-batches.js';
import { type ModelError, modelErrorOf, type SweptPlan } from '../src/runtime/measure/sweep-plans.js';
import { nameOf, provenOf } from '../src/runtime/report/index.js';
import { grouped, megabytes, note, percent, printTable } from './output.js';

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
    rows.map(({ remat, inBundle, status, process, live }) => [
      status === undefined ? `${remat}${inBundle ? ' (this bundle)' : ''}` : `any plan (${status})`,
      ...cells(process),
      ...cells(live),
    ]),
  );
  const any = rows.find(({ status, live }) => status !== undefined && live.batchSize > 0);
  if (any) {
    note(
      `Any plan: the fastest of its batch size, as --memory-budget ${memory} --batch-size ${any.live.batchSize} builds it; ${any.status === 'proven' ? 'no plan fits a larger batch' : 'a plan of a larger batch was neither found nor ruled out in time (--budget-seconds)'}.`,
    );
  }
  note(
    "The process: what a training run is forecast to grow by, evaluation and batches that wait included. Live bytes: a step's tensors alone, the least that any runtime needs.",
  );
}

/** Tells of a batch size for which a plan was looked for. */
export function tellTried(batchSize: number, fits: boolean | undefined, memory: number): void {
  const found = fits === undefined ? 'no plan was found in time' : fits ? 'a plan fits' : 'no plan fits';
  note(`batches of ${grouped(batchSize)}: ${found} within ${megabytes(memory)}`);
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
      ...(isMeasured ? ['measured ms', 'apart', 'growth MB'] : []),
    ],
    plans.map((plan) => [
      nameOf(plan),
      figure(plan.predictedLivePeakBytes, 1e6),
      figure(plan.estimatedStepMs),
      plan.recomputed === undefined ? '–' : grouped(plan.recomputed),
      provenOf(plan),
      ...(isMeasured
        ? [figure(plan.measured?.stepMs.median), apart(plan), figure(plan.measured?.peakGrowthBytes, 1e6)]
        : []),
    ]),
  );
  const error = modelErrorWords(modelErrorOf(plans));
  if (error !== undefined) note(error);
}

/** How far the model is from what was measured, in a sentence; nothing where nothing was. */
function modelErrorWords({ meanError, largestError }: ModelError): string | undefined {
  if (meanError === null || largestError === null) return undefined;
  return `modelled times are ${percent(meanError)} from measured ones in the mean, at most ${percent(largestError)}`;
}

/** By how much the modelled time is above the measured one. */
function apart({ estimatedStepMs, measured }: SweptPlan): string {
  return estimatedStepMs === undefined || !measured ? '–' : percent(estimatedStepMs / measured.stepMs.median - 1);
}

function figure(value: number | null | undefined, unit = 1): string {
  return value === undefined || value === null ? '–' : (value / unit).toFixed(1);
}

function cells({ batchSize, bytes }: FittingBatch): string[] {
  return batchSize === 0
    ? ['none', `at least ${(bytes / 1e6).toFixed(1)}`]
    : [grouped(batchSize), (bytes / 1e6).toFixed(1)];
}
