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

/** A buffer from the node that first writes it to the last one that wants it; one that outlives the run has no end. */
export interface LiveRange<V> extends LiveTensor<V> {
  readonly from: number;
  readonly to: number;
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
  /** All buffers, in the order of their births. */
  readonly ranges: readonly LiveRange<V>[];
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

  // In the order of birth; while alive, a buffer's end is open.
  const births: { -readonly [K in keyof LiveRange<V>]: LiveRange<V>[K] }[] = [];
  const alive = new Map<V, (typeof births)[number]>();
  let live = 0;
  const bear = (value: V, from: number): void => {
    const birth = { value, bytes: bytesOf(value), from, to: Number.POSITIVE_INFINITY };
    births.push(birth);
    alive.set(value, birth);
    live += birth.bytes;
  };
  const end = (value: V, to: number): void => {
    const birth = alive.get(value);
    if (!birth) return;
    birth.to = to;
    alive.delete(value);
    live -= birth.bytes;
  };
  for (const value of inputs) bear(value, 0);
  let peak = { bytes: live, at: 0 };
  const timeline: number[] = [];
  for (let position = 0; position < nodes.length; position++) {
    const node = nodes[position] as MemoryNode<V>;
    const dying: V[] = [];
    for (const operand of node.inputs) {
      if (operand === undefined) continue;
      const value = rootOf(operand);
      if (lastUse.get(value) === position && alive.has(value) && !dying.includes(value)) dying.push(value);
    }
    for (let index = 0; index < node.outputs.length; index++) {
      const output = node.outputs[index] as V;
      if (rootOf(output) !== output) continue;
      const bytes = bytesOf(output);
      const reused = overwritable(node.effect, index)
        .flatMap((operand) => node.inputs[operand] ?? [])
        .map(rootOf)
        .find((value) => dying.includes(value) && alive.get(value)?.bytes === bytes && !takenOver.has(value));
      if (reused !== undefined) {
        takenOver.add(reused);
        end(reused, position - 1);
      }
      bear(output, position);
    }
    timeline.push(live);
    if (live > peak.bytes) peak = { bytes: live, at: position };
    for (const value of dying) end(value, position);
    for (const value of node.outputs) if ((lastUse.get(value) ?? position) <= position) end(value, position);
  }
  const tensors = births
    .filter(({ from, to }) => from <= peak.at && to >= peak.at)
    .map(({ value, bytes }) => ({ value, bytes }))
    .sort((a, b) => b.bytes - a.bytes);
  return { timeline, peakBytes: peak.bytes, peakAt: peak.at, tensors, ranges: births };
}
