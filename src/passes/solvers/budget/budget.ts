/** @file The solver of memory budgets: the fastest plan of which the live peak is within a number of bytes, with a proof. */

import {
  aCount,
  aFunction,
  checkOptions,
  FailureError,
  type Kind,
  type Kinds,
  must,
  RequestError,
} from '../../../ir/index.js';
import type { Layout } from '../../layout.js';
import type { RematProblem, RematSolver } from '../problem.js';
import type { ShippedPlan } from './evidence.js';
import { requireSolver } from './highs.js';
import { Search } from './search.js';

/** How much memory a step may take. */
export interface MemoryBudget {
  /** Most bytes that may be alive at once, as `densec plan` counts them. */
  readonly budgetBytes: number;
  /** Images of a step. */
  readonly batchSize: number;
  /** How long to look for the best plan; by default 20 seconds. */
  readonly seconds?: number;
  /** Share of a step's time below which a better plan isn't looked for; by default 0.001. At 0 only the optimum is enough. */
  readonly gap?: number;
  /** Told now and then how far the search is. */
  readonly onProgress?: (progress: BudgetProgress) => void;
}

/** How far a search is. */
export interface BudgetProgress {
  /** Seconds since it began, of those that it may take. */
  readonly seconds: number;
  readonly limitSeconds: number;
  /** The fastest plan so far that fits, if there is one: bytes alive at its peak, and microseconds a step. */
  readonly best?: { readonly peakBytes: number; readonly microseconds: number };
  /** No plan that fits takes less, in microseconds, as far as is known. */
  readonly boundMicroseconds: number;
}

const kinds: Kinds<MemoryBudget> = {
  budgetBytes: must(aCount(1)),
  batchSize: must(aCount(1)),
  seconds: numberWhere('a number of seconds above 0', (value) => value > 0),
  onProgress: aFunction,
  gap: numberWhere('a share from 0 to 1', (value) => value >= 0 && value <= 1),
};

function numberWhere(expects: string, accepts: (value: number) => boolean): Kind {
  return { expects, accepts: (value) => typeof value === 'number' && accepts(value) };
}

/** The plan with the lowest peak that a search has seen. */
export interface LeastPeak {
  /** Bytes alive at its peak: a budget of so many is possible. */
  readonly bytes: number;
  /** Whether no plan takes less, as far as the bounds of docs/budgets.md go; otherwise it is the least that was found. */
  readonly isProven: boolean;
  /** The largest batch of which it fits into the budget that was asked for; 0 where none does, infinite where nothing grows. */
  readonly largestBatch: number;
}

/** No plan fits into a budget. */
export class ImpossibleBudget extends RequestError {
  constructor(
    readonly least: LeastPeak,
    message: string,
  ) {
    super(message);
  }
}

/** Time ran out before a plan within a budget was found, or ruled out. */
export class NoPlanInTime extends FailureError {
  constructor(
    readonly least: LeastPeak,
    message: string,
  ) {
    super(message);
  }
}

/** Layouts that are tried beside the usual: with smaller parts, and with operands held as now or never. */
const others: readonly Layout[] = [
  { parts: 8, holdShare: 7 / 8 },
  { parts: 8, holdShare: 0 },
];

/**
 * The fastest plan within a budget, by the target's table of costs.
 * @throws RequestError when no plan fits, with the least that does; FailureError when time runs out before one is found
 */
