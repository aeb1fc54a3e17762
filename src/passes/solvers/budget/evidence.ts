/**
 * @file What plans that were compiled tell of those that weren't: bytes and microseconds beside what a choice decides. Each
 * is the least that was seen, so that the program promises no plan more than it can hold.
 */

import { growsWithBatch, type Node, traitsOf, type Value } from '../../../ir/index.js';
import { nodeMicroseconds, stepMicroseconds } from '../../../targets/index.js';
import { isGroup } from '../../rematerialize.js';
import type { RematProblem } from '../problem.js';
import type { Copy, Residency, Residents } from './residency.js';

/** A moment of the step at which bytes are counted. */
export interface Moment {
  /** While a forward node runs, while a step of the backward pass runs, or before one, when its operands are made again. */
  readonly when: 'forward' | 'running' | 'before';
  /** The position of the forward node, or the step. */
  readonly at: number;
  /** The node that is computed again then, if one is. */
  readonly copy?: Node | undefined;
}

/** Bytes alive at a moment. */
export interface AtMoment {
  readonly moment: Moment;
  readonly bytes: number;
}

/** A plan as it ships. */
export interface ShippedPlan {
  readonly again: ReadonlySet<Node>;
  readonly peakBytes: number;
  /** Microseconds of its nodes by the target's table. */
  readonly microseconds: number;
  /** Live bytes by moment. */
  readonly live: ReadonlyMap<string, AtMoment>;
}

/** Microseconds of a copy where its operand is kept, and where it is a copy itself. */
interface CopyCost {
  kept: number;
  copied: number;
}

/**
 * Live bytes at a moment beside what a choice leaves resident. Whether the runtime writes in place, and which of two neighbours
 * it runs first, goes by what is kept of the nodes nearby, so the least is known for each choice of those.
 */
interface Besides {
  readonly moment: Moment;
  /** The nodes nearby that may be computed again. */
  readonly nearby: readonly Node[];
  least: number;
  sure: number;
  /** The least by the choice of these nodes: a letter for each. */
  readonly byChoice: Map<string, number>;
}

/** A choice of nodes nearby, and the bytes that are alive then beyond the least. */
export interface Nearby {
  readonly nodes: readonly Node[];
  /** Of these nodes, whether each is computed again. */
  readonly again: readonly boolean[];
  readonly bytes: number;
}

/** How many nodes count as nearby: a convolution, its normalization and its activation, of which a step may read two. */
const nearbyNodes = 6;

/** Collects what compiled plans show. */
export class Evidence {
  /** Live bytes beside what a choice leaves resident, by moment. */
  private readonly besides = new Map<string, Besides>();
  /** Microseconds of all that isn't computed again: the least that was seen. */
  leastMicroseconds = Number.POSITIVE_INFINITY;
  /** The same less what the values that a plan leaves cost there (`leavingCost`). */
  baseMicroseconds = Number.POSITIVE_INFINITY;
  /** The most bytes that were seen which don't grow with the batch, beside what is always alive. */
  mostOfWeights = 0;
  private readonly copyCosts = new Map<Node, CopyCost>();
  private readonly kernelCosts = new Map<Node, number>();
  /** By value with one reader in the forward pass: microseconds of the nodes before and after it, where it is kept and ever. */
  private readonly pairCosts = new Map<Value, { kept: number; ever: number }>();
  private readonly stepOf: ReadonlyMap<Node, number>;
  private readonly pairs: ReadonlyMap<Value, readonly [producer: Node, reader: Node]>;

  constructor(
    private readonly problem: RematProblem,
    private readonly residency: Residency,
  ) {
    this.stepOf = new Map(residency.steps.map((node, index) => [node, index + 1]));
    this.pairs = pairsOf(residency);
  }

  /** Microseconds that a copy of a node takes at least, by the kernels that work on the batch. */
  leastCopyCost(node: Node): number {
    return this.kernelCosts.get(node) ?? 0;
  }

  /** Microseconds of a copy of a node: the least that was seen, and what was added where its operand is kept or copied. */
  copyCost(node: Node): { readonly least: number; readonly ifKept: number; readonly ifCopied: number } {
    const { kept = Number.POSITIVE_INFINITY, copied = Number.POSITIVE_INFINITY } = this.copyCosts.get(node) ?? {};
    const least = Math.min(kept, copied);
    if (!Number.isFinite(least)) return { least: 0, ifKept: 0, ifCopied: 0 };
    const added = (cost: number): number => (Number.isFinite(cost) ? cost - least : 0);
    return { least, ifKept: added(kept), ifCopied: added(copied) };
  }

