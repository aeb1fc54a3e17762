/** @file Keeps what a choice would compute again where that costs no memory, since the peak lies elsewhere. */

import { type Node, traitsOf, type Value } from '../../ir/index.js';
import { convolutionsOf, operandSize } from '../convolutions.js';
import { madeTwice } from '../rematerialize.js';
import type { RematProblem, Shipment } from './problem.js';

/** What is kept is not computed again, which leaves room for a few more; a third round finds hardly any. */
const rounds = 2;

/**
 * Keeps results of convolutions after all where live bytes stay below the peak: in DenseNet most of the last blocks, whose
 * images are small. First come those that cost the most to compute again for a byte that is kept, by the elements that they
 * read, twice where the backward pass makes these again.
 * @param again what would be computed again
 * @returns `again` without what is kept
 */
export function keepBelowPeak(problem: RematProblem, again: ReadonlySet<Node>): ReadonlySet<Node> {
  const convolutions = new Set(recomputedConvolutions(problem, again));
  const left = new Set(again);
  let peak: number | undefined;
  for (let round = 0; round < rounds && convolutions.size > 0; round++) {
    const shipment = problem.ship(left);
    const live = Float64Array.from(shipment.liveBytes(problem.batchSize));
    peak ??= largest(live);
    for (const convolution of keptBelow(peak, convolutions, shipment, live)) {
      convolutions.delete(convolution);
      left.delete(convolution.result);
    }
  }
  return left;
}

/** A convolution that is computed again. */
interface Recomputed {
  /** Its first part. */
  readonly first: Node;
  /** What would be kept of it: its last part, or what the backward pass reads in that one's stead. */
  readonly result: Node;
  /** Bytes of the result. */
  readonly bytes: number;
  /** Elements a sample that computing it again reads. */
  readonly reads: number;
}

/** What might be kept, the most worth it first. */
function recomputedConvolutions(
  { graph, candidates, layout }: RematProblem,
  again: ReadonlySet<Node>,
): readonly Recomputed[] {
  const replacing = new Map<Value, Node>();
  for (const node of candidates.keys()) {
    if (traitsOf(node.operator).replacesOperand) replacing.set(node.inputs[0] as Value, node);
  }
  const twice = madeTwice(graph.nodes, layout.holdShare);
  const found = convolutionsOf(graph.nodes)
    .filter((parts) => parts.every((part) => again.has(part)))
    .map((parts): Recomputed => {
      const last = parts.at(-1) as Node;
      const result = replacing.get(last.outputs[0] as Value) ?? last;
      const reads = parts.reduce((sum, part) => sum + operandSize(part) * (twice.has(part) ? 2 : 1), 0);
      return { first: parts[0] as Node, result, bytes: candidates.get(result)?.bytes ?? 0, reads };
    });
  // Of equals the later one is kept the shortest.
  return found.reverse().sort((a, b) => b.reads / b.bytes - a.reads / a.bytes);
}

/** The convolutions that can be kept without raising the peak; counts them to what is alive. */
function keptBelow(
  peak: number,
  convolutions: Iterable<Recomputed>,
  shipment: Shipment,
  live: Float64Array,
): readonly Recomputed[] {
  const spans = spansOf(shipment);
  return [...convolutions].filter(({ first, bytes }) => {
    const span = spans.get(first);
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

/** From where a node of the problem runs last in the forward pass to where it begins to run again, by node. */
function spansOf({ nodes }: Shipment): ReadonlyMap<Node, readonly [from: number, to: number]> {
  const made = new Map<Node, number>();
  const spans = new Map<Node, readonly [number, number]>();
  for (const [position, { origin }] of nodes.entries()) {
    const { source, phase } = origin;
    if (!source) continue;
    if (phase === 'forward') made.set(source, position);
    const from = made.get(source);
    if (phase === 'recompute' && from !== undefined) spans.set(source, [from, position]);
  }
  return spans;
}
