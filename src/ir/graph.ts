/** @file Graphs in static single assignment form: values, nodes, and what goes in and comes out. */

import { InternalError } from './errors.js';
import type { OperatorAttributes, OperatorName } from './operators/index.js';
import { isStatic, type TensorType } from './shape.js';

/** A tensor that is computed once. Two values are the same only if they are the same object. */
export class Value {
  /** The node of which it was found to be of the type that the operator gives. */
  #checkedOf: Node | undefined;

  constructor(readonly type: TensorType) {}

  /** Whether the types of a node's outputs were found right, or made so. Nodes never change, so they stay so in every graph. */
  static areTyped(node: Node): boolean {
    return node.outputs.length > 0 && node.outputs.every((value) => value.#checkedOf === node);
  }

  /** Notes that the types of a node's outputs are right. */
  static markTyped(node: Node): void {
    for (const value of node.outputs) value.#checkedOf = node;
  }
}

/** Whether a value holds floats of which there are more the larger the batch is. */
export function growsWithBatch({ type }: Value): boolean {
  return type.dtype === 'float32' && !isStatic(type.shape);
}

/** The part of the training step a node belongs to. */
export type Phase = 'forward' | 'backward' | 'recompute' | 'update';

/** Where a node comes from. */
export interface Origin {
  /** The layer, by its parameters' prefix: `features.denseblock1.denselayer1.conv1`. */
  readonly scope: string;
  readonly phase: Phase;
  /**
   * The node from which this one was made, of the graph that this stage of compilation began with: in a lowered graph a node
   * of the differentiated graph, in that one a node of the traced graph. Passes hand it on. Undefined where a node was made
   * for no other in particular, as in the update.
   */
  readonly source?: Node | undefined;
}

/** One application of an operator. */
export interface NodeOf<K extends OperatorName> {
  readonly operator: K;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: OperatorAttributes[K];
  readonly origin: Origin;
}

/** A node of any operator; `switch` on `operator` to tell its attributes' type. */
export type Node = { [K in OperatorName]: NodeOf<K> }[OperatorName];

/** How a state tensor begins: a constant, a normal distribution around 0, or a uniform one over ±bound. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'uniform'; readonly bound: number };

/**
 * What an optimizer keeps of a parameter, in its shape: the averaged gradient as a direction, its averaged square, the
 * averaged gradient that the square is centered by, what the batches since the last update add up to, and its own average.
 */
export type SlotRole = 'momentum' | 'variance' | 'gradientMean' | 'accumulator' | 'ema';

/** What the caller of a graph passes in. */
export type GraphInput = { readonly name: string; readonly value: Value } & (
  | { readonly role: 'batch' | 'scalar' }
  /** State that each step replaces; a running average takes the share `momentum` of each new observation. */
  | { readonly role: 'counter'; readonly initializer: Initializer }
  /** A frozen parameter stays as it is. */
  | { readonly role: 'parameter'; readonly initializer: Initializer; readonly frozen?: true }
  | { readonly role: 'running'; readonly initializer: Initializer; readonly momentum: number }
  /** `parameter` may be a running statistic, where the role is `ema`. */
  | { readonly role: SlotRole; readonly initializer: Initializer; readonly parameter: string }
  /** The sum of the weights behind averages that begin at 0, which they are divided by. */
  | { readonly role: 'correction'; readonly initializer: Initializer }
);

/** What a graph gives back. */
export type GraphOutput = { readonly name: string; readonly value: Value } & (
  | { readonly role: 'result' }
  /** The loss gradient, a batch's observation or the next value of the state input named `of`. */
  | { readonly role: 'gradient' | 'observation' | 'next'; readonly of: string }
);

/** A program: nodes in topological order between named inputs and outputs. Never changed in place. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly GraphInput[];
  readonly nodes: readonly Node[];
  readonly outputs: readonly GraphOutput[];
}

/** The input of a graph by name. @throws InternalError when there is none */
export function findInput(graph: Graph, name: string): GraphInput {
  const input = graph.inputs.find((candidate) => candidate.name === name);
  if (!input) throw new InternalError(`the graph ${graph.name} has no input ${name}`);
  return input;
}

/** The output of a graph by name. @throws InternalError when there is none */
export function findOutput(graph: Graph, name: string): GraphOutput {
  const output = graph.outputs.find((candidate) => candidate.name === name);
  if (!output) throw new InternalError(`the graph ${graph.name} has no output ${name}`);
  return output;
}

/** The graph with each node as the source of what later passes make of it. */
export function asSources(graph: Graph): Graph {
  return { ...graph, nodes: graph.nodes.map((node) => ({ ...node, origin: { ...node.origin, source: node } })) };
}
