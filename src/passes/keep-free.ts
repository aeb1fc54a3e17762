/** @file Keeps what a policy would compute again where that costs no memory: the peak lies elsewhere. */

import { bytesPerElement, concreteShape, elementCount, type Graph, type Node, type Value } from '../ir/index.js';
import { convolutionsOf, operandSize } from './convolutions.js';
import { type Pass, runPasses } from './pass.js';
import type { RematPolicy } from './policies.js';
import { madeTwice, rematerialize } from './rematerialize.js';

/** Bytes alive while each node of a lowered graph runs, in its order, for a batch size. */
export type LiveBytes = (graph: Graph, batchSize: number) => Float64Array;

/** Images a step for which bytes are counted: enough that what grows with the batch outweighs the rest. */
const nominalBatch = 64;

/** What is kept is not computed again, which leaves room for a few more; a third round finds hardly any. */
const rounds = 2;

/**
 * Rematerializes as the policy says, looks when how much would be alive, and keeps results of convolutions after all where
 * that stays below the peak: in DenseNet most of the last blocks, whose images are small. First come those that cost the
 * most to compute again for a byte that is kept, by the elements that they read, twice where the backward pass makes these
 * again.
 * @param lowering what the graph goes through before it shows all temporaries it will need
 * @param liveBytes how the runtime will use memory
 */
export function rematerializeBelowPeak(policy: RematPolicy, lowering: readonly Pass[], liveBytes: LiveBytes): Pass {
  return {
    name: 'rematerialize',
    run(graph) {
      const candidates = new Set(candidatesOf(graph.nodes, policy));
      const kept = new Set<Node>();
      const rematerialized = (): Graph => rematerialize((node) => policy(node) && !kept.has(node)).run(graph);
      let peak: number | undefined;
      for (let round = 0; round < rounds && candidates.size > 0; round++) {
        const planned = runPasses(rematerialized(), lowering);
        const live = liveBytes(planned, nominalBatch);
        peak ??= largest(live);
        for (const candidate of keptBelow(peak, candidates, planned.nodes, live)) {
          candidates.delete(candidate);
          kept.add(candidate.result);
        }
      }
      return rematerialized();
    },
  };
}

/** A convolution that a policy computes again. */
interface Candidate {
  /** The weight of its first part. */
  readonly weight: Value;
  /** What would be kept of it: its last part, or what is centered of that, which is all that the backward pass wants. */
  readonly result: Node;
  /** Bytes of the result. */
  readonly bytes: number;
  /** Elements a sample that computing it again reads. */
  readonly reads: number;
}

/** What might be kept, the most worth it first. */
function candidatesOf(nodes: readonly Node[], policy: RematPolicy): readonly Candidate[] {
  const centered = new Map<Value, Node>();
  for (const node of nodes) if (node.operator === 'center') centered.set(node.inputs[0] as Value, node);
  const twice = madeTwice(nodes);
  const candidates = convolutionsOf(nodes)
    .filter((parts) => parts.every((part) => part.origin.phase === 'forward' && policy(part)))
    .map((parts): Candidate => {
      const weight = (parts[0] as Node).inputs[1] as Value;
      const last = parts.at(-1) as Node;
      const result = centered.get(last.outputs[0] as Value) ?? last;
      const bytes = result.outputs.reduce((sum, value) => sum + bytesOf(value), 0);
      const reads = parts.reduce((sum, part) => sum + operandSize(part) * (twice.has(part) ? 2 : 1), 0);
      return { weight, result, bytes, reads };
    });
  // Of equals the later one is kept the shortest.
  return candidates.reverse().sort((a, b) => b.reads / b.bytes - a.reads / a.bytes);
}

/** The candidates that can be kept without raising the peak; counts them to what is alive. */
function keptBelow(
  peak: number,
  candidates: Iterable<Candidate>,
  nodes: readonly Node[],
  live: Float64Array,
): readonly Candidate[] {
  const spans = spansOf(nodes);
  return [...candidates].filter(({ weight, bytes }) => {
    const span = spans.get(weight);
    if (!span) return false;
    const [from, to] = span;
    if (largest(live.subarray(from, to)) + bytes > peak) return false;
    for (let position = from; position < to; position++) live[position] = (live[position] as number) + bytes;
    return true;
  });
}

function largest(numbers: Float64Array): number {
  return numbers.reduce((most, number) => Math.max(most, number), 0);
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
