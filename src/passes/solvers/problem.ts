/** @file What a solver of rematerialization is asked: which forward nodes the backward pass should compute again. */

import {
  bytesPerElement,
  concreteShape,
  elementCount,
  type Graph,
  growsWithBatch,
  type Node,
  RequestError,
  traitsOf,
  type Value,
} from '../../ir/index.js';
import { nodeMicroseconds, type Target } from '../../targets/index.js';

/** A node of the forward pass that the backward pass may compute again instead of finding its results kept. */
export interface RematNode {
  readonly node: Node;
  /** The nodes of the backward pass that read its results, in order. */
  readonly uses: readonly Node[];
  /** Bytes of its results at the problem's batch size. */
  readonly bytes: number;
  /** What computing it again costs, its operands given: an estimate by the target's table. */
  readonly microseconds: number;
}

/** What memory a choice will take. */
export interface Prediction {
  /** The lowered graph that comes of it; the `source` of a node's origin is the node of the problem that it was made of. */
  readonly graph: Graph;
  /** Bytes alive while each node of that graph runs, at a batch size; 0 at constants. */
  liveBytes(batchSize: number): Float64Array;
}

/** The choice that a solver makes. */
export interface RematProblem {
  /** Forward pass, then backward pass. */
  readonly graph: Graph;
  /** What may be computed again, by node, in the graph's order. */
  readonly candidates: ReadonlyMap<Node, RematNode>;
  /** Images a step at which bytes and microseconds are counted: so many that what grows with them outweighs the rest. */
  readonly batchSize: number;
  /** What memory it takes to compute these nodes again. It lowers the graph anew, which takes a while. */
  predict(again: ReadonlySet<Node>): Prediction;
}

/** Chooses the nodes to compute again, from the problem's candidates. */
export type RematSolver = (problem: RematProblem) => ReadonlySet<Node>;

const nominalBatch = 64;

/**
 * The problem of a differentiated graph. Random numbers and what has no symbolic extent, statistics of batch norm above all,
 * are no candidates: they are kept in any case.
 */
export function rematProblem(graph: Graph, target: Target, predict: RematProblem['predict']): RematProblem {
  const candidates = new Map<Node, RematNode>();
  const uses = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    if (node.origin.phase === 'forward') continue;
    for (const value of new Set(node.inputs)) uses.set(value, [...(uses.get(value) ?? []), node]);
  }
  for (const node of graph.nodes) {
    if (!isCandidate(node)) continue;
    candidates.set(node, {
      node,
      uses: [...new Set(node.outputs.flatMap((value) => uses.get(value) ?? []))],
      bytes: node.outputs.reduce((sum, value) => sum + bytesOf(value), 0),
      microseconds: nodeMicroseconds(node, target, nominalBatch),
    });
  }
  return { graph, candidates, batchSize: nominalBatch, predict };
}

/**
 * The choice of a solver.
 * @throws RequestError when it names a node that can't be computed again
 */
export function solve(problem: RematProblem, solver: RematSolver): ReadonlySet<Node> {
  const again = solver(problem);
  for (const node of again) {
    if (problem.candidates.has(node)) continue;
    throw new RequestError(
      `the solver chose ${node.operator} of ${node.origin.scope || 'no layer'}, which can't be computed again; choose among the problem's candidates`,
    );
  }
  return again;
}

function isCandidate(node: Node): boolean {
  const { operator, origin, outputs } = node;
  const { random, collective } = traitsOf(operator);
  if (origin.phase !== 'forward' || random || collective) return false;
  // A group stands in for its operands: it is what is kept.
  if (node.operator === 'concat' && node.attributes.as === 'group') return false;
  return outputs.every(growsWithBatch);
}

function bytesOf({ type }: Value): number {
  return elementCount(concreteShape(type.shape, nominalBatch)) * bytesPerElement[type.dtype];
}
