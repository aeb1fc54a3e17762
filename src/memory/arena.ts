/**
 * @file What the runtime's arena hands out for a schedule: a model of its chunks. Memory that it asks for grows by powers of
 * two; of what is free it takes the smallest chunk that fits, and hands that out whole unless twice what was asked for would
 * fit, so more is handed out than is alive.
 */

import { bytesPerElement, concreteShape, elementCount, type Node, type Value } from '../ir/index.js';
import { overwritable } from './node.js';
import type { Schedule, ScheduledNode } from './schedule.js';

/** What an arena has handed out and asked for. */
export interface ArenaUse {
  /** Bytes handed out at most at one time. */
  readonly peakBytes: number;
  /** Bytes taken from the device. */
  readonly reservedBytes: number;
}

/** Sizes are multiples of it. */
const grain = 256;

/** How much the arena asks for first; then twice as much each time. */
const firstRegion = 1 << 20;

/** A chunk is also divided where so much or more would be left. */
const mostWaste = 128 << 20;

/** After the first step the arena is as it stays. */
const steps = 2;

/**
 * What the arena hands out for steps of a schedule. Inputs and outputs lie outside it.
 * @param workspace bytes that a node's kernel takes beside its tensors while it runs
 */
export function arenaUse(
  scheduled: Schedule,
  batchSize: number,
  workspace: (node: Node, batchSize: number) => number,
): ArenaUse {
  const arena = new Arena();
  for (let step = 0; step < steps; step++) takeStep(arena, scheduled, batchSize, workspace);
  return { peakBytes: arena.peakBytes, reservedBytes: arena.reservedBytes };
}

function takeStep(
  arena: Arena,
  { graph, order }: Schedule,
  batchSize: number,
  workspace: (node: Node, batchSize: number) => number,
): void {
  const outside = new Set([...graph.inputs, ...graph.outputs].map(({ value }) => value));
  const rootOf = rootsOf(order);
  const lastUse = new Map<Value, number>();
  for (const [position, { inputs }] of order.entries()) {
    for (const value of inputs) if (value !== undefined) lastUse.set(rootOf(value), position);
  }
  const held = new Map<Value, Chunk>();
  const free = (value: Value): void => {
    const chunk = held.get(value);
    held.delete(value);
    if (chunk) arena.free(chunk);
  };
  for (const [position, { node, inputs, outputs, effect }] of order.entries()) {
    const dying = new Set(inputs.flatMap((value) => (value === undefined ? [] : [rootOf(value)])));
    for (const value of dying) if (lastUse.get(value) !== position || !held.has(value)) dying.delete(value);
    for (const [index, output] of outputs.entries()) {
      if (rootOf(output) !== output || outside.has(output)) continue;
      const bytes = bytesOf(output, batchSize);
      const over = overwritable(effect, index)
        .flatMap((operand) => inputs[operand] ?? [])
        .map(rootOf)
        .find((value) => dying.has(value) && bytesOf(value, batchSize) === bytes);
      const chunk = over && held.get(over);
      held.set(output, chunk ?? arena.take(bytes));
      if (over) {
        held.delete(over);
        dying.delete(over);
      }
    }
    const scratch = workspace(node, batchSize);
    if (scratch > 0) arena.free(arena.take(scratch));
    for (const value of dying) free(value);
    for (const value of outputs) if ((lastUse.get(value) ?? position) <= position) free(value);
  }
  for (const value of [...held.keys()]) free(value);
}

/** The value whose memory another shows. */
function rootsOf(order: readonly ScheduledNode[]): (value: Value) => Value {
  const roots = new Map<Value, Value>();
  const rootOf = (value: Value): Value => roots.get(value) ?? value;
  for (const { inputs, outputs, effect } of order) {
    const [source] = inputs;
    if (effect.view && source !== undefined) for (const output of outputs) roots.set(output, rootOf(source));
  }
  return rootOf;
}

function bytesOf({ type }: Value, batchSize: number): number {
  return elementCount(concreteShape(type.shape, batchSize)) * bytesPerElement[type.dtype];
}

/** A piece of a region, beside its neighbours there. */
interface Chunk {
  /** Regions follow each other as they were taken. */
  readonly region: number;
  readonly offset: number;
  size: number;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

class Arena {
  peakBytes = 0;
  reservedBytes = 0;
  private bytes = 0;
  private regions = 0;
  private nextRegion = firstRegion;
  private readonly chunks = new Set<Chunk>();

  take(bytes: number): Chunk {
    const size = Math.max(grain, Math.ceil(bytes / grain) * grain);
    const chunk = this.smallest(size) ?? this.extend(size);
    this.chunks.delete(chunk);
    if (chunk.size >= 2 * size || chunk.size - size >= mostWaste) this.divide(chunk, size);
    this.bytes += chunk.size;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    return chunk;
  }

  free(chunk: Chunk): void {
    this.bytes -= chunk.size;
    const { before, after } = chunk;
    if (after && this.chunks.has(after)) this.join(chunk, after);
    if (before && this.chunks.has(before)) this.join(before, chunk);
    else this.chunks.add(chunk);
  }

  /** The smallest free chunk that fits; of equals the first. */
  private smallest(size: number): Chunk | undefined {
    let best: Chunk | undefined;
    for (const chunk of this.chunks) {
      if (chunk.size < size) continue;
      if (!best || chunk.size < best.size || (chunk.size === best.size && comesBefore(chunk, best))) best = chunk;
    }
    return best;
  }

  private extend(size: number): Chunk {
    const isTooSmall = this.nextRegion < size;
    while (this.nextRegion < size) this.nextRegion *= 2;
    const chunk: Chunk = {
      region: this.regions++,
      offset: 0,
      size: this.nextRegion,
      before: undefined,
      after: undefined,
    };
    this.reservedBytes += chunk.size;
    if (!isTooSmall) this.nextRegion *= 2;
    return chunk;
  }

  private divide(chunk: Chunk, size: number): void {
    const { region, offset, after } = chunk;
    const rest: Chunk = { region, offset: offset + size, size: chunk.size - size, before: chunk, after };
    if (after) after.before = rest;
    chunk.after = rest;
    chunk.size = size;
    this.chunks.add(rest);
  }

  private join(chunk: Chunk, next: Chunk): void {
    this.chunks.delete(next);
    chunk.size += next.size;
    chunk.after = next.after;
    if (next.after) next.after.before = chunk;
  }
}

function comesBefore(one: Chunk, other: Chunk): boolean {
  return one.region < other.region || (one.region === other.region && one.offset < other.offset);
}
