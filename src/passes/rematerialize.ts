/** @file Rematerialization: the backward pass computes again what a policy doesn't keep. */

import {
  type Graph,
  GraphBuilder,
  growsWithBatch,
  InternalError,
  type Node,
  type NodeOf,
  type OperatorName,
  type Value,
} from '../ir/index.js';
import { convolutionsOf, operandSize } from './convolutions.js';
import { usualLayout } from './layout.js';
import type { Pass } from './pass.js';

/**
 * Gives the backward pass copies of forward nodes, in the phase `recompute`, made when they are first wanted. Every copy
 * waits for a value of the backward pass (`after`), since otherwise the runtime would run it early or merge it with the
 * original. Here a stage of compilation begins: each node's source becomes the node of the given graph that it was.
 *
 * Where features have been grouped, the group is kept and its operands are not: whoever wants one later takes it from
 * the group, by then no longer needed as a whole.
 *
 * ```
 * %y = relu(%x)                   %y = relu(%x)
 * …                               …
 * %dz = …            # backward   %dz = …              # backward
 * %dw = …(%dz, %y)   # backward   %w = after(%x, %dz)  # recompute
 *                                 %r = relu(%w)        # recompute
 *                                 %dw = …(%dz, %r)     # backward
 * ```
 * @param again forward nodes to compute again, of the candidates that `rematProblem` finds
 * @param holdShare as `madeTwice` takes it
 */
export function rematerialize(again: ReadonlySet<Node>, holdShare = usualLayout.holdShare): Pass {
  return { name: 'rematerialize', run: (graph) => new Rematerializer(graph, again, holdShare).run() };
}

/** Copies by the value they stand for. */
type Copies = Map<Value, Value>;

class Rematerializer {
  private readonly builder: GraphBuilder;
  private readonly forward = new Map<Value, Node>();
  /** The group that holds a value. */
  private readonly groups = new Map<Value, NodeOf<'concat'>>();
  private readonly backward = new Set<Value>();
  private readonly copies: Copies = new Map();
  /** Convolutions of which the operands are not held until they are wanted themselves. */
  private readonly twice: ReadonlySet<Node>;
  /** What each copy waits for. */
  private readonly madeFor = new Map<Value, Value>();
  /** The latest value of the backward pass that has a batch axis: what copies wait for where nothing closer is. */
  private signal: Value | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly again: ReadonlySet<Node>,
    holdShare: number,
  ) {
    this.builder = new GraphBuilder(graph.name, graph.inputs);
    this.twice = madeTwice(graph.nodes, holdShare);
  }

  run(): Graph {
    for (const node of this.graph.nodes) {
      if (node.origin.phase === 'forward') {
        this.addForward(node);
        continue;
      }
      const inputs = this.recomputedInputs(node);
      this.builder.append({ ...asSource(node), inputs } as Node);
      if (node.origin.phase !== 'backward') continue;
      for (const value of node.outputs) this.backward.add(value);
      this.signal = node.outputs.find(growsWithBatch) ?? this.signal;
    }
    return this.builder.finish(this.graph.outputs);
  }

  private addForward(node: Node): void {
    this.builder.append(asSource(node));
    if (isGroup(node)) for (const value of node.inputs) this.groups.set(value, node);
    else if (this.again.has(node)) for (const value of node.outputs) this.forward.set(value, node);
  }

  private recomputedInputs(node: Node): readonly Value[] {
    if (!node.inputs.some((value) => this.forward.has(value) || this.groups.has(value))) return node.inputs;
    const own = node.inputs.find((value) => growsWithBatch(value) && this.backward.has(value));
    const signal = own ?? this.signal;
    // Before any gradient flows (the loss's own backward pass) there is nothing to gain.
    if (!signal) return node.inputs;
    return node.inputs.map((value) => this.recomputed(value, signal, this.copies));
  }

  /** What the backward pass reads for a value: a copy, a share of its group, or the value itself. */
  private recomputed(value: Value, signal: Value, copies: Copies): Value {
    const known = copies.get(value) ?? this.copies.get(value);
    if (known) return known;
    const group = this.groups.get(value);
    if (group) return this.fromGroup(value, group, signal);
    const node = this.forward.get(value);
    return node ? this.copyOf(node, value, signal, copies) : value;
  }

  private copyOf(node: Node, value: Value, signal: Value, copies: Copies): Value {
    // Between this and the turn of the operands lies the backward pass of what the convolution is recomputed for.
    const own = this.twice.has(node) ? new Map(copies) : copies;
    const inputs = node.inputs.map((input) => this.recomputed(input, signal, own));
    this.builder.origin = { ...node.origin, phase: 'recompute', source: node };
    // A copy that was made for something earlier holds nothing back, and an equal node might be merged with this one.
    const waits = inputs.some((input) => this.madeFor.get(input) === signal);
    const operands = waits ? inputs : waitFor(this.builder, inputs, signal);
    const outputs = this.builder.emitAll(node.operator, operands, (node as NodeOf<OperatorName>).attributes);
    for (const [index, output] of node.outputs.entries())
      copies.set(output, this.noted(outputs[index] as Value, signal));
    return copied(copies, value, node);
  }

  /** Takes all operands from a group at once: it is wanted as a whole by none who come later. */
  private fromGroup(value: Value, group: NodeOf<'concat'>, signal: Value): Value {
    this.builder.origin = { ...group.origin, phase: 'recompute', source: group };
    const sizes = group.inputs.map(({ type }) => type.shape[1] as number);
    const waiting = this.builder.emit('after', [group.outputs[0] as Value, signal], {});
    const shares = this.builder.emitAll('split', [waiting], { axis: 1, sizes });
    for (const [index, member] of group.inputs.entries()) {
      this.copies.set(member, this.noted(shares[index] as Value, signal));
    }
    return copied(this.copies, value, group);
  }

  private noted(copy: Value, signal: Value): Value {
    this.madeFor.set(copy, signal);
    return copy;
  }
}

