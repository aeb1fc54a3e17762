/** @file --memory-budget: how many bytes a step may have alive, and what was found within them. */

import { type Compiled, type CompileOptions, compileGraph } from '../src/compile.js';
import { type Graph, RequestError } from '../src/ir/index.js';
import { type BudgetProgress, loadSolver } from '../src/passes/solvers/index.js';
import type { DataMemory } from '../src/runtime/data/memory.js';
import { forecastMemory } from '../src/runtime/measure/forecast.js';
import { type FreeMemory, freeMemory } from '../src/runtime/measure/free-memory.js';
import { defaultCosts, targets } from '../src/targets/index.js';
import { type CostsFlags, costsOf } from './costs.js';
import { megabytes, note } from './output.js';
import { drawsBars } from './progress.js';

/** What was asked. */
interface BudgetFlags extends CostsFlags {
  readonly memoryBudget?: number | 'free' | undefined;
  readonly budgetSeconds?: number | undefined;
}

/** Share of what is free that a run leaves to others, and to the error of its forecast. */
const margin = 0.1;

/** What a build without data prepares. */
const noData: DataMemory = { fixedBytes: 0, batches: 0, imageBytes: 0, loadedBytes: 0 };

/**
 * The memory budget that flags ask for and the costs to meet it by, as `compile` takes them; nothing where they ask for none.
 * @param forward the network
 * @param options how it will be compiled otherwise
 * @throws RequestError without a batch size, or where what is free isn't known or is too little
 */
export async function memoryOption(
  { memoryBudget, budgetSeconds, costs: table, threads }: BudgetFlags,
  batchSize: number | undefined,
  forward: Graph,
  options: CompileOptions,
  data = noData,
): Promise<Pick<CompileOptions, 'memory' | 'costs'>> {
  if (memoryBudget === undefined) {
    if (table === undefined || table === defaultCosts) return {};
    throw new RequestError(
      `--costs ${table} is for --memory-budget SIZE, since policies don't ask what nodes cost; give both, or drop it`,
    );
  }
  if (batchSize === undefined) {
    throw new RequestError('--memory-budget is for a step of so many images; give --batch-size N, too');
  }
  await loadSolver();
  const budgetBytes = memoryBudget === 'free' ? freeBudget(forward, options, batchSize, data) : memoryBudget;
  const seconds = budgetSeconds ?? 20;
  const costs = await costsOf({ costs: table, threads }, options.target ?? 'cpu');
  note(
    `looking for the fastest step of ${batchSize} images within ${megabytes(budgetBytes)} alive at once, for at most ${seconds} s`,
  );
  return { costs, memory: { budgetBytes, batchSize, seconds, ...(drawsBars() && { onProgress: draw }) } };
}

/** Draws how far the search is over the last time. */
function draw({ seconds, limitSeconds, best, boundMicroseconds }: BudgetProgress): void {
  const above = best && boundMicroseconds > 0 ? 100 * (1 - boundMicroseconds / best.microseconds) : undefined;
  const found = best
    ? `${megabytes(best.peakBytes)}, ${(best.microseconds / 1000).toFixed(1)} ms a step as modelled`
    : 'none fits so far';
  const bound = above === undefined ? '' : `, at most ${above.toFixed(2)} % above the fastest`;
  process.stderr.write(`\r${seconds.toFixed(0)} of ${limitSeconds} s: ${found}${bound}\x1b[K`);
}

/** Bytes that may be alive so that the forecast of the whole process fits into what is free. */
function freeBudget(
  forward: Graph,
  { memory: _, ...options }: CompileOptions,
  batchSize: number,
  data: DataMemory,
): number {
  const { target = 'cpu' } = options;
  if (target !== 'cpu') {
    throw new RequestError(
      `--memory-budget free is known for the target cpu, not for what is free on a device of ${target}; give a size, as in 8GB`,
    );
  }
  const free = freeMemory();
  const spare = Math.floor(free.bytes * (1 - margin));
  const { livePeakBytes, processBytes } = forecastMemory(compileGraph(forward, options), batchSize, data);
  const { factor } = targets[target].arena;
  const beside = processBytes - factor * livePeakBytes;
  const bytes = Math.floor((spare - beside) / factor);
  const where = placeOf(free);
  if (bytes < 1) {
    throw new RequestError(
      `${megabytes(free.bytes)} are free${where}, and the process takes ${megabytes(beside)} beside its step; free some memory, or use a smaller batch`,
    );
  }
  note(
    `${megabytes(free.bytes)} are free${where}; less a margin of ${100 * margin} % and ${megabytes(beside)} beside the step, ${megabytes(bytes)} may be alive at once`,
  );
  return bytes;
}

function placeOf({ limitedBy }: FreeMemory): string {
  return limitedBy === 'container' ? ' in this container' : '';
}

/** Says what was found within a budget. */
export function tellBudget({ certificate }: Compiled): void {
  if (!certificate) return;
  if (drawsBars()) process.stderr.write('\r\x1b[K');
  const { status, gap, peakBytes, budgetBytes, microseconds, tried, seconds, costs } = certificate;
  const quality =
    status === 'optimal'
      ? 'no faster one fits, by the model'
      : `at most ${(100 * gap).toFixed(2)} % above the fastest that fits, by the model`;
  note(
    `found after ${seconds.toFixed(1)} s and ${tried} compiled plans: ${megabytes(peakBytes)} of ${megabytes(budgetBytes)} alive at the peak, ${(microseconds / 1000).toFixed(1)} ms a step as modelled${costs === defaultCosts ? '' : ' by this table of costs'}; ${quality}`,
  );
}
