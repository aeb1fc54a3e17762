/** @file What nodes cost on a target, in microseconds: an estimate from its table. */

import type { Node } from '../ir/index.js';
import type { Target } from './target.js';
import { workOf } from './work.js';

/** Microseconds that a node takes at a batch size: what any node takes, and the longer of moving its bytes and computing. */
export function nodeMicroseconds(node: Node, { costs: { nodeUs, rates } }: Target, batchSize: number): number {
  if (node.operator === 'constant') return 0;
  const { kind, bytes, flops } = workOf(node, batchSize);
  const { bytesPerSecond, flopsPerSecond } = rates[kind];
  return nodeUs + 1e6 * Math.max(bytes / bytesPerSecond, flopsPerSecond ? flops / flopsPerSecond : 0);
}

/** Microseconds of all nodes of a graph, one after the other. */
export function stepMicroseconds(nodes: readonly Node[], target: Target, batchSize: number): number {
  return nodes.reduce((sum, node) => sum + nodeMicroseconds(node, target, batchSize), 0);
}
