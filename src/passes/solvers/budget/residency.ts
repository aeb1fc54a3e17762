/**
 * @file What is resident when: of each choice, which forward values are held for the backward pass, which copies are made
 * and until when both are wanted. It follows `rematerialize` step by step without building the graph.
 */

import {
  bytesOfType,
  type Graph,
  growsWithBatch,
  InternalError,
  type Node,
  traitsOf,
  type Value,
} from '../../../ir/index.js';
import { isGroup, madeTwice } from '../../rematerialize.js';

/**
 * Moments of a step. The nodes of the backward pass are numbered from 1 on; at `t` runs the t-th, just before it, at
 * `t - 0.5`, what it wants is computed again.
 */
type Moment = number;

/** Memory that a choice occupies from forward to backward pass, or within the latter. */
export interface Resident {
  readonly value: Value;
  readonly bytes: number;
  /** 0 for what the forward pass leaves, else the step for which it is computed again. */
  readonly from: Moment;
  /** The last step that reads it, or the moment before one that computes something from it. */
  to: Moment;
}

/** A node that is computed again, and for which step. */
export interface Copy {
  readonly node: Node;
  readonly step: number;
  /** The convolution whose copy alone reads it, where it is not held until it is wanted otherwise. */
  readonly within?: Node | undefined;
}

/** What comes of a choice. */
export interface Residents {
  readonly kept: readonly Resident[];
  readonly copied: readonly Resident[];
  readonly copies: readonly Copy[];
}

/** How a differentiated graph uses the values of its forward pass. */
export class Residency {
  /** The nodes after the forward pass, in order: the first is step 1. */
  readonly steps: readonly Node[];
  /** The forward nodes, in order. */
  readonly forward: readonly Node[];
  readonly producers = new Map<Value, Node>();
  /** The group that holds a value. */
  readonly groups = new Map<Value, Node>();
  readonly twice: ReadonlySet<Node>;
  /** The first step at which something may be computed again. */
  readonly firstStep: number;
  /** Position of the last forward node that reads a value. */
  readonly lastForwardUse = new Map<Value, number>();
  readonly positions = new Map<Node, number>();

  constructor(
    graph: Graph,
    readonly candidates: ReadonlySet<Node>,
    private readonly batchSize: number,
    holdShare: number,
  ) {
    this.forward = graph.nodes.filter(({ origin }) => origin.phase === 'forward');
    this.steps = graph.nodes.filter(({ origin }) => origin.phase !== 'forward');
    this.twice = madeTwice(graph.nodes, holdShare);
    for (const [position, node] of this.forward.entries()) {
      this.positions.set(node, position);
      for (const value of node.outputs) this.producers.set(value, node);
      for (const value of node.inputs) this.lastForwardUse.set(this.rootOf(value), position);
      if (isGroup(node)) for (const value of node.inputs) this.groups.set(value, node);
    }
    // As in `rematerialize`: before any gradient flows nothing is computed again.
    const first = this.steps.findIndex(({ outputs }) => outputs.some(growsWithBatch));
    this.firstStep = first < 0 ? Number.POSITIVE_INFINITY : first + 2;
  }

  /** The value whose memory a value shares, as its view. */
  rootOf(value: Value): Value {
    let root = value;
    for (;;) {
      const producer = this.producers.get(root);
      const [source] = producer?.inputs ?? [];
      if (!producer || !source || !this.isView(producer)) return root;
      root = source;
    }
  }

  isView({ operator }: Node): boolean {
    return traitsOf(operator).view === true;
  }

  bytesOf({ type }: Value): number {
    return bytesOfType(type, this.batchSize);
  }

  /**
   * A choice with the views that belong to it: they are computed again where their operand is, which costs nothing, and
   * where it isn't they share its memory.
   */
  withViews(again: ReadonlySet<Node>): ReadonlySet<Node> {
    const all = new Set<Node>();
    for (const node of this.forward) {
      if (!this.candidates.has(node)) continue;
      const source = this.isView(node) ? this.producers.get(this.rootOf(node.inputs[0] as Value)) : node;
      if (source && again.has(source)) all.add(node);
    }
    return all;
  }

  /** What is resident when the backward pass computes these nodes again. */
  of(again: ReadonlySet<Node>): Residents {
    return new Follower(this, again).run();
  }
}

type Copies = Map<Value, Resident>;

/** Follows `rematerialize` through the steps of the backward pass. */
class Follower {
  private readonly kept = new Map<Value, Resident>();
  private readonly shared: Copies = new Map();
  private readonly copied: Resident[] = [];
  private readonly copies: Copy[] = [];

  constructor(
    private readonly graph: Residency,
    private readonly again: ReadonlySet<Node>,
  ) {}

  run(): Residents {
    for (const [index, node] of this.graph.steps.entries()) {
      const step = index + 1;
      if (step < this.graph.firstStep) continue;
      for (const value of node.inputs) {
        const resident = this.wanted(value, step, this.shared, undefined);
        if (resident) resident.to = Math.max(resident.to, step);
      }
    }
    return { kept: [...this.kept.values()], copied: this.copied, copies: this.copies };
  }

  /** What a value is read from at a step: what was kept, or a copy, which is made if there is none. */
  private wanted(value: Value, step: number, copies: Copies, within: Node | undefined): Resident | undefined {
    const known = copies.get(value) ?? this.shared.get(value);
    if (known) return known;
    const group = this.graph.groups.get(value);
    if (group) return this.fromGroup(value, group, step);
    const node = this.graph.producers.get(value);
    return node && this.again.has(node) ? this.copyOf(node, value, step, copies, within) : this.keptOf(value);
  }

  private copyOf(node: Node, value: Value, step: number, copies: Copies, within: Node | undefined): Resident {
    const twice = this.graph.twice.has(node);
    const own = twice ? new Map(copies) : copies;
    const inner = within ?? (twice ? node : undefined);
    const inputs = node.inputs.map((input) => this.wanted(input, step, own, inner));
    for (const input of inputs) if (input) input.to = Math.max(input.to, step - 0.5);
    this.copies.push({ node, step, within });
    for (const output of node.outputs) {
      // A view has no memory of its own: it is its operand's copy.
      const copy = (this.graph.isView(node) && inputs[0]) || this.resident(output, step, copies === this.shared);
      copies.set(output, copy);
    }
    return present(copies, value);
  }

  private fromGroup(value: Value, group: Node, step: number): Resident {
    const whole = this.keptOf(group.outputs[0] as Value);
    if (whole) whole.to = Math.max(whole.to, step - 0.5);
    this.copies.push({ node: group, step });
    for (const member of group.inputs) this.shared.set(member, this.resident(member, step, true));
    return present(this.shared, value);
  }

  private resident(value: Value, step: number, isHeld: boolean): Resident {
    const resident = { value, bytes: this.graph.bytesOf(value), from: step, to: step - 0.5 };
    if (isHeld) this.copied.push(resident);
    return resident;
  }

  /** What the forward pass leaves of a value; nothing of inputs and statistics, which are there in any case. */
  private keptOf(value: Value): Resident | undefined {
    const root = this.graph.rootOf(value);
    if (!this.graph.producers.has(root) || !growsWithBatch(root)) return undefined;
    const known = this.kept.get(root);
    if (known) return known;
    const resident = { value: root, bytes: this.graph.bytesOf(root), from: 0, to: 0 };
    this.kept.set(root, resident);
    return resident;
  }
}

function present(copies: Copies, value: Value): Resident {
  const copy = copies.get(value);
  if (!copy) throw new InternalError('a copy lacks the value that it was made for');
  return copy;
}
