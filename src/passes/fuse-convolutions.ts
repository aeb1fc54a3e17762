/** @file Lets convolutions take along what follows them: an addition or a ReLU. One pass over memory instead of two. */

import { type GraphBuilder, type Node, type NodeOf, sameType, type Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { countReaders, rewriteNodes } from './rewrite.js';

/**
 * Joins `relu(conv2d(…))` and `sum + conv2d(…)` where nothing else reads the convolution's result. The runtime's own
 * optimizer would do the same, and so move nodes that the plan has put in order: what it finds done it leaves alone.
 */
export const fuseConvolutions: Pass = {
  name: 'fuse-convolutions',
  run(graph) {
    const readers = countReaders(graph);
    const convolutions = new Map<Value, NodeOf<'conv2d'>>();
    for (const node of graph.nodes) {
      const [value] = node.outputs;
      if (node.operator === 'conv2d' && value && readers.get(value) === 1) convolutions.set(value, node);
    }
    const taken = new Map<Node, Value>();
    const joined = new Set<Value>();
    for (const node of graph.nodes) {
      const value = node.inputs.find((operand) => convolutions.has(operand) && fits(node, operand));
      if (!value) continue;
      taken.set(node, value);
      joined.add(value);
    }
    const current = new Map<Value, readonly Value[]>();
    return rewriteNodes(graph, (node, inputs, builder) => {
      const [output] = node.outputs;
      if (output && joined.has(output)) {
        current.set(output, inputs);
        return [output];
      }
      const value = taken.get(node);
      const convolution = value && convolutions.get(value);
      if (!value || !convolution) return undefined;
      const sum = node.operator === 'add' ? inputs[node.inputs[0] === value ? 1 : 0] : undefined;
      // What is joined is the convolution, though it stands where the other node stood.
      const { source } = convolution.origin;
      return [builder.within({ source }, () => fused(builder, convolution, current.get(value) ?? [], sum))];
    });
  },
};

/** Whether a node can be done by the convolution that gives one of its operands. */
function fits({ operator, inputs }: Node, value: Value): boolean {
  if (operator === 'relu') return true;
  const other = inputs[0] === value ? inputs[1] : inputs[0];
  return operator === 'add' && other !== undefined && other !== value && sameType(other.type, value.type);
}

function fused(
  builder: GraphBuilder,
  { attributes }: NodeOf<'conv2d'>,
  operands: readonly Value[],
  sum: Value | undefined,
): Value {
  const inputs = sum ? [...operands, sum] : operands;
  return builder.emit('fusedConv2d', inputs, { ...attributes, adds: sum !== undefined, relu: sum === undefined });
}
