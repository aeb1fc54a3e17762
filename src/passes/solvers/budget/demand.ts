/** @file Who may want what of the forward pass, and at which steps of the backward pass, whatever is chosen. */

import { growsWithBatch, type Node, type Value } from '../../../ir/index.js';
import { isGroup } from '../../rematerialize.js';
import type { Residency } from './residency.js';

/** When a node may be computed again. */
export interface Times {
  /** Steps at which its copy may be wanted first, ascending; the last of them is `direct` where that is known. */
  readonly steps: readonly number[];
  /** The first step that reads it in any case. */
  readonly direct: number | undefined;
}

/**
 * The demand for values of the forward pass. Views are taken for what they are views of, and members of a group for shares
 * of it: the group is kept, and split again when the first of its members is wanted.
 */
export class Demand {
  /** Nodes that may be computed again and groups that are split again: readers before what they read. */
  readonly units: readonly Node[];
  /** Values that the forward pass may leave for the backward pass. */
  readonly values: readonly Value[];
  private readonly directUses = new Map<Value, number[]>();
  private readonly readers = new Map<Value, Node[]>();
  private readonly times = new Map<Node, Times>();

  constructor(readonly residency: Residency) {
    const { forward, steps, candidates, firstStep } = residency;
    const makeable = forward.filter((node) => candidates.has(node) && !residency.isView(node));
    const groups = forward.filter(isGroup);
    this.units = [...makeable.reverse(), ...groups];
    for (const unit of this.units) {
      const operands = isGroup(unit) ? unit.outputs : unit.inputs;
      for (const value of new Set(operands.map((operand) => residency.rootOf(operand))))
        push(this.readers, value, unit);
    }
    for (const [index, node] of steps.entries()) {
      if (index + 1 < firstStep) continue;
      for (const value of new Set(node.inputs.map((input) => residency.rootOf(input))))
        push(this.directUses, value, index + 1);
    }
    this.values = forward
      .flatMap(({ outputs }) => outputs)
      .filter((value) => growsWithBatch(value) && residency.rootOf(value) === value);
  }

  /** What a copy of a node holds: its results, or the members of a group. */
  outputsOf(unit: Node): readonly Value[] {
    if (isGroup(unit)) return unit.inputs.map((value) => this.residency.rootOf(value));
    return unit.outputs.filter((value) => !this.residency.groups.has(value));
  }

  /** Nodes whose copies read a value; a group's is read by its own split. */
  readersOf(value: Value): readonly Node[] {
    return this.readers.get(value) ?? [];
  }

  /** The last step that reads a value itself. */
  lastUse(value: Value): number {
    return this.directUses.get(value)?.at(-1) ?? 0;
  }

  /** Nodes whose copies let a unit's copy be made, where there is none. A convolution that holds no operands makes its own. */
  causesOf(unit: Node): readonly Node[] {
    const readers = new Set(this.outputsOf(unit).flatMap((value) => this.readersOf(value)));
    return [...readers].filter((reader) => isGroup(unit) || !this.residency.twice.has(reader));
  }

  /** Whether a copy of a node reads what another makes. */
  reads(reader: Node, node: Node): boolean {
    return reader.inputs.some((operand) => node.outputs.includes(this.residency.rootOf(operand)));
  }

  timesOf(unit: Node): Times {
    const known = this.times.get(unit);
    if (known) return known;
    const uses = this.outputsOf(unit).flatMap((value) => this.directUses.get(value) ?? []);
    const direct = uses.length > 0 ? Math.min(...uses) : undefined;
    const causes = this.causesOf(unit).flatMap((cause) => this.timesOf(cause).steps);
    const all = [...new Set(direct === undefined ? causes : [...causes.filter((step) => step < direct), direct])];
    const times = { steps: all.sort((a, b) => a - b), direct };
    this.times.set(unit, times);
    return times;
  }

  /** The nodes that a convolution which holds no operands may compute again for itself, readers before what they read. */
  chainOf(convolution: Node): readonly Node[] {
    const chain = new Set<Node>();
    const open = [convolution];
    for (let node = open.pop(); node; node = open.pop()) {
      for (const operand of node.inputs) {
        const value = this.residency.rootOf(operand);
        const producer = this.residency.producers.get(value);
        if (!producer || this.residency.groups.has(value) || !this.residency.candidates.has(producer)) continue;
        if (chain.has(producer)) continue;
        chain.add(producer);
        open.push(producer);
      }
    }
    const position = (node: Node): number => this.residency.positions.get(node) ?? 0;
    return [...chain].sort((a, b) => position(b) - position(a));
  }
}

function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}
