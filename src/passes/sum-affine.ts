/** @file Sums over channels of what an affine map gives, taken from sums over what it was given. */

import type { NodeOf, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/**
 * Σ s·d·x = s·Σ d·x and Σ s·d = s·Σ d for a scale s of each channel. The gradient of a batch norm's own scale and shift has
 * the sums on the right; what flows back through its statistics, where nobody else reads what it normalizes, asks for those
 * on the left. Two products of short vectors take the place of two passes over a large tensor. Where the sum is divided,
 * s is instead: that can be done before the sum is there. Share subexpressions afterwards.
 */
export const sumAffine: Pass = {
  name: 'sum-affine',
  run(graph) {
    const scaled = new Map<Value, NodeOf<'affine'>>();
    for (const node of graph.nodes) {
      if (node.operator === 'affine' && node.inputs.length === 2) scaled.set(node.outputs[0] as Value, node);
    }
    const products = new Map<Value, readonly [sum: Value, scale: Value]>();
    return rewriteNodes(graph, (node, inputs, builder) => {
      const [operand, other] = inputs as readonly [Value, Value];
      if (node.operator === 'channelSums') {
        const [inner, scale] = scaled.get(operand)?.inputs ?? [];
        if (!inner || !scale) return undefined;
        return builder.emitAll('channelSums', [inner, other], {}).map((sum) => {
          const result = builder.emit('mul', [sum, scale], {});
          products.set(result, [sum, scale]);
          return result;
        });
      }
      const [sum, scale] = products.get(operand) ?? [];
      if (node.operator !== 'div' || !sum || !scale) return undefined;
      return [builder.emit('mul', [sum, builder.emit('div', [scale, other], {})], {})];
    });
  },
};
