/** @file Gives every output of a graph a value of its own, as models must have it. */

import { GraphBuilder } from './builder.js';
import type { Graph, GraphOutput, Value } from './graph.js';
import { constantValues } from './names.js';

/** The graph with a `copy` at its end for each output that is an input, a constant or an earlier output's value. */
export function copyOutputs(graph: Graph): Graph {
  const taken = new Set<Value>([...graph.inputs.map(({ value }) => value), ...constantValues(graph)]);
  const builder = new GraphBuilder(graph.name, graph.inputs);
  for (const node of graph.nodes) builder.append(node);
  builder.origin = { scope: '', phase: 'update' };
  let copied = false;
  const outputs = graph.outputs.map((output): GraphOutput => {
    if (!taken.has(output.value)) {
      taken.add(output.value);
      return output;
    }
    copied = true;
    return { ...output, value: builder.emit('copy', [output.value], {}) };
  });
  return copied ? builder.finish(outputs) : graph;
}
