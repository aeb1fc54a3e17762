/**
 * @file The choice as an integer program: a variable for each node that may be computed again, others for when copies are
 * made and how long what they are made from is held; rows bound the bytes at moments of the step.
 */

import type { Node, Value } from '../../../ir/index.js';
import { isGroup } from '../../rematerialize.js';
import type { Demand } from './demand.js';
import type { Evidence, Nearby } from './evidence.js';

/** A constant, and variables with their factors. */
interface Linear {
  readonly constant: number;
  readonly terms: readonly (readonly [variable: number, factor: number])[];
}

/** `Σ factor · variable ≤ upper` */
interface Row {
  readonly terms: Linear['terms'];
  readonly upper: number;
}

/** Something that may be in memory: whether it is, and the bytes that it takes then. */
export interface Occupant {
  readonly isThere: Linear;
  readonly bytes: number;
}

const never: Linear = { constant: 0, terms: [] };
const always: Linear = { constant: 1, terms: [] };

/** What a program is made for. */
export type Aim = 'likely' | 'possible' | 'bound' | 'bytes';

/** Whether a convolution that holds no operands makes a copy of a node for itself. */
interface OwnCopy {
  readonly node: Node;
  readonly convolution: Node;
  readonly made: Linear;
}

/** Variables from 0 to 1 and the rows that tie them together. */
export class Program {
  readonly rows: Row[] = [];
  /** Which variables are integers; the others follow from them. */
  readonly integers: boolean[] = [];
  /** Microseconds, or bytes, of each variable at 1. */
  readonly costs: number[] = [];
  /** What any choice costs. */
  constantCost: number;
  /** Whether a row without variables can't hold. */
  isContradictory = false;
  /** The variables that are the choice, by node. */
  readonly choices = new Map<Node, number>();
  /** Of each unit, whether it has been computed again by each of its times. */
  private readonly made = new Map<Node, Linear[]>();
  private readonly own: OwnCopy[] = [];
  private readonly ownOf = new Map<Node, OwnCopy[]>();
  private readonly held = new Map<string, Linear>();

  /** The most bytes that may be resident at once: a budget, or a variable that is made as small as it can be. */
  private readonly limit: Linear;

  /**
   * @param budgetBytes what may be resident
   * @param aim a bound for the cost of every choice, by what all plans that were seen have in common; a likely choice, by
   * what was seen in plans like it; or a bound for the bytes, which are the cost then
   */
  constructor(
    private readonly demand: Demand,
    private readonly evidence: Evidence,
    budgetBytes: number,
    private readonly aim: Aim,
  ) {
    const { leastMicroseconds, baseMicroseconds } = evidence;
    this.constantCost = { bound: leastMicroseconds, possible: leastMicroseconds, likely: baseMicroseconds, bytes: 0 }[
      aim
    ];
    this.limit =
      aim === 'bytes' ? scaled(term(this.newVariable(budgetBytes)), budgetBytes) : { constant: budgetBytes, terms: [] };
    for (const unit of demand.units) if (!isGroup(unit)) this.choices.set(unit, this.newVariable(0, true));
    for (const unit of demand.units) this.addMade(unit);
    for (const unit of demand.units) if (demand.residency.twice.has(unit)) this.addOwnCopies(unit);
    for (const unit of this.choices.keys()) this.onlyIfMade(unit);
    for (const value of demand.values) {
      const cost = aim === 'likely' ? evidence.leavingCost(value) : 0;
      if (cost > 0) this.addCost(this.keptUntil(value, 1), cost);
    }
  }

  /** What the forward pass has left when its node at a position runs, beside what it still reads itself. */
  leftAt(position: number): readonly Occupant[] {
    const { producers, positions, lastForwardUse } = this.demand.residency;
    return this.demand.values.flatMap((value) => {
      const made = positions.get(producers.get(value) as Node) ?? Number.POSITIVE_INFINITY;
      if (Math.max(made, lastForwardUse.get(value) ?? 0) >= position) return [];
      return this.occupant(value, this.keptUntil(value, 1));
    });
  }

  /** What is left of the forward pass and in copies when a step runs; or before, while what it reads is computed again. */
  residentAt(step: number, when: 'running' | 'before'): readonly Occupant[] {
    const kept = this.demand.values.flatMap((value) => this.occupant(value, this.keptUntil(value, step)));
    const copied = this.demand.units.flatMap((unit) => {
      const made = this.madeBy(unit, when === 'running' ? step : step - 1);
      if (isNever(made)) return [];
      return this.demand.outputsOf(unit).flatMap((value) => this.occupant(value, this.copyUntil(value, made, step)));
    });
    return [...kept, ...copied];
  }

