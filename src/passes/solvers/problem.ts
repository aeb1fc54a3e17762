/** @file What a solver of rematerialization is asked: which forward nodes the backward pass should compute again. */

import {
  bytesOfType,
  type Graph,
  growsWithBatch,
  type Node,
  RequestError,
  traitsOf,
  type Value,
} from '../../ir/index.js';
import { resultOutputs } from '../../step/interface.js';
import { nodeMicroseconds, type Target } from '../../targets/index.js';
import type { Layout } from '../layout.js';
import type { Certificate } from './certificate.js';

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

/** The step as it ships. */
export interface Shipment {
  /**
   * The lowered nodes in the order in which the runtime executes them; the `source` of a node's origin is the node of the
   * problem that it was made of.
   */
  readonly nodes: readonly Node[];
  /** Bytes alive while each of them runs, at a batch size. */
  liveBytes(batchSize: number): ArrayLike<number>;
}

/** The choice that a solver makes. */
export interface RematProblem {
  /** Forward pass, then backward pass. */
  readonly graph: Graph;
  /** What may be computed again, by node, in the graph's order. */
  readonly candidates: ReadonlyMap<Node, RematNode>;
  /** Images a step at which bytes and microseconds are counted: so many that what grows with them outweighs the rest. */
  readonly batchSize: number;
  /** Where the step will run; its table tells what nodes cost. */
  readonly target: Target;
  /** How the graph is laid out. */
  readonly layout: Layout;
  /** The same network laid out otherwise. */
  inLayout(layout: Layout): RematProblem;
  /** What ships if these nodes are computed again. It compiles the step anew, which takes a while. */
  ship(again: ReadonlySet<Node>): Shipment;
}

/** What a solver chose that has seen what ships: it is taken as it is. */
export interface RematChoice {
  /** The problem as it was given, or in another layout. */
  readonly problem: RematProblem;
  readonly again: ReadonlySet<Node>;
  /** For a choice within a budget, what was proven of it. */
  readonly certificate?: Certificate | undefined;
}

/**
 * Chooses the nodes to compute again, from the problem's candidates. A set of them is held against keeping everything, which
 * replaces it where it takes less memory.
 */
export type RematSolver = (problem: RematProblem) => ReadonlySet<Node> | RematChoice;

const nominalBatch = 64;

/**
 * The problem of a differentiated graph. Random numbers and what has no symbolic extent, statistics of batch norm above all,
 * are no candidates: they are kept in any case. So is what the loss makes of the logits: the backward pass begins with it.
 */
export function rematProblem(
  graph: Graph,
  target: Target,
  more: Pick<RematProblem, 'layout' | 'inLayout' | 'ship'> & { readonly batchSize?: number | undefined },
): RematProblem {
  const { batchSize = nominalBatch } = more;
  const candidates = new Map<Node, RematNode>();
  const uses = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    if (node.origin.phase === 'forward') continue;
    for (const value of new Set(node.inputs)) uses.set(value, [...(uses.get(value) ?? []), node]);
  }
  const ofLoss = madeOfLogits(graph);
  for (const node of graph.nodes) {
    if (ofLoss.has(node) || !isCandidate(node)) continue;
    candidates.set(node, {
      node,
      uses: [...new Set(node.outputs.flatMap((value) => uses.get(value) ?? []))],
      bytes: node.outputs.reduce((sum, { type }) => sum + bytesOfType(type, batchSize), 0),
      microseconds: nodeMicroseconds(node, target, batchSize),
    });
  }
  return { ...more, graph, candidates, batchSize, target };
}

/**
 * The choice of a solver.
 * @throws RequestError when it names a node that can't be computed again
 */
export function solve(given: RematProblem, solver: RematSolver): RematChoice & { readonly isFinal: boolean } {
  const chosen = solver(given);
  const isFinal = !(chosen instanceof Set);
  const choice = isFinal ? (chosen as RematChoice) : { problem: given, again: chosen };
  if (!(choice?.again instanceof Set))
    throw new RequestError('the solver returned no set of nodes; return a Set of candidates');
  for (const node of choice.again) {
    if (choice.problem.candidates.has(node)) continue;
    throw new RequestError(
      `the solver chose ${node.operator} of ${node.origin.scope || 'no layer'}, which can't be computed again; choose among the problem's candidates`,
    );
  }
  return { ...choice, isFinal };
}

/** The nodes that depend on the logits, where a graph has any. */
function madeOfLogits({ nodes, outputs }: Graph): ReadonlySet<Node> {
  const reached = new Set(outputs.flatMap(({ name, value }) => (name === resultOutputs.logits ? [value] : [])));
  const found = new Set<Node>();
  for (const node of nodes) {
    if (!node.inputs.some((value) => reached.has(value))) continue;
    found.add(node);
    for (const value of node.outputs) reached.add(value);
  }
  return found;
}

function isCandidate(node: Node): boolean {
  const { operator, origin, outputs } = node;
  const { random, collective } = traitsOf(operator);
  if (origin.phase !== 'forward' || random || collective) return false;
  // A group stands in for its operands: it is what is kept.
  if (node.operator === 'concat' && node.attributes.as === 'group') return false;
  return outputs.every(growsWithBatch);
}
