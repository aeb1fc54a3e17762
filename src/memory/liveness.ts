/** @file Which bytes are alive while a program runs in a given order. */

import { inPlaceOperands, isView } from './aliasing.js';
import type { Program } from './program.js';

/** What the memory model must know of a program's values. */
export interface ValueSizes {
  /** Bytes of a value by name; 0 where it takes none. */
  bytes(name: string): number;
}

/** A tensor that is alive at the peak. */
export interface LiveTensor {
  readonly name: string;
  readonly bytes: number;
}

/** How much memory a program needs over time. */
export interface Liveness {
  /** Live bytes while each node of the order runs: its operands, its outputs and all that is wanted later. */
  readonly timeline: readonly number[];
  readonly peakBytes: number;
  /** Position in the order of the node that runs at the peak. */
  readonly peakAt: number;
  /** What is alive there, largest first. */
  readonly tensors: readonly LiveTensor[];
}

/**
 * The live bytes of a program run in `order`. Inputs live throughout, outputs from when they are computed to the end;
 * any other buffer from its producer to its last reader. Views share a buffer, and activations take over that of an
 * operand which dies with them.
 */
export function liveness(program: Program, order: readonly number[], sizes: ValueSizes): Liveness {
  const { nodes } = program;
  const buffer = new Map<string, string>();
  const rootOf = (name: string): string => buffer.get(name) ?? name;
  const lastUse = new Map<string, number>();
  const takenOver = new Set<string>();

  for (const index of order) {
    const node = nodes[index];
    const [source] = node?.inputs ?? [];
    if (node && source !== undefined && isView(node.operator)) {
      for (const output of node.outputs) buffer.set(output, rootOf(source));
    }
  }
  for (const [position, index] of order.entries()) {
    for (const name of nodes[index]?.inputs ?? []) lastUse.set(rootOf(name), position);
  }
  for (const name of [...program.inputs, ...program.outputs]) lastUse.set(rootOf(name), order.length);

  const alive = new Map<string, number>();
  for (const name of program.inputs) alive.set(name, sizes.bytes(name));
  let live = sum(alive.values());
  const timeline: number[] = [];
  let peak = { bytes: live, at: 0, tensors: new Map(alive) };
  for (const [position, nodeIndex] of order.entries()) {
    const node = nodes[nodeIndex];
    if (!node) continue;
    const dying = [...new Set(node.inputs.map(rootOf))].filter(
      (name) => lastUse.get(name) === position && alive.has(name),
    );
    for (const [index, output] of node.outputs.entries()) {
      if (rootOf(output) !== output) continue;
      const bytes = sizes.bytes(output);
      const reused = inPlaceOperands(node.operator, index)
        .map((position) => rootOf(node.inputs[position] ?? ''))
        .find((name) => dying.includes(name) && alive.get(name) === bytes && !takenOver.has(name));
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
    for (const name of [...dying, ...node.outputs]) {
      if ((lastUse.get(name) ?? position) > position || !alive.has(name)) continue;
      live -= alive.get(name) ?? 0;
      alive.delete(name);
    }
  }
  const tensors = [...peak.tensors].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes);
  return { timeline, peakBytes: peak.bytes, peakAt: peak.at, tensors };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
