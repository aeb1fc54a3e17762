/** @file Chooses what was chosen before: for bundles that keep what a solver chose. */

import type { Layout } from '../layout.js';
import type { RematChoice, RematProblem } from './problem.js';

/**
 * @param recomputed positions in the differentiated graph (`Compiled.recomputed`)
 * @param layout of that graph
 */
export function recordedSolver(recomputed: readonly number[], layout: Layout): (usual: RematProblem) => RematChoice {
  return (usual) => {
    const problem = usual.inLayout(layout);
    return { problem, again: new Set(recomputed.flatMap((position) => problem.graph.nodes[position] ?? [])) };
  };
}
