/** @file Passes and how they are run: graph in, graph out, verified after each. */

import { type Graph, InternalError, verifyGraph } from '../ir/index.js';

/** A step of the compiler. */
export interface Pass {
  readonly name: string;
  run(graph: Graph): Graph;
}

/**
 * Runs passes in order and verifies what comes of them. Where that is broken, or a pass fails, each result is looked at to
 * name the pass that broke the graph.
 * @param observe told of each pass's result, for printing between passes
 * @throws InternalError naming the pass that broke the graph and those before it
 */
export function runPasses(graph: Graph, passes: readonly Pass[], observe?: (pass: Pass, graph: Graph) => void): Graph {
  try {
    let current = graph;
    for (const pass of passes) {
      current = pass.run(current);
      observe?.(pass, current);
    }
    verifyGraph(current);
    return current;
  } catch (error) {
    blame(graph, passes);
    throw error;
  }
}

/** @throws InternalError naming the first pass that breaks a graph; what a pass itself throws */
function blame(graph: Graph, passes: readonly Pass[]): void {
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
  }
}