  /** Microseconds that the forward pass takes more if it leaves a value, because the next node isn't fused into this one. */
  leavingCost(value: Value): number {
    const { kept, ever } = this.pairCosts.get(value) ?? { kept: Number.POSITIVE_INFINITY, ever: 0 };
    return Number.isFinite(kept) ? kept - ever : 0;
  }

  /** Compiles a plan and learns from it. @param residents what is resident by the choice with its views */
  ship(choice: ReadonlySet<Node>, residents: Residents): ShippedPlan {
    // What nobody wants again makes no difference: without it each plan is one choice.
    const made = new Set(residents.copies.map(({ node }) => node));
    const again = this.residency.withViews(new Set([...choice].filter((node) => made.has(node))));
    const { target, batchSize } = this.problem;
    const shipment = this.problem.ship(again);
    const bytes = shipment.liveBytes(batchSize);
    const ofWeights = weightsBeside(shipment.liveBytes);
    this.mostOfWeights = Math.max(this.mostOfWeights, largest(ofWeights));
    const moments = this.momentsOf(shipment.nodes);
    const live = new Map<string, { moment: Moment; bytes: number }>();
    const elastic = new Map<string, number>();
    const recomputed = new Map<Node, number>();
    const kernels = new Map<Node, number>();
    const once = new Map<Node | undefined, number>();
    for (const [position, node] of shipment.nodes.entries()) {
      const microseconds = nodeMicroseconds(node, target, batchSize);
      const { phase, source } = node.origin;
      if (phase === 'recompute' && source) {
        recomputed.set(source, (recomputed.get(source) ?? 0) + microseconds);
        // Not what waits: how many nodes that takes depends on what there is to wait for.
        if (worksOnBatch(node)) kernels.set(source, (kernels.get(source) ?? 0) + microseconds);
      } else once.set(source, (once.get(source) ?? 0) + microseconds);
      const moment = moments[position];
      if (!moment) continue;
      const key = this.keyOf(moment);
      const most = Math.max(live.get(key)?.bytes ?? 0, bytes[position] as number);
      live.set(key, { moment, bytes: most });
      elastic.set(key, Math.max(elastic.get(key) ?? 0, ofWeights[position] ?? 0));
    }
    this.learnBytes(live, elastic, again, residents);
    this.learnCopyCosts(recomputed, kernels, again, residents.copies);
    const base = this.learnForwardCosts(once, residents);
    const extra = [...recomputed.values()].reduce((sum, each) => sum + each, 0);
    return { again, peakBytes: largest(bytes), microseconds: base + extra, live };
  }

  /** Compiles a plan that is no choice of the program's, so nothing is learnt from it. */
  asItIs(again: ReadonlySet<Node>): ShippedPlan {
    const { target, batchSize } = this.problem;
    const { nodes, liveBytes } = this.problem.ship(again);
    const peakBytes = largest(liveBytes(batchSize));
    return { again, peakBytes, microseconds: stepMicroseconds(nodes, target, batchSize), live: new Map() };
  }

  /** The node that a copy reads, if there is but one that may be computed again. */
  mainOperand(node: Node): Node | undefined {
    if (isGroup(node)) return undefined;
    const { producers, candidates, groups } = this.residency;
    const operands = new Set(
      node.inputs.map((input) => this.residency.rootOf(input)).filter((value) => !groups.has(value)),
    );
    const found = [...operands].flatMap((value) => producers.get(value) ?? []).filter((each) => candidates.has(each));
    return found.length === 1 ? found[0] : undefined;
  }

  /** Bytes that a choice leaves resident, by moment. */
  residentBytes({ kept, copied }: Residents): (moment: Moment) => number {
    const { forward, steps, positions, producers, lastForwardUse } = this.residency;
    const at = {
      forward: new Float64Array(forward.length + 2),
      running: new Float64Array(steps.length + 3),
      before: new Float64Array(steps.length + 3),
    };
    const add = (bytes: Float64Array, from: number, to: number, each: number): void => {
      if (to < from) return;
      bytes[from] = (bytes[from] as number) + each;
      bytes[Math.floor(to) + 1] = (bytes[Math.floor(to) + 1] as number) - each;
    };
    for (const { value, bytes, to } of kept) {
      if (to === 0) continue;
      const made = positions.get(producers.get(value) as Node) ?? 0;
      add(at.forward, Math.max(made, lastForwardUse.get(value) ?? 0) + 1, forward.length, bytes);
      add(at.running, 0, to, bytes);
      add(at.before, 0, to, bytes);
    }
    for (const { from, to, bytes } of copied) {
      add(at.running, from, to, bytes);
      add(at.before, from + 1, to, bytes);
    }
    for (const bytes of Object.values(at)) {
      for (let index = 1; index < bytes.length; index++)
        bytes[index] = (bytes[index] as number) + (bytes[index - 1] as number);
    }
    return (moment) => at[moment.when][moment.at] ?? 0;
  }

