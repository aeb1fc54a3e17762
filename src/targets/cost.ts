/** @file What nodes cost on a target, in microseconds: an estimate from its table. */

import type { Node } from '../ir/index.js';
import type { Costs, Target, Work } from './target.js';

/** Microseconds that a node takes at a batch size: for each launch what any takes, and the longer of moving bytes and computing. */
export function nodeMicroseconds(node: Node, { launches, costs }: Target, batchSize: number): number {
  if (node.operator === 'constant') return 0;
  return launches(node, batchSize).reduce((sum, work) => sum + microsecondsOf(work, costs), 0);
}

/** Microseconds of a launch and of its work. */
function microsecondsOf({ kind, bytes, flops }: Work, { nodeUs, rates }: Costs): number {
  const { bytesPerSecond, flopsPerSecond, launchUs = nodeUs } = rates[kind];
  return launchUs + 1e6 * Math.max(bytes / bytesPerSecond, flopsPerSecond ? flops / flopsPerSecond : 0);
}

/** Microseconds of all nodes of a graph, one after the other. */
export function stepMicroseconds(nodes: readonly Node[], target: Target, batchSize: number): number {
  return nodes.reduce((sum, node) => sum + nodeMicroseconds(node, target, batchSize), 0);
}
