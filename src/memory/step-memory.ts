/** @file What a step's memory is for: each buffer with its layer and what it is, each node with its phase and modelled time. */

import { aCount, checkValue, type Graph, type Node, type Phase, type Value } from '../ir/index.js';
import { nodeMicroseconds, type Target } from '../targets/index.js';
import type { Schedule, ScheduledNode } from './schedule.js';

/**
 * What a buffer is. `state`: what comes in and goes out, so parameters, what the optimizer keeps, running statistics, the
 * batch and results. `kept`: made by the forward pass, read by the backward pass. `recomputed`: made by the forward
 * pass's nodes that run again. `gradients`: made by the backward pass. `workspace`: read by the pass that made it alone:
 * of the forward pass what no gradient needs, of the others what the nodes that one operator became hand to each other.
 */
export type MemoryKind = 'state' | 'kept' | 'recomputed' | 'gradients' | 'workspace';

/** The kinds as they are stacked: what changes least at the bottom. */
export const memoryKinds: readonly MemoryKind[] = ['state', 'kept', 'recomputed', 'gradients', 'workspace'];

/** A node of a step, in the order in which the runtime executes it. */
export interface StepNode {
  /** Its first output's name. */
  readonly name: string;
  /** The layer, by its parameters' prefix: its own, or where it has none the one that its operands come from. */
  readonly layer: string;
  readonly phase: Phase;
  /** What it takes by the target's table of costs. */
  readonly microseconds: number;
}

/** A buffer of a step. */
export interface StepBuffer {
  /** Name of the value that is first in it. */
  readonly name: string;
  /** The layer of the node that made it; empty for what comes from outside. */
  readonly layer: string;
  readonly kind: MemoryKind;
  readonly bytes: number;
  /** Positions of the first and the last node that it is alive at. */
  readonly from: number;
  readonly to: number;
}

/** The memory of a step over its course. */
export interface StepMemory {
  readonly batchSize: number;
  readonly nodes: readonly StepNode[];
  /** In the order of their births. */
  readonly buffers: readonly StepBuffer[];
  /** Live bytes while each node runs: those of the buffers that are alive there. */
  readonly timeline: readonly number[];
  readonly peakBytes: number;
  /** Position of the node that runs at the peak. */
  readonly peakAt: number;
}

/**
 * The memory of a schedule for a batch size, told apart by what it is for.
 * @throws RequestError when the batch size is none
 */
export function stepMemory(scheduled: Schedule, target: Target, batchSize: number): StepMemory {
  checkValue('the batch size', batchSize, aCount(1));
  const { graph, order, names } = scheduled;
  const { timeline, peakBytes, peakAt, ranges } = scheduled.liveness(batchSize);
  const kindOf = kindsOf(graph, order);
  const layers = layersOf(order);
  const nameOf = (value: Value | undefined): string => (value && names.get(value)) ?? '';
  return {
    batchSize,
    nodes: order.map(({ node, outputs: [first] }) => ({
      name: nameOf(first),
      layer: (first && layers.get(first)) ?? node.origin.scope,
      phase: node.origin.phase,
      microseconds: nodeMicroseconds(node, target, batchSize),
    })),
    buffers: ranges.map(({ value, bytes, from, to }) => ({
      name: nameOf(value),
      layer: layers.get(value) ?? '',
      kind: kindOf(value),
      bytes,
      from,
      to: Math.min(to, order.length - 1),
    })),
    ...{ timeline, peakBytes, peakAt },
  };
}

/** What is alive while a node runs, largest first. */
export function aliveAt({ buffers }: StepMemory, position: number): readonly StepBuffer[] {
  return buffers.filter(({ from, to }) => from <= position && position <= to).sort((a, b) => b.bytes - a.bytes);
}

/** The layers of computed values. A node between layers, as a ReLU, counts to the one before it. */
function layersOf(order: readonly ScheduledNode[]): ReadonlyMap<Value, string> {
  const layers = new Map<Value, string>();
  for (const { node, inputs, outputs } of order) {
    const before = inputs.map((value) => value && layers.get(value)).find(Boolean);
    for (const value of outputs) layers.set(value, node.origin.scope || before || '');
  }
  return layers;
}

/** What the buffer is that a value is first in, views of it included. */
function kindsOf(graph: Graph, order: readonly ScheduledNode[]): (value: Value) => MemoryKind {
  const makers = new Map<Value, Node>();
  const readers = new Map<Value, Node[]>();
  const viewed = new Map<Value, Value>();
  const bufferOf = (value: Value): Value => viewed.get(value) ?? value;
  for (const { node, inputs, outputs, effect } of order) {
    const [source] = inputs;
    for (const value of outputs) {
      if (source !== undefined && effect.view) viewed.set(value, bufferOf(source));
      else makers.set(value, node);
    }
    for (const value of inputs) {
      if (value === undefined) continue;
      const known = readers.get(bufferOf(value));
      if (known) known.push(node);
      else readers.set(bufferOf(value), [node]);
    }
  }
  const outside = new Set([...graph.inputs, ...graph.outputs].map(({ value }) => bufferOf(value)));
  return (value) => {
    const maker = makers.get(value);
    if (!maker || outside.has(value)) return 'state';
    return kindOf(maker, readers.get(value) ?? []);
  };
}

function kindOf({ origin: { phase, source } }: Node, readers: readonly Node[]): MemoryKind {
  if (phase === 'forward') return readers.some(isBackward) ? 'kept' : 'workspace';
  if (phase === 'update') return 'workspace';
  // What leaves the operator that its maker was lowered from is that operator's result.
  const isInner = source !== undefined && readers.every(({ origin }) => origin.source === source);
  if (isInner) return 'workspace';
  return phase === 'recompute' ? 'recomputed' : 'gradients';
}

/** Whether a node belongs to the backward pass; running statistics are updated before it. */
function isBackward({ origin: { phase } }: Node): boolean {
  return phase === 'backward' || phase === 'recompute';
}
