/** @file Rematerialization by a predicate alone, without looking at the peak. */

import { InternalError } from '../../src/ir/index.js';
import { usualLayout } from '../../src/passes/layout.js';
import type { Pass } from '../../src/passes/pass.js';
import { rematerialize } from '../../src/passes/rematerialize.js';
import { type RematPolicy, rematProblem } from '../../src/passes/solvers/index.js';
import { targets } from '../../src/targets/index.js';

const unasked = (): never => {
  throw new InternalError('a predicate asks for nothing');
};

/** What a problem needs beside its graph, where nothing of it is asked. */
export const nothingAsked = { layout: usualLayout, inLayout: unasked, ship: unasked };

/** Computes again all candidates that a predicate names. */
export function rematerializeBy(policy: RematPolicy): Pass {
  return {
    name: 'rematerialize',
    run(graph) {
      const { candidates } = rematProblem(graph, targets.cpu, nothingAsked);
      return rematerialize(new Set([...candidates.keys()].filter(policy))).run(graph);
    },
  };
}