  /** The moments at which a choice takes more than a budget, by what was seen beside what it leaves. */
  above(again: ReadonlySet<Node>, residents: Residents, budgetBytes: number): readonly AtMoment[] {
    const resident = this.residentBytes(residents);
    const made = new Set(
      residents.copies.map(({ node, step }) => this.keyOf({ when: 'before', at: step, copy: node })),
    );
    return [...this.besides].flatMap(([key, { moment, nearby, least, byChoice }]) => {
      const bytes = resident(moment) + (byChoice.get(choiceText(nearby, again)) ?? least);
      return bytes > budgetBytes && (!moment.copy || made.has(key)) ? [{ moment, bytes }] : [];
    });
  }

  /**
   * Bytes alive at a moment beside what a choice leaves resident: the least that was seen, and what is beyond it when. `sure`
   * is without what doesn't grow with the batch: how long gradients of weights wait for their update depends on the whole plan.
   */
  besidesAt(moment: Moment): { readonly least: number; readonly sure: number; readonly beyond: readonly Nearby[] } {
    const found = this.besides.get(this.keyOf(moment));
    if (!found) return { least: 0, sure: 0, beyond: [] };
    const { least, sure, nearby, byChoice } = found;
    const beyond = [...byChoice].flatMap(([text, bytes]) =>
      bytes > least ? [{ nodes: nearby, again: [...text].map((letter) => letter === '1'), bytes: bytes - least }] : [],
    );
    return { least, sure, beyond };
  }

  keyOf({ when, at, copy }: Moment): string {
    return `${when} ${at} ${copy ? this.residency.positions.get(copy) : ''}`;
  }

  private learnBytes(
    live: ShippedPlan['live'],
    elastic: ReadonlyMap<string, number>,
    again: ReadonlySet<Node>,
    residents: Residents,
  ): void {
    const resident = this.residentBytes(residents);
    for (const [key, { moment, bytes }] of live) {
      const beside = bytes - resident(moment);
      const known = this.besides.get(key) ?? {
        ...{ moment, nearby: this.nearby(moment), least: beside, sure: beside, byChoice: new Map<string, number>() },
      };
      known.least = Math.min(known.least, beside);
      known.sure = Math.min(known.sure, beside - (elastic.get(key) ?? 0));
      const choice = choiceText(known.nearby, again);
      known.byChoice.set(choice, Math.min(known.byChoice.get(choice) ?? beside, beside));
      this.besides.set(key, known);
    }
  }

  /** The nodes that may be computed again from which a moment's node gets its operands, the nearest first. */
  private nearby({ when, at, copy }: Moment): readonly Node[] {
    const { forward, steps, producers, candidates } = this.residency;
    const start = copy ?? (when === 'forward' ? forward[at] : steps[at - 1]);
    const found = new Set<Node>(copy || when === 'forward' ? [start as Node] : []);
    const open = [start as Node];
    for (let node = open.shift(); node && found.size < nearbyNodes; node = open.shift()) {
      for (const operand of node.inputs) {
        const producer = producers.get(this.residency.rootOf(operand));
        if (!producer || found.has(producer) || found.size >= nearbyNodes) continue;
        found.add(producer);
        if (candidates.has(producer)) open.push(producer);
      }
    }
    return [...found].filter((node) => candidates.has(node) && !this.residency.isView(node));
  }

  private learnCopyCosts(
    recomputed: ReadonlyMap<Node, number>,
    kernels: ReadonlyMap<Node, number>,
    again: ReadonlySet<Node>,
    copies: readonly Copy[],
  ): void {
    const counts = new Map<Node, number>();
    for (const { node } of copies) counts.set(node, (counts.get(node) ?? 0) + 1);
    for (const [node, count] of counts) {
      const each = (recomputed.get(node) ?? 0) / count;
      const kernel = (kernels.get(node) ?? 0) / count;
      this.kernelCosts.set(node, Math.min(this.kernelCosts.get(node) ?? kernel, kernel));
      const operand = this.mainOperand(node);
      const known = this.copyCosts.get(node) ?? { kept: Number.POSITIVE_INFINITY, copied: Number.POSITIVE_INFINITY };
      if (operand && again.has(operand)) known.copied = Math.min(known.copied, each);
      else known.kept = Math.min(known.kept, each);
      this.copyCosts.set(node, known);
    }
  }

