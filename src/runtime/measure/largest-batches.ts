/** @file The largest batch size of each policy that fits into some memory. */

import type { Compiled } from '../../compile.js';
import { largestBatch, type PeakLine, peakAt } from '../../memory/peak-lines.js';
import { ImpossibleBudget, loadSolver, NoPlanInTime, type RematName } from '../../passes/solvers/index.js';
import type { Costs } from '../../targets/index.js';
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
  /**
   * The policy; `budget` for the fastest plan of the largest batch that any plan fits into the memory; in the bundle `custom`
   * and `budget` for its own plan where that is of one's own or within a memory budget.
   */
  readonly remat: Compiled['remat'];
  /** Whether it is the plan that the bundle has. */
  readonly inBundle: boolean;
  /** Of the fastest plan within the memory: whether no plan at all takes larger batches, or these are the largest that were found. */
  readonly status?: 'proven' | 'found';
  /** By the bytes that are alive at once. */
  readonly live: FittingBatch;
  /** By the forecast of the process: training, evaluation, and batches that wait. */
  readonly process: FittingBatch;
}

const policies: readonly RematName[] = ['none', 'efficient', 'max'];

/** How to look for the largest batch of any plan. */
export interface BudgetSearch {
  /** How long to look for a plan of one batch size. */
  readonly seconds: number;
  readonly costs?: Costs | undefined;
  /** Told of each batch size that was tried, and whether a plan of it fits; undefined where time ran out. */
  readonly onTried?: (batchSize: number, fits: boolean | undefined) => void;
}

/**
 * The largest batch sizes of the policies, exactly: what is alive, and so the forecast, is a largest of lines over the batch
 * size; and of any plan, by asking the solver of memory budgets.
 * @param bytes the memory
 * @throws RequestError or FailureError as `compileAgain` and `lowerAgain`
 */
export async function largestBatches(
  bundle: Bundle,
  bytes: number,
  search: BudgetSearch,
): Promise<readonly LargestBatch[]> {
  await loadSolver();
  const rows = ofPlans(bundle, bytes);
  return [...rows, ...ofAnyPlan(bundle, bytes, Math.max(...rows.map(({ live }) => live.batchSize)), search)];
}

function ofPlans(bundle: Bundle, bytes: number): readonly LargestBatch[] {
  const { remat: own, inputShape } = bundle.manifest;
  const data = usualDataMemory(inputShape);
  const rows = policies.map((remat) => {
    const compiled = remat === own ? compileAgain(bundle) : lowerAgain(bundle, { remat });
    return rowOf(compiled, remat, remat === own, data, bytes);
  });
  return own === 'custom' || own === 'budget' ? [...rows, rowOf(compileAgain(bundle), own, true, data, bytes)] : rows;
}

/**
 * The fastest plan of the largest batch that fits by any plan; none where no batch does. Each answer of the solver tells more
 * than of its own batch size: a plan that fits is one for all batches up to some size, and where none fits, so is the plan
 * with the lowest peak.
 * @param fitting a batch size that fits by a policy, or 0
 */
function ofAnyPlan(bundle: Bundle, bytes: number, fitting: number, search: BudgetSearch): readonly LargestBatch[] {
  const { leastBatchSize, inputShape } = bundle.manifest;
  let best: { readonly batchSize: number; readonly compiled: Compiled } | undefined;
  let fits = Math.max(fitting, leastBatchSize - 1);
  let [refused, isProven] = [Number.POSITIVE_INFINITY, false];
  const attempt = (batchSize: number): void => {
    const answer = planWithin(bundle, bytes, batchSize, search);
    if (answer.compiled) {
      if (batchSize >= (best?.batchSize ?? 0)) best = { batchSize, compiled: answer.compiled };
    } else [refused, isProven] = [Math.min(refused, batchSize), answer.isProven];
    fits = Math.max(fits, Math.min(answer.upTo, refused - 1));
  };
  let stride = Math.max(1, Math.floor(fits / 16));
  let next = fits + 1;
  while (refused - fits > 1) {
    const before = refused;
    attempt(next);
    stride *= 2;
    if (refused < before) next = fits + 1;
    else next = Number.isFinite(refused) ? Math.floor((fits + refused) / 2) : fits + stride;
  }
  if (fits < leastBatchSize) return [];
  const [edge, wasProven] = [refused, isProven];
  if (best?.batchSize !== fits) attempt(fits);
  if (!best) return [];
  const row = rowOf(best.compiled, 'budget', false, usualDataMemory(inputShape), bytes);
  const isLargest = wasProven && row.live.batchSize === edge - 1;
  return [{ ...row, status: isLargest ? 'proven' : 'found' }];
}

/** A plan of a batch size within some bytes, or that there is none, and up to which batch size some plan is known to fit. */
function planWithin(
  bundle: Bundle,
  budgetBytes: number,
  batchSize: number,
  { seconds, costs, onTried }: BudgetSearch,
): { readonly compiled?: Compiled; readonly isProven: boolean; readonly upTo: number } {
  try {
    const compiled = lowerAgain(bundle, { memory: { budgetBytes, batchSize, seconds }, costs });
    onTried?.(batchSize, true);
    return { compiled, isProven: true, upTo: largestBatch(compiled.schedules.training.livePeak, budgetBytes) };
  } catch (error) {
    if (!(error instanceof ImpossibleBudget) && !(error instanceof NoPlanInTime)) throw error;
    const isProven = error instanceof ImpossibleBudget;
    onTried?.(batchSize, isProven ? false : undefined);
    return { isProven, upTo: error.least.largestBatch };
  }
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
