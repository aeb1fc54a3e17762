/** @file The solvers by the name they have on the command line. */

import { efficient } from './efficient.js';
import { max } from './max.js';
import { none } from './none.js';
import type { RematSolver } from './problem.js';

/** Solvers by name; what each keeps is told in its file. */
export const solvers = { none, efficient, max } as const satisfies Readonly<Record<string, RematSolver>>;

export type RematName = keyof typeof solvers;

export {
  type BudgetProgress,
  ImpossibleBudget,
  type MemoryBudget,
  NoPlanInTime,
  withinBudget,
} from './budget/budget.js';
export { loadSolver } from './budget/highs.js';
export type { Certificate } from './certificate.js';
export { recomputeCheap } from './efficient.js';
export { recomputeBottlenecks } from './max.js';
export { byPredicate, type RematPolicy } from './predicate.js';
export {
  type RematChoice,
  type RematNode,
  type RematProblem,
  type RematSolver,
  rematProblem,
  type Shipment,
  solve,
} from './problem.js';
export { recordedSolver } from './recorded.js';