  /** @returns microseconds of all that isn't computed again */
  private learnForwardCosts(once: ReadonlyMap<Node | undefined, number>, { kept }: Residents): number {
    const left = new Set(kept.filter(({ to }) => to > 0).map(({ value }) => value));
    let base = 0;
    for (const cost of once.values()) base += cost;
    let leaving = 0;
    for (const [value, [producer, reader]] of this.pairs) {
      const cost = (once.get(producer) ?? 0) + (once.get(reader) ?? 0);
      const known = this.pairCosts.get(value) ?? { kept: Number.POSITIVE_INFINITY, ever: Number.POSITIVE_INFINITY };
      known.ever = Math.min(known.ever, cost);
      if (left.has(value)) known.kept = Math.min(known.kept, cost);
      this.pairCosts.set(value, known);
      if (left.has(value)) leaving += this.leavingCost(value);
    }
    this.leastMicroseconds = Math.min(this.leastMicroseconds, base);
    this.baseMicroseconds = Math.min(this.baseMicroseconds, base - leaving);
    return base;
  }

  /** The moment of each lowered node, where it has one. */
  private momentsOf(nodes: readonly Node[]): readonly (Moment | undefined)[] {
    const moments: (Moment | undefined)[] = [];
    // What is computed again comes before the step that wants it, updates come after the step that let them run.
    let next: number | undefined;
    for (let position = nodes.length - 1; position >= 0; position--) {
      const { phase, source } = (nodes[position] as Node).origin;
      const step = source && this.stepOf.get(source);
      if (phase === 'backward' && step !== undefined) {
        next = step;
        moments[position] = { when: 'running', at: step };
      } else if (phase === 'recompute' && source) {
        if (next !== undefined) moments[position] = { when: 'before', at: next, copy: source };
      } else if (phase === 'forward' && source) {
        const at = this.residency.positions.get(source);
        if (at !== undefined) moments[position] = { when: 'forward', at };
      } else if (phase !== 'forward' && next !== undefined) moments[position] = { when: 'before', at: next };
    }
    return moments;
  }
}

/** Values that one forward node reads, with it and their producer: in a lowered graph the two may be one. */
function pairsOf({ forward, candidates }: Residency): ReadonlyMap<Value, readonly [Node, Node]> {
  const readers = new Map<Value, Node[]>();
  for (const node of forward)
    for (const value of new Set(node.inputs)) readers.set(value, [...(readers.get(value) ?? []), node]);
  const pairs = new Map<Value, readonly [Node, Node]>();
  for (const node of forward) {
    const [value, ...others] = node.outputs;
    const [reader, ...more] = (value && readers.get(value)) ?? [];
    if (value && reader && others.length === 0 && more.length === 0 && candidates.has(node))
      pairs.set(value, [node, reader]);
  }
  return pairs;
}

/** A choice of some nodes: 1 for each that is computed again, else 0. */
function choiceText(nodes: readonly Node[], again: ReadonlySet<Node>): string {
  return nodes.map((node) => (again.has(node) ? '1' : '0')).join('');
}

/** Whether a lowered node computes something of the batch's size, beside giving it another shape. */
function worksOnBatch(node: Node): boolean {
  return traitsOf(node.operator).view !== true && node.outputs.some(growsWithBatch);
}

/**
 * Bytes alive at each position of a plan that don't grow with the batch, beside what always is: for the most gradients of
 * weights that wait for their update. Live bytes are linear in the batch size.
 */
function weightsBeside(liveBytes: (batchSize: number) => ArrayLike<number>): readonly number[] {
  const [one, two] = [liveBytes(1), liveBytes(2)];
  const fixed = Array.from(one, (bytes, position) => 2 * bytes - (two[position] as number));
  const always = fixed.reduce((least, bytes) => Math.min(least, bytes), Number.POSITIVE_INFINITY);
  return fixed.map((bytes) => bytes - always);
}

function largest(bytes: ArrayLike<number>): number {
  return Array.from(bytes).reduce((most, each) => Math.max(most, each), 0);
}
