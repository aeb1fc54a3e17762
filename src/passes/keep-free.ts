/** @file Keeps what a policy would compute again where that costs no memory: the peak lies elsewhere. */

import { bytesPerElement, concreteShape, elementCount, type Graph, type Node, type Value } from '../ir/index.js';
import { type Pass, runPasses } from './pass.js';
import type { RematPolicy } from './policies.js';
import { rematerialize } from './rematerialize.js';

/** Bytes alive while each node of a lowered graph runs, in its order, for a batch size. */
export type LiveBytes = (graph: Graph, batchSize: number) => Float64Array;

/** Images a step for which bytes are counted: enough that what grows with the batch outweighs the rest. */
const nominalBatch = 64;

/**
 * Rematerializes as the policy says, looks when how much would be alive, and keeps results of convolutions after all where
 * that stays below the peak: in DenseNet those of the last blocks, whose images are small. Later layers come first, since
 * they are kept the shortest and, having more channels, cost the most to compute again.
 * @param lowering what the graph goes through before it shows all temporaries it will need
 * @param liveBytes how the runtime will use memory
 */
export function rematerializeBelowPeak(policy: RematPolicy, lowering: readonly Pass[], liveBytes: LiveBytes): Pass {
  return {
    name: 'rematerialize',
    run(graph) {
      const all = rematerialize(policy).run(graph);
      const units = unitsOf(graph.nodes, policy);
      if (units.length === 0) return all;
      const planned = runPasses(all, lowering);
      const kept = freeToKeep(units, planned.nodes, liveBytes(planned, nominalBatch));
      return kept.size === 0 ? all : rematerialize((node) => policy(node) && !kept.has(node)).run(graph);
    },
  };
}

/** A convolution, maybe of several parts, and what would be kept of it. */
interface Unit {
  readonly weight: Value;
  readonly kept: Node;
}

/** Convolutions that a policy computes again, in the order of the forward pass. */
function unitsOf(nodes: readonly Node[], policy: RematPolicy): readonly Unit[] {
  const units: Unit[] = [];
  /** The weight of a convolution's first part, by the sum so far. */
  const first = new Map<Value, Value>();
  const last = new Map<Value, Node>();
  for (const node of nodes) {
    if (node.origin.phase !== 'forward' || !policy(node)) continue;
    const [x, weight] = node.inputs as readonly [Value, Value];
    const [output] = node.outputs as readonly [Value];
    if (node.operator === 'conv2d') first.set(output, weight);
    else if (node.operator === 'conv2dAdd' && first.has(x)) {
      first.set(output, first.get(x) as Value);
      first.delete(x);
      last.delete(x);
    } else if (node.operator === 'center' && last.has(x)) {
      // What is centered is all that the backward pass wants of it.
      last.set(x, node);
      continue;
    } else continue;
    last.set(output, node);
  }
  for (const [output, kept] of last) {
    const weight = first.get(output);
    if (weight) units.push({ weight, kept });
  }
  return units;
}

/** What can be kept of recomputed convolutions without raising the peak; counts what is kept to what is alive. */
function freeToKeep(units: readonly Unit[], nodes: readonly Node[], live: Float64Array): ReadonlySet<Node> {
  const peak = live.reduce((most, bytes) => Math.max(most, bytes), 0);
  const spans = spansOf(nodes);
  const kept = new Set<Node>();
  for (const { weight, kept: node } of [...units].reverse()) {
    const span = spans.get(weight);
    if (!span) continue;
    const [from, to] = span;
    const bytes = node.outputs.reduce((sum, value) => sum + bytesOf(value), 0);
    const most = live.subarray(from, to).reduce((sum, other) => Math.max(sum, other), 0);
    if (most + bytes > peak) continue;
    for (let position = from; position < to; position++) live[position] = (live[position] as number) + bytes;
    kept.add(node);
  }
  return kept;
}

/** From where a convolution first runs to where it runs again, by its weight. */
function spansOf(nodes: readonly Node[]): ReadonlyMap<Value, readonly [from: number, to: number]> {
  const made = new Map<Value, number>();
  const spans = new Map<Value, readonly [number, number]>();
  for (const [position, { operator, inputs, origin }] of nodes.entries()) {
    if (operator !== 'conv2d' && operator !== 'fusedConv2d') continue;
    const weight = inputs[1] as Value;
    const from = made.get(weight);
    if (origin.phase === 'forward') made.set(weight, position);
    else if (origin.phase === 'recompute' && from !== undefined) spans.set(weight, [from, position]);
  }
  return spans;
}

function bytesOf({ type }: Value): number {
  return elementCount(concreteShape(type.shape, nominalBatch)) * bytesPerElement[type.dtype];
}