export function withinBudget(memory: MemoryBudget): RematSolver {
  const { budgetBytes, batchSize, seconds = 20, gap = 1e-3, onProgress } = checkOptions('memory', memory, kinds);
  requireSolver();
  return (problem) => {
    const began = Date.now();
    const until = began + 1000 * seconds;
    const searches = searchesOf(problem, budgetBytes, Math.max(tie, gap / 4));
    // The one that may have the cheapest plan is gone on with: its bound is the bound of all.
    const open = new Set(searches);
    const bestOf = (): Search | undefined =>
      least(
        searches.filter(({ best }) => best),
        ({ best }) => best?.microseconds ?? 0,
      );
    const boundOf = (): number => Math.min(...searches.map(({ bound }) => bound));
    for (;;) {
      const best = bestOf()?.best;
      for (const search of open) if (best && search.bound >= best.microseconds * (1 - tie)) open.delete(search);
      onProgress?.({ ...progressOf(best, boundOf()), seconds: (Date.now() - began) / 1000, limitSeconds: seconds });
      const next = least([...open], ({ bound }) => bound);
      if (!next || Date.now() >= until) break;
      if (best && best.microseconds - boundOf() <= gap * best.microseconds) break;
      if (!next.step(Math.min(until, Date.now() + (until - Date.now()) / 2), best?.microseconds)) open.delete(next);
    }
    const found = bestOf();
    const used = (Date.now() - began) / 1000;
    if (!found?.best) throw failure(searches, memory, used);
    const { microseconds, again, peakBytes } = found.best;
    const bound = Math.min(microseconds, boundOf());
    const isOptimal = microseconds - bound <= tie * microseconds;
    const certificate = {
      status: isOptimal ? ('optimal' as const) : ('feasible' as const),
      ...{ budgetBytes, batchSize, peakBytes, costs: found.problem.target.costs.name },
      ...{ microseconds, boundMicroseconds: bound },
      gap: isOptimal ? 0 : 1 - bound / microseconds,
      tried: searches.reduce((sum, { tried }) => sum + tried, 0),
      refused: searches.reduce((sum, { refused }) => sum + refused, 0),
      seconds: used,
    };
    return { problem: found.problem, again, certificate };
  };
}

function progressOf(
  best: ShippedPlan | undefined,
  boundMicroseconds: number,
): Pick<BudgetProgress, 'best' | 'boundMicroseconds'> {
  if (!best) return { boundMicroseconds };
  const { peakBytes, microseconds } = best;
  return { best: { peakBytes, microseconds }, boundMicroseconds };
}

/** Costs that differ by a smaller share count as equal. */
const tie = 1e-6;

/** A search in each layout that makes a difference to the network. */
function searchesOf(usual: RematProblem, budgetBytes: number, gap: number): readonly Search[] {
  const searches = [new Search(usual, budgetBytes, gap, true)];
  for (const layout of others) {
    const search = new Search(usual.inLayout(layout), budgetBytes, gap, false);
    if (!searches.some((other) => other.isAlike(search))) searches.push(search);
  }
  return searches;
}

function failure(searches: readonly Search[], { budgetBytes, batchSize }: MemoryBudget, seconds: number): Error {
  const closed = searches.every(({ bound }) => bound === Number.POSITIVE_INFINITY);
  // Time may have run out before any plan was compiled.
  if (searches.every(({ tried }) => tried === 0)) searches[0]?.step(Date.now(), undefined);
  const begun = searches.filter(({ tried }) => tried > 0);
  for (const search of begun) search.findLeast(Date.now() + (500 * seconds) / begun.length);
  const smallest = least(begun, ({ leastPlan }) => leastPlan.peakBytes) as Search;
  const { peakBytes } = smallest.leastPlan;
  const provenBytes = Math.min(...searches.map(({ leastBound }) => leastBound));
  const isProven = provenBytes >= peakBytes * (1 - tie);
  const megabytes = (bytes: number): string => `${(Math.ceil(bytes / 1e4) / 100).toFixed(2)} MB`;
  const fits = smallest.problem.ship(smallest.leastPlan.again).largestBatch(budgetBytes);
  const lowest: LeastPeak = { bytes: peakBytes, isProven, largestBatch: fits };
  const advice = fits > 0 ? `the largest batch that fits is ${fits}` : 'not even one image fits';
  const told = isProven ? 'proven' : `found; below ${megabytes(provenBytes)} there is none`;
  if (!closed) {
    return new NoPlanInTime(
      lowest,
      `no plan within ${megabytes(budgetBytes)} was found for ${batchSize} images in ${seconds.toFixed(0)} s, and none is ruled out; the least is ${megabytes(peakBytes)} (${told}). Allow more time, or more memory, or a smaller batch (${advice})`,
    );
  }
  return new ImpossibleBudget(
    lowest,
    `a step of ${batchSize} images can't be done within ${megabytes(budgetBytes)}: the least is ${megabytes(peakBytes)} (${told}); ${advice}`,
  );
}

function least<T>(all: readonly T[], score: (each: T) => number): T | undefined {
  return all.reduce<T | undefined>(
    (best, each) => (best === undefined || score(each) < score(best) ? each : best),
    undefined,
  );
}
