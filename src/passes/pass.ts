/** @file Passes and how they are run: graph in, graph out, verified after each. */

import { type Graph, InternalError, verifyGraph } from '../ir/index.js';

/** A step of the compiler. */
export interface Pass {
  readonly name: string;
  run(graph: Graph): Graph;
}

/**
 * Runs passes in order and verifies every result.
 * @param observe told of each pass's result, for printing between passes
 * @throws InternalError naming the pass that broke the graph and those before it
 */
export function runPasses(graph: Graph, passes: readonly Pass[], observe?: (pass: Pass, graph: Graph) => void): Graph {
  let current = graph;
  for (const [index, pass] of passes.entries()) {
    current = pass.run(current);
    try {
      verifyGraph(current);
    } catch (error) {
      const before = passes.slice(0, index).map(({ name }) => name);
      throw new InternalError(`the pass ${pass.name} (after ${before.join(', ') || 'none'}) broke the graph`, {
        cause: error,
      });
    }
    observe?.(pass, current);
  }
  return current;
}

/** Runs passes for a prediction: of passes that are verified where the step itself is compiled. */
export function runUnverified(graph: Graph, passes: readonly Pass[]): Graph {
  return passes.reduce((current, pass) => pass.run(current), graph);
}
