/** @file Rematerialization by a predicate alone, without looking at the peak. */

import { InternalError } from '../../src/ir/index.js';
import type { Pass } from '../../src/passes/pass.js';
import { rematerialize } from '../../src/passes/rematerialize.js';
import { type RematPolicy, type RematProblem, rematProblem } from '../../src/passes/solvers/index.js';
import { targets } from '../../src/targets/index.js';

const unasked: RematProblem['predict'] = () => {
  throw new InternalError('a predicate asks for no prediction');
};

/** Computes again all candidates that a predicate names. */
export function rematerializeBy(policy: RematPolicy): Pass {
  return {
    name: 'rematerialize',
    run(graph) {
      const { candidates } = rematProblem(graph, targets.cpu, unasked);
      return rematerialize(new Set([...candidates.keys()].filter(policy))).run(graph);
    },
  };
}
