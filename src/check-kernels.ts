/** @file Requires that the runtime has a kernel on the target for each node that computes. */

import { type Graph, type Node, RequestError, usedValues } from './ir/index.js';
import { kernelOf } from './onnx/index.js';
import type { Target } from './targets/index.js';

/** How many nodes an error names. */
const named = 3;

/**
 * Checks a lowered graph against the table of the target's kernels. On the CPU all nodes must have one; elsewhere those that
 * read floats: whole numbers, such as labels and extents, may be left to the host.
 * @throws RequestError naming the nodes, their operators and element types
 */
export function checkKernels(graph: Graph, { name, registered }: Target): void {
  const used = usedValues(graph);
  const missing = graph.nodes.flatMap((node) => {
    const kernel = kernelOf(node, (value) => used.has(value));
    // Operators of ours bring their own kernels.
    if (!kernel || kernel.operator.startsWith('densec.') || (name !== 'cpu' && !readsFloats(node))) return [];
    if (registered.kernels[kernel.operator]?.includes(kernel.types)) return [];
    const { phase, scope } = node.origin;
    const place = [phase, scope].filter(Boolean).join(' ');
    return [`${kernel.operator} (${kernel.types})${place ? ` of ${place}` : ''}`];
  });
  if (missing.length === 0) return;
  const rest = missing.length > named ? ` and ${missing.length - named} more` : '';
  throw new RequestError(
    `onnxruntime ${registered.runtime} has no kernel on ${name} for ${missing.slice(0, named).join(', ')}${rest}; build the network for another target, or without the layer that needs it`,
  );
}

function readsFloats({ operator, inputs }: Node): boolean {
  return operator !== 'shape' && inputs.some(({ type }) => type.dtype === 'float32');
}
