/** @file Solvers made of a predicate over the nodes of the forward pass, a user's own among them. */

import type { Node } from '../../ir/index.js';
import { keepBelowPeak } from './below-peak.js';
import type { RematSolver } from './problem.js';

/** Whether a forward node's outputs are computed again when the backward pass wants them, instead of kept. */
export type RematPolicy = (node: Node) => boolean;

/** Computes again what a predicate names, but for results of convolutions that can be kept without raising the peak. */
export function byPredicate(policy: RematPolicy): RematSolver {
  return (problem) => keepBelowPeak(problem, new Set([...problem.candidates.keys()].filter(policy)));
}