  /** Whether a node is computed again for a step; at least where that is so. */
  madeAt(unit: Node, step: number): Linear {
    const shared = sum(this.madeBy(unit, step), negated(this.madeBy(unit, step - 1)));
    if (!isNever(shared)) return shared;
    const own = this.ownOf.get(unit)?.find(({ convolution }) => this.demand.timesOf(convolution).steps.includes(step));
    if (!own) return never;
    return sum(own.made, this.madeAt(own.convolution, step), { constant: -1, terms: [] });
  }

  /** Bounds the bytes of occupants together, beside others. */
  bound(occupants: readonly Occupant[], besideBytes: number): void {
    const total = sum(...occupants.map(({ isThere, bytes }) => scaled(isThere, bytes)), negated(this.limit));
    // In megabytes, as the solver's tolerances are made for numbers near 1.
    this.atMost(scaled(total, 1e-6), -1e-6 * besideBytes);
  }

  /** Bytes that are there at a choice of some nodes. */
  whereChosen({ nodes, again, bytes }: Nearby): Occupant {
    const matches = nodes.map((node, index) => (again[index] ? this.chosen(node) : complement(this.chosen(node))));
    const isThere = term(this.newVariable());
    this.atLeast(isThere, sum(...matches), 1 - matches.length);
    return { isThere, bytes };
  }

  /** Forbids one choice. */
  exclude(again: ReadonlySet<Node>): void {
    const equal = [...this.choices].map(([node, variable]) =>
      again.has(node) ? term(variable) : complement(term(variable)),
    );
    this.atMost(sum(...equal), equal.length - 1);
  }

  private occupant(value: Value, isThere: Linear): readonly Occupant[] {
    return isNever(isThere) ? [] : [{ isThere, bytes: this.demand.residency.bytesOf(value) }];
  }

  private newVariable(cost = 0, isInteger = false): number {
    this.costs.push(cost);
    this.integers.push(isInteger);
    return this.costs.length - 1;
  }

  /** Whether a unit is to be computed again: groups are split in any case. */
  private chosen(unit: Node): Linear {
    if (isGroup(unit)) return always;
    const variable = this.choices.get(unit);
    return variable === undefined ? never : term(variable);
  }

  private addMade(unit: Node): void {
    const { steps, direct } = this.demand.timesOf(unit);
    const chosen = this.chosen(unit);
    const made: Linear[] = [];
    this.made.set(unit, made);
    for (const step of steps) {
      const before = made.at(-1) ?? never;
      const by = step === direct ? chosen : term(this.newVariable());
      made.push(by);
      this.atMost(sum(before, negated(by)), 0);
      if (by === chosen) continue;
      this.atMost(sum(by, negated(chosen)), 0);
      const causes = this.demand.causesOf(unit).map((cause) => this.madeBy(cause, step));
      for (const cause of causes) this.atLeast(by, sum(cause, chosen), -1);
      // Only then; convolutions that make the operands of their own may want a group, too.
      if (!isGroup(unit)) this.atMost(sum(by, ...causes.map(negated)), 0);
    }
    this.addCopyCost(unit, made.at(-1) ?? never);
  }

  private addOwnCopies(convolution: Node): void {
    const whole = this.madeBy(convolution, Number.POSITIVE_INFINITY);
    if (isNever(whole)) return;
    const last = this.demand.timesOf(convolution).steps.at(-1) ?? 0;
    const readers = new Map<Node, Linear>([[convolution, whole]]);
    for (const node of this.demand.chainOf(convolution)) {
      const made = term(this.newVariable());
      const causes = [...readers].flatMap(([reader, cause]) => (this.demand.reads(reader, node) ? [cause] : []));
      for (const cause of causes) {
        this.atLeast(sum(made, this.madeBy(node, last)), sum(cause, this.chosen(node)), -1);
      }
      this.atMost(sum(made, negated(this.chosen(node))), 0);
      this.atMost(sum(made, ...causes.map(negated)), 0);
      this.addCopyCost(node, made);
      readers.set(node, made);
      const copy = { node, convolution, made };
      this.own.push(copy);
      this.ownOf.set(node, [...(this.ownOf.get(node) ?? []), copy]);
    }
  }

  /** What nobody wants isn't chosen, so that each plan is one choice. */
  private onlyIfMade(unit: Node): void {
    const own = (this.ownOf.get(unit) ?? []).map(({ made }) => negated(made));
    this.atMost(sum(this.chosen(unit), negated(this.madeBy(unit, Number.POSITIVE_INFINITY)), ...own), 0);
  }

