/** @file Convolutions as the forward pass computes them: each maybe as a sum over parts of its operand. */

import { type Node, sizeOf, type Value } from '../ir/index.js';

/** The convolutions of a graph, in its order, each with its parts: `conv2d`, then any `conv2dAdd` to its result. */
export function convolutionsOf(nodes: readonly Node[]): readonly (readonly Node[])[] {
  const convolutions = new Set<Node[]>();
  const bySum = new Map<Value, Node[]>();
  for (const node of nodes) {
    if (node.operator !== 'conv2d' && node.operator !== 'conv2dAdd') continue;
    const parts = (node.operator === 'conv2dAdd' && bySum.get(node.inputs[0] as Value)) || [];
    parts.push(node);
    convolutions.add(parts);
    bySum.set(node.outputs[0] as Value, parts);
  }
  return [...convolutions];
}

/** Elements a sample of what a convolution or a part of one convolves. */
export function operandSize(part: Node): number {
  return sizeOf((part.inputs[part.operator === 'conv2dAdd' ? 1 : 0] as Value).type.shape).factor;
}

/** Whether a node is a convolution, or a part of one, with a window of one pixel. */
export function isPointwise({ operator, inputs }: Node): boolean {
  if (operator !== 'conv2d' && operator !== 'conv2dAdd') return false;
  const [, , height, width] = inputs[operator === 'conv2d' ? 1 : 2]?.type.shape ?? [];
  return height === 1 && width === 1;
}
