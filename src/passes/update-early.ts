/** @file Puts what updates the state where the last of its gradients is computed, instead of behind the backward pass. */

import type { Node, Value } from '../ir/index.js';
import type { Pass } from './pass.js';

/**
 * A segment's gradient is gathered and its next state computed as soon as all of its gradients are there. What they wrote
 * is then the caller's memory, which exists anyway, and the gradients are gone before the backward pass reaches the first
 * layers, whose images are the largest. Nothing waits for this: values and results stay as they are.
 */
export const updateEarly: Pass = {
  name: 'update-early',
  run(graph) {
    /** Positions in the present order behind which values exist. */
    const ready = new Map<Value, number>();
    const early = new Map<number, Node[]>();
    const others: [position: number, node: Node][] = [];
    for (const [position, node] of graph.nodes.entries()) {
      if (node.origin.phase !== 'update') {
        others.push([position, node]);
        for (const value of node.outputs) ready.set(value, position);
        continue;
      }
      const last = node.inputs.reduce((latest, value) => Math.max(latest, ready.get(value) ?? -1), -1);
      const waiting = early.get(last);
      if (waiting) waiting.push(node);
      else early.set(last, [node]);
      for (const value of node.outputs) ready.set(value, last);
    }
    const nodes = [
      ...(early.get(-1) ?? []),
      ...others.flatMap(([position, node]) => [node, ...(early.get(position) ?? [])]),
    ];
    return { ...graph, nodes };
  },
};
