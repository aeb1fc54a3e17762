/** @file Lets the kernel that normalizes compute γ / σ itself, where the target's does. */

import { floatTensor, type GraphBuilder, type Node, type NodeOf, type Value } from '../ir/index.js';
import type { Target } from '../targets/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/**
 * Rewrites `affine(x, γ/σ, β)` of images as `normalize(x, 0, σ², γ, β)`, which takes σ from the variance. What is left of
 * the normalizer only the backward pass reads, so it belongs to that: `stack-expressions` computes it for all layers at once.
 * Forward and recomputed results come from one kernel, so they stay the same to the bit.
 */
export function normalizeWithin({ normalizers }: Pick<Target, 'normalizers'>): Pass {
  return {
    name: 'normalize-within',
    run(graph) {
      if (normalizers === 'apart') return graph;
      const scales = new Map<Value, NodeOf<'normalizer'>>();
      for (const node of graph.nodes) if (node.operator === 'normalizer') scales.set(node.outputs[0] as Value, node);
      const normalizerOf = (node: Node): NodeOf<'normalizer'> | undefined => {
        const isShifted = node.operator === 'affine' && node.inputs.length > 2;
        return isShifted ? scales.get(node.inputs[1] as Value) : undefined;
      };
      const early = new Set<Value>(graph.outputs.map(({ value }) => value));
      for (const node of graph.nodes) {
        if (node.origin.phase !== 'forward' && node.origin.phase !== 'update') continue;
        const replaced = normalizerOf(node) ? node.inputs[1] : undefined;
        for (const value of node.inputs) if (value !== replaced) early.add(value);
      }
      const operands = new Map<Node, readonly Value[]>();
      const rewritten = rewriteNodes(graph, (node, inputs, builder) => {
        if (node.operator === 'normalizer') {
          operands.set(node, inputs);
          if (node.outputs.some((value) => early.has(value))) return undefined;
          return builder.within({ phase: 'backward' }, () => builder.emitAll('normalizer', inputs, node.attributes));
        }
        const normalizer = normalizerOf(node);
        const [variance, gamma] = (normalizer && operands.get(normalizer)) ?? [];
        if (!normalizer || !variance || !gamma) return undefined;
        const [x, , shift] = inputs as readonly [Value, Value, Value];
        return [builder.emit('normalize', [x, zeros(builder, gamma), variance, gamma, shift], normalizer.attributes)];
      });
      return { ...rewritten, nodes: whenWanted(rewritten.nodes) };
    },
  };
}

/** Normalizers of the backward pass stand before the first node that reads them; those that none reads are left out. */
function whenWanted(nodes: readonly Node[]): readonly Node[] {
  const late = new Map<Value, Node>();
  const made = new Set<Node>();
  return nodes.flatMap((node) => {
    if (node.operator === 'normalizer' && node.origin.phase === 'backward') {
      for (const value of node.outputs) late.set(value, node);
      return [];
    }
    const before = node.inputs.flatMap((value) => {
      const normalizer = late.get(value);
      if (!normalizer || made.has(normalizer)) return [];
      made.add(normalizer);
      return [normalizer];
    });
    return [...before, node];
  });
}

function zeros(builder: GraphBuilder, like: Value): Value {
  const length = like.type.shape[0] as number;
  return builder.constant(floatTensor([length], new Float32Array(length)));
}
