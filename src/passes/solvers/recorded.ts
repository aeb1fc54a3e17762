/** @file Chooses what was chosen before: for bundles that keep what a policy or solver of one's own chose. */

import type { RematSolver } from './problem.js';

/** @param recomputed positions in the differentiated graph (`Compiled.recomputed`) */
export function recordedSolver(recomputed: readonly number[]): RematSolver {
  return ({ graph }) => new Set(recomputed.flatMap((position) => graph.nodes[position] ?? []));
}
