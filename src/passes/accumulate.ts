/** @file Lets gradients be added to what is there already by the kernel that computes them. */

import type { Node, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { countReaders, Rewriter } from './rewrite.js';

/**
 * ```
 * …, g, … = affineReluGrad(dz, …, x, x, …)         …, sum, … = affineReluGrad(dz, …, s, x, …)
 * sum = add(s, g)                            →
 * ```
 * where nothing else reads g and s comes before: the sum is written in place of s, in the same pass over memory.
 */
export const accumulate: Pass = {
  name: 'accumulate',
  run(graph) {
    const readers = countReaders(graph);
    const made = new Map<Value, { readonly node: Node; readonly position: number }>();
    const additions = new Map<Value, Node>();
    for (const [position, node] of graph.nodes.entries()) {
      for (const value of node.outputs) made.set(value, { node, position });
      if (node.operator === 'add') for (const value of node.inputs) additions.set(value, node);
    }
    const isBefore = (value: Value, position: number): boolean => (made.get(value)?.position ?? -1) < position;
    /** What stands for a sum that has been computed along the way. */
    const sums = new Map<Node, Value>();
    const rewriter = new Rewriter(graph);
    rewriter.apply((node, inputs, builder) => {
      if (node.operator === 'add') {
        const sum = sums.get(node);
        return sum && [sum];
      }
      if (node.operator !== 'affineReluGrad') return undefined;
      const operands = [...inputs];
      const accumulates = [...node.attributes.accumulates];
      const found = new Map<number, Node>();
      const position = made.get(node.outputs[0] as Value)?.position ?? 0;
      for (const [part, gradient] of node.outputs.slice(2).entries()) {
        const addition = additions.get(gradient);
        if (!addition || readers.get(gradient) !== 1 || accumulates[part] === 1) continue;
        const other = addition.inputs.find((value) => value !== gradient) as Value;
        if (!isBefore(other, position)) continue;
        found.set(part, addition);
        operands[4 + 2 * part] = rewriter.current(other);
        accumulates[part] = 1;
      }
      if (found.size === 0) return undefined;
      const outputs = builder.emitAll('affineReluGrad', operands, { ...node.attributes, accumulates });
      for (const [part, addition] of found) sums.set(addition, outputs[2 + part] as Value);
      return outputs;
    });
    return rewriter.builder.finish(rewriter.outputs());
  },
};
