/** @file What densec plan says of batch sizes that fit. */

import { RequestError } from '../src/ir/index.js';
import type { FittingBatch, LargestBatch } from '../src/runtime/measure/largest-batches.js';
import { grouped, megabytes, note, printTable } from './output.js';

/** The batch sizes. @throws RequestError where no policy fits any by either figure */
export function requireFitting(rows: readonly LargestBatch[], memory: number): readonly LargestBatch[] {
  if (rows.some(({ live }) => live.batchSize > 0)) return rows;
  const least = rows.reduce((best, row) => (row.live.bytes < best.live.bytes ? row : best));
  throw new RequestError(
    `no batch fits into ${megabytes(memory)}: the least is ${megabytes(least.live.bytes)} alive at once, with --remat ${least.remat}; give more memory, or choose a smaller network`,
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

function cells({ batchSize, bytes }: FittingBatch): string[] {
  return batchSize === 0
    ? ['none', `at least ${(bytes / 1e6).toFixed(1)}`]
    : [grouped(batchSize), (bytes / 1e6).toFixed(1)];
}