  /** A copy costs more or less where its operand is a copy as well, with which it may be fused. */
  private addCopyCost(unit: Node, made: Linear): void {
    if (isNever(made)) return;
    if (this.aim !== 'likely') {
      this.addCost(made, this.evidence.leastCopyCost(unit));
      return;
    }
    const { least, ifKept, ifCopied } = this.evidence.copyCost(unit);
    this.addCost(made, least);
    const operand = this.evidence.mainOperand(unit);
    if (!operand || ifKept + ifCopied === 0) return;
    const added = term(this.newVariable(ifKept + ifCopied));
    const copied = this.chosen(operand);
    if (ifKept > 0) this.atLeast(added, sum(made, negated(copied)), 0);
    else this.atLeast(added, sum(made, copied), -1);
  }

  private addCost(made: Linear, cost: number): void {
    if (this.aim === 'bytes') return;
    this.constantCost += made.constant * cost;
    for (const [variable, factor] of made.terms) this.costs[variable] = (this.costs[variable] ?? 0) + factor * cost;
  }

  private madeBy(unit: Node, step: number): Linear {
    const { steps } = this.demand.timesOf(unit);
    return this.made.get(unit)?.[steps.filter((each) => each <= step).length - 1] ?? never;
  }

  private madeAfter(unit: Node, step: number): Linear {
    return sum(this.madeBy(unit, Number.POSITIVE_INFINITY), negated(this.madeBy(unit, step)));
  }

  /** Whether what the forward pass left of a value is wanted from a step on. */
  private keptUntil(value: Value, step: number): Linear {
    const { groups, producers } = this.demand.residency;
    if (groups.has(value)) return never;
    const isThere = complement(this.chosenUnlessGroup(producers.get(value)));
    if (this.demand.lastUse(value) >= step) return isThere;
    const wants = this.demand.readersOf(value).flatMap((reader) => {
      const own = (this.ownOf.get(reader) ?? []).map(({ convolution, made }) => {
        const later = this.madeAfter(convolution, step);
        if (isNever(later)) return never;
        const isAllLater = isNever(this.madeBy(convolution, step));
        return isAllLater ? made : sum(made, later, { constant: -1, terms: [] });
      });
      return [this.madeAfter(reader, step), ...own];
    });
    return this.whereWanted('kept', value, isThere, wants);
  }

  private copyUntil(value: Value, made: Linear, step: number): Linear {
    if (this.demand.lastUse(value) >= step) return made;
    const wants = this.demand.readersOf(value).map((reader) => this.madeAfter(reader, step));
    return this.whereWanted('copy', value, made, wants);
  }

  private whereWanted(what: string, value: Value, isThere: Linear, all: readonly Linear[]): Linear {
    const wants = all.filter((want) => want.terms.length > 0 || want.constant > 0);
    if (wants.length === 0 || isNever(isThere)) return never;
    const key = `${what} ${this.demand.values.indexOf(value)} ${[isThere, ...wants].map(textOf).join(' ')}`;
    const known = this.held.get(key);
    if (known) return known;
    const held = term(this.newVariable());
    for (const want of wants) this.atLeast(held, sum(want, isThere), -1);
    this.held.set(key, held);
    return held;
  }

  private chosenUnlessGroup(node: Node | undefined): Linear {
    return !node || isGroup(node) ? never : this.chosen(node);
  }

  private atMost(linear: Linear, bound: number): void {
    if (linear.terms.length === 0) {
      if (linear.constant > bound) this.isContradictory = true;
      return;
    }
    this.rows.push({ terms: linear.terms, upper: bound - linear.constant });
  }

  /** `a ≥ b + constant` */
  private atLeast(a: Linear, b: Linear, constant: number): void {
    this.atMost(sum(b, negated(a)), -constant);
  }
}

function term(variable: number): Linear {
  return { constant: 0, terms: [[variable, 1]] };
}

function scaled({ constant, terms }: Linear, factor: number): Linear {
  return { constant: constant * factor, terms: terms.map(([variable, each]) => [variable, each * factor]) };
}

function negated(linear: Linear): Linear {
  return scaled(linear, -1);
}

function complement(linear: Linear): Linear {
  return sum(always, negated(linear));
}

function sum(...all: readonly Linear[]): Linear {
  let constant = 0;
  const terms = new Map<number, number>();
  for (const linear of all) {
    constant += linear.constant;
    for (const [variable, factor] of linear.terms) terms.set(variable, (terms.get(variable) ?? 0) + factor);
  }
  return { constant, terms: [...terms].filter(([, factor]) => factor !== 0) };
}

function isNever({ constant, terms }: Linear): boolean {
  return constant === 0 && terms.length === 0;
}

function textOf({ constant, terms }: Linear): string {
  return `${constant}${terms.map(([variable, factor]) => `+${factor}x${variable}`).join('')}`;
}
