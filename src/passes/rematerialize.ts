/** @file Rematerialization: the backward pass computes again what a policy doesn't keep. */

import {
  batch,
  type Graph,
  GraphBuilder,
  InternalError,
  type Node,
  type NodeOf,
  type OperatorName,
  traitsOf,
  type Value,
} from '../ir/index.js';
import type { Pass } from './pass.js';
import type { RematPolicy } from './policies.js';

/**
 * Gives the backward pass copies of the forward nodes that the policy names, in the phase `recompute`, made when they
 * are first wanted. Every copy waits for a value of the backward pass (`after`), since otherwise the runtime would run
 * it early or merge it with the original. Statistics of batch norm and random numbers are kept, whatever the policy.
 */
export function rematerialize(policy: RematPolicy): Pass {
  return { name: 'rematerialize', run: (graph) => new Rematerializer(graph, policy).run() };
}

class Rematerializer {
  private readonly builder: GraphBuilder;
  private readonly forward = new Map<Value, Node>();
  private readonly backward = new Set<Value>();
  private readonly copies = new Map<Value, Value>();
  /** The latest value of the backward pass that has a batch axis: what copies wait for where nothing closer is. */
  private signal: Value | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly policy: RematPolicy,
  ) {
    this.builder = new GraphBuilder(graph.name, graph.inputs);
  }

  run(): Graph {
    for (const node of this.graph.nodes) {
      if (node.origin.phase === 'forward') {
        if (this.isRecomputed(node)) for (const value of node.outputs) this.forward.set(value, node);
        this.builder.append(node);
        continue;
      }
      const inputs = this.recomputedInputs(node);
      this.builder.append({ ...node, inputs } as Node);
      if (node.origin.phase !== 'backward') continue;
      for (const value of node.outputs) this.backward.add(value);
      this.signal = node.outputs.find(hasBatch) ?? this.signal;
    }
    return this.builder.finish(this.graph.outputs);
  }

  private isRecomputed(node: Node): boolean {
    const { operator } = node;
    if (traitsOf(operator).random || operator === 'batchStatistics' || operator === 'constant') return false;
    return this.policy(node);
  }

  private recomputedInputs(node: Node): readonly Value[] {
    if (!node.inputs.some((value) => this.forward.has(value))) return node.inputs;
    const own = node.inputs.find((value) => !this.forward.has(value) && hasBatch(value) && this.backward.has(value));
    const signal = own ?? this.signal;
    // Before any gradient flows (the loss's own backward pass) there is nothing to gain.
    if (!signal) return node.inputs;
    return node.inputs.map((value) => this.recomputed(value, signal));
  }

  /** The copy of a value that the policy doesn't keep; any other value as it is. */
  private recomputed(value: Value, signal: Value): Value {
    const node = this.forward.get(value);
    if (!node) return value;
    const known = this.copies.get(value);
    if (known) return known;
    const inputs = node.inputs.map((input) => this.recomputed(input, signal));
    this.builder.origin = { scope: node.origin.scope, phase: 'recompute' };
    const waits = inputs.some((input, index) => input !== node.inputs[index]);
    const operands = waits ? inputs : waitFor(this.builder, inputs, signal);
    const copies = this.builder.emitAll(node.operator, operands, (node as NodeOf<OperatorName>).attributes);
    for (const [index, output] of node.outputs.entries()) this.copies.set(output, copies[index] as Value);
    const copy = this.copies.get(value);
    if (!copy) throw new InternalError(`${node.operator} doesn't compute what it should again`);
    return copy;
  }
}

/**
 * Lets an operand wait for a signal, and with it the node: the first with a batch axis, so that pinning can give the
 * copies' batch axis a name of their own.
 */
function waitFor(builder: GraphBuilder, inputs: readonly Value[], signal: Value): readonly Value[] {
  const chosen = Math.max(0, inputs.findIndex(hasBatch));
  return inputs.map((input, index) => (index === chosen ? builder.emit('after', [input, signal], {}) : input));
}

function hasBatch({ type }: Pick<Value, 'type'>): boolean {
  return type.dtype === 'float32' && type.shape[0] === batch;
}
