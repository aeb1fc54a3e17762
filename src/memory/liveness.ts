/** @file Which bytes are alive while nodes run in a given order. */

import { type MemoryNode, overwritable } from './node.js';

/** Nodes in the order in which they run, with what comes from outside and goes there. */
export interface Run<V> {
  readonly inputs: readonly V[];
  readonly outputs: readonly V[];
  readonly nodes: readonly MemoryNode<V>[];
}

/** A tensor that is alive at the peak. */
export interface LiveTensor<V> {
  readonly value: V;
  readonly bytes: number;
}

/** How much memory a run needs over time. */
export interface Liveness<V> {
  /** Live bytes while each node runs: its operands, its outputs and all that is wanted later. */
  readonly timeline: readonly number[];
  readonly peakBytes: number;
  /** Position of the node that runs at the peak. */
  readonly peakAt: number;
  /** What is alive there, largest first. */
  readonly tensors: readonly LiveTensor<V>[];
}

/**
 * The live bytes of a run. Inputs live throughout, outputs from when they are computed to the end; any other buffer from its
 * producer to its last reader. Views share a buffer, and results written in place take over that of an operand which dies
 * with them.
 * @param bytesOf bytes of a value; 0 where it takes none
 */
export function liveness<V>({ inputs, outputs, nodes }: Run<V>, bytesOf: (value: V) => number): Liveness<V> {
  const buffer = new Map<V, V>();
  const rootOf = (value: V): V => buffer.get(value) ?? value;
  const lastUse = new Map<V, number>();
  const takenOver = new Set<V>();

  for (const node of nodes) {
    const [source] = node.inputs;
    if (source !== undefined && node.effect.view) for (const output of node.outputs) buffer.set(output, rootOf(source));
  }
  for (const [position, node] of nodes.entries()) {
    for (const value of node.inputs) if (value !== undefined) lastUse.set(rootOf(value), position);
  }
  for (const value of [...inputs, ...outputs]) lastUse.set(rootOf(value), nodes.length);

  const alive = new Map<V, number>();
  for (const value of inputs) alive.set(value, bytesOf(value));
  let live = sum(alive.values());
  const timeline: number[] = [];
  let peak = { bytes: live, at: 0, tensors: new Map(alive) };
  for (const [position, node] of nodes.entries()) {
    const operands = node.inputs.flatMap((value) => (value === undefined ? [] : [rootOf(value)]));
    const dying = [...new Set(operands)].filter((value) => lastUse.get(value) === position && alive.has(value));
    for (const [index, output] of node.outputs.entries()) {
      if (rootOf(output) !== output) continue;
      const bytes = bytesOf(output);
      const reused = overwritable(node.effect, index)
        .flatMap((operand) => {
          const value = node.inputs[operand];
          return value === undefined ? [] : [rootOf(value)];
        })
        .find((value) => dying.includes(value) && alive.get(value) === bytes && !takenOver.has(value));
      if (reused !== undefined) {
        takenOver.add(reused);
        live -= alive.get(reused) ?? 0;
        alive.delete(reused);
      }
      alive.set(output, bytes);
      live += bytes;
    }
    timeline.push(live);
    if (live > peak.bytes) peak = { bytes: live, at: position, tensors: new Map(alive) };
    for (const value of [...dying, ...node.outputs]) {
      if ((lastUse.get(value) ?? position) > position || !alive.has(value)) continue;
      live -= alive.get(value) ?? 0;
      alive.delete(value);
    }
  }
  const tensors = [...peak.tensors].map(([value, bytes]) => ({ value, bytes })).sort((a, b) => b.bytes - a.bytes);
  return { timeline, peakBytes: peak.bytes, peakAt: peak.at, tensors };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