/**
 * Parts of convolutions whose operands are not held for the backward pass of the convolution when it is computed again. The
 * backward pass of a block's last layer holds the block's C channels of features and as many of gradients; that of a layer
 * with c channels holds c of both, which leaves room for 2·(C − c). A share of that goes to the layer's operands, the last
 * parts first: these are concatenations, which would be made again too.
 * @param holdShare of the room that a layer leaves, what its operands may take; the rest is for what else is alive there
 */
export function madeTwice(nodes: readonly Node[], holdShare: number): ReadonlySet<Node> {
  const convolutions = convolutionsOf(nodes);
  const sizes = convolutions.map((parts) => parts.reduce((sum, part) => sum + operandSize(part), 0));
  const largest = Math.max(0, ...sizes);
  const twice = new Set<Node>();
  for (const [index, parts] of convolutions.entries()) {
    let room = holdShare * 2 * (largest - (sizes[index] as number));
    for (const part of [...parts].reverse()) {
      const size = operandSize(part);
      if (size <= room) room -= size;
      else twice.add(part);
    }
  }
  return twice;
}

function copied(copies: Copies, value: Value, { operator }: Node): Value {
  const copy = copies.get(value);
  if (!copy) throw new InternalError(`${operator} doesn't compute what it should again`);
  return copy;
}

/** Whether a node joins features that take its place in memory. */
export function isGroup(node: Node): node is NodeOf<'concat'> {
  return node.operator === 'concat' && node.attributes.as === 'group';
}

/**
 * Lets an operand wait for a signal, and with it the node: the first with a batch axis, so that pinning can give the
 * copies' batch axis a name of their own.
 */
function waitFor(builder: GraphBuilder, inputs: readonly Value[], signal: Value): readonly Value[] {
  const chosen = Math.max(0, inputs.findIndex(growsWithBatch));
  return inputs.map((input, index) => (index === chosen ? builder.emit('after', [input, signal], {}) : input));
}

/** A node with itself as the source of what later passes make of it. */
function asSource(node: Node): Node {
  return { ...node, origin: { ...node.origin, source: node } };
}
