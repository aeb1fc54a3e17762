/** @file What to keep for the backward pass and what to compute again: policies are predicates over forward nodes. */

import { type Node, traitsOf } from '../ir/index.js';

/** Whether a forward node's outputs are computed again when the backward pass wants them, instead of kept. */
export type RematPolicy = (node: Node) => boolean;

/**
 * Concatenation, normalization, ReLU and other cheap operators: what makes a DenseNet's memory quadratic. What is centered
 * is kept in place of what it was made of: the backward pass wants nothing else of that.
 */
export const recomputeCheap: RematPolicy = ({ operator }) => traitsOf(operator).cheap === true && operator !== 'center';

/** Also 1×1 convolutions and what is centered of them, so that of a dense layer only its features stay. */
const recomputeBottlenecks: RematPolicy = (node) => traitsOf(node.operator).cheap === true || isPointwise(node);

/** The policies by the name they have on the command line. */
export const remats = { none: () => false, efficient: recomputeCheap, max: recomputeBottlenecks } as const;

export type RematName = keyof typeof remats;

function isPointwise(node: Node): boolean {
  if (node.operator !== 'conv2d' && node.operator !== 'conv2dAdd') return false;
  const [, , height, width] = node.inputs[node.operator === 'conv2d' ? 1 : 2]?.type.shape ?? [];
  return height === 1 && width === 1;
}
