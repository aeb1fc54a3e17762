/** @file Parameters that the loss doesn't depend on: training leaves them alone, as PyTorch does where there is no gradient. */

import { findOutput, type Graph, RequestError, type Value } from '../ir/index.js';

/** Marks parameters that the loss doesn't depend on as frozen: neither weight decay nor momentum reaches them. */
export function freezeUnused(graph: Graph): { readonly graph: Graph; readonly unused: readonly string[] } {
  const used = ancestors(graph, findOutput(graph, 'loss').value);
  const trained = graph.inputs.filter((input) => input.role === 'parameter' && !input.frozen);
  const unused = trained.filter(({ value }) => !used.has(value)).map(({ name }) => name);
  if (unused.length === 0) return { graph, unused };
  if (unused.length === trained.length) {
    throw new RequestError(
      `the loss of ${graph.name} depends on none of the ${trained.length} parameters to train; return logits that are computed from them, and freeze fewer`,
    );
  }
  const inputs = graph.inputs.map((input) =>
    input.role === 'parameter' && unused.includes(input.name) ? { ...input, frozen: true as const } : input,
  );
  return { graph: { ...graph, inputs }, unused };
}

/** What people should know of unused parameters. */
export function warnUnused(network: string, unused: readonly string[]): readonly string[] {
  if (unused.length === 0) return [];
  const names = unused.join(', ');
  return [
    `the loss of ${network} doesn't depend on ${names}: training leaves ${unused.length === 1 ? 'it' : 'them'} as initialized, without weight decay; use what the layer returns, or leave the layer out`,
  ];
}

/** The values that a value is computed from, itself included. */
function ancestors(graph: Graph, root: Value): ReadonlySet<Value> {
  const found = new Set([root]);
  for (const { inputs, outputs } of [...graph.nodes].reverse()) {
    if (outputs.some((value) => found.has(value))) for (const value of inputs) found.add(value);
  }
  return found;
}
