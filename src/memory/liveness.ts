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
export function liveness<V>(run: Run<V>, bytesOf: (value: V) => number): Liveness<V> {
  return livenessBySizes(run)(bytesOf);
}

/** The live bytes of a run for whatever sizes its values have: what doesn't depend on these is found out once. */
export function livenessBySizes<V>(run: Run<V>): (bytesOf: (value: V) => number) => Liveness<V> {
  const buffers = buffersOf(run);
  return (bytesOf) => countBytes(buffers, run.nodes.length, bytesOf);
}

/** The buffers of a run by number, in the order of their births. */
interface Buffers<V> {
  /** What each is first of. */
  readonly values: readonly V[];
  /** How many come from outside; they are the first. */
  readonly inputs: number;
  /** Before each node, and behind the last, how many have been born. */
  readonly born: readonly number[];
  /** By node, the buffers that nobody wants after it. */
  readonly dying: readonly (readonly number[])[];
  /** Those that a buffer may take over when it is born, which die with its producer. */
  readonly overwritable: readonly (readonly number[])[];
}

function buffersOf<V>({ inputs, outputs, nodes }: Run<V>): Buffers<V> {
  const values: V[] = [];
  const numbers = new Map<V, number>();
  const bear = (value: V): void => {
    numbers.set(value, values.length);
    values.push(value);
  };
  for (const value of inputs) bear(value);
  const born: number[] = [];
  for (const { inputs: operands, outputs: results, effect } of nodes) {
    born.push(values.length);
    const [source] = operands;
    const viewed = source !== undefined && effect.view ? numbers.get(source) : undefined;
    for (const value of results) {
      if (viewed === undefined) bear(value);
      else numbers.set(value, viewed);
    }
  }
  born.push(values.length);

  const lastUse = lastUses({ inputs, outputs, nodes }, numbers, born);
  const dying = nodes.map((): number[] => []);
  for (const [number, position] of lastUse.entries()) dying[position]?.push(number);

  const overwrites = values.map((): readonly number[] => []);
  for (const [position, { inputs: operands, effect }] of nodes.entries()) {
    if (!effect.inPlace?.length) continue;
    const first = born[position] as number;
    for (let number = first; number < (born[position + 1] as number); number++) {
      const candidates = overwritable(effect, number - first).flatMap((operand) => {
        const value = operands[operand];
        return value === undefined ? [] : (numbers.get(value) ?? []);
      });
      overwrites[number] = candidates.filter((candidate) => lastUse[candidate] === position);
    }
  }
  return { values, inputs: inputs.length, born, dying, overwritable: overwrites };
}

/** By buffer, the last node that wants it: its producer where nobody reads it; none of the nodes where it outlives the run. */
function lastUses<V>(
  { inputs, outputs, nodes }: Run<V>,
  numbers: ReadonlyMap<V, number>,
  born: readonly number[],
): readonly number[] {
  const last = nodes.flatMap((_, position) =>
    Array.from({ length: (born[position + 1] as number) - (born[position] as number) }, () => position),
  );
  const lastUse = [...inputs.map(() => nodes.length), ...last];
  const use = (value: V | undefined, position: number): void => {
    const number = value === undefined ? undefined : numbers.get(value);
    if (number !== undefined) lastUse[number] = position;
  };
  for (const [position, node] of nodes.entries()) for (const value of node.inputs) use(value, position);
  for (const value of [...inputs, ...outputs]) use(value, nodes.length);
  return lastUse;
}

function countBytes<V>(buffers: Buffers<V>, nodes: number, bytesOf: (value: V) => number): Liveness<V> {
  const { values, inputs, born, dying, overwritable } = buffers;
  const bytes = Float64Array.from(values, bytesOf);
  const from = new Float64Array(values.length);
  // While alive, a buffer's end is open.
  const to = new Float64Array(values.length).fill(Number.POSITIVE_INFINITY);
  let live = 0;
  const end = (number: number, position: number): void => {
    to[number] = position;
    live -= bytes[number] as number;
  };
  const isAlive = (number: number): boolean => to[number] === Number.POSITIVE_INFINITY;
  for (let number = 0; number < inputs; number++) live += bytes[number] as number;
  let peak = { bytes: live, at: 0 };
  const timeline: number[] = [];
  for (let position = 0; position < nodes; position++) {
    for (let number = born[position] as number; number < (born[position + 1] as number); number++) {
      const taken = overwritable[number]?.find((other) => isAlive(other) && bytes[other] === bytes[number]);
      if (taken !== undefined) end(taken, position - 1);
      from[number] = position;
      live += bytes[number] as number;
    }
    timeline.push(live);
    if (live > peak.bytes) peak = { bytes: live, at: position };
    for (const number of dying[position] ?? []) if (isAlive(number)) end(number, position);
  }
  const ranges = (): LiveRange<V>[] =>
    values.map((value, number) => ({
      ...{ value, bytes: bytes[number] as number },
      ...{ from: from[number] as number, to: to[number] as number },
    }));
  return {
    timeline,
    peakBytes: peak.bytes,
    peakAt: peak.at,
    // Most are asked for the timeline alone.
    get tensors() {
      const alive = ranges().filter((range) => range.from <= peak.at && range.to >= peak.at);
      return alive.map(({ value, bytes }) => ({ value, bytes })).sort((a, b) => b.bytes - a.bytes);
    },
    get ranges() {
      return ranges();
    },
  };
}
