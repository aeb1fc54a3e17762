/**
 * @file The search for a plan in one layout: an integer program proposes a choice, the compiled step decides whether it fits,
 * and what that shows goes into the next program, from which the choice is cut off.
 */

import type { Node } from '../../../ir/index.js';
import { efficient } from '../efficient.js';
import { max } from '../max.js';
import type { RematProblem } from '../problem.js';
import { Demand } from './demand.js';
import { type AtMoment, Evidence, type Moment, type ShippedPlan } from './evidence.js';
import { type Outcome, solveProgram } from './highs.js';
import { type Aim, type Occupant, Program } from './program.js';
import { Residency, type Residents } from './residency.js';

/** Moments that one round adds at most, and how far they are apart: neighbours hold much the same. */
const rowsOfRound = 12;
const apart = 8;

/** After so many likely choices in vain the rest is left to the bound. */
const mostVain = 4;

/** Share of the budget above which gradients of weights that wait for their update matter. */
const largeWeights = 0.05;

/** Searches for plans of a problem, in the layout that it has. */
export class Search {
  /** The cheapest plan so far that fits. */
  best: ShippedPlan | undefined;
  /** No plan that fits costs less, in microseconds; infinite once none is left. */
  bound = 0;
  /** No plan at all takes less, in bytes, as far as `findLeast` got. */
  leastBound = 0;
  /** Whether the program of likely choices may find a cheaper one. */
  private hasLikely = true;
  /** Whether the program by the least that was seen, weights' gradients included, may find one. */
  private hasPossible = true;
  /** Likely choices in a row that were compiled and were no cheaper. */
  private vain = 0;
  private readonly residency: Residency;
  private readonly demand: Demand;
  private readonly evidence: Evidence;
  private readonly rows = new Map<string, Moment>();
  private readonly shipped: ShippedPlan[] = [];
  /** Plans that were compiled and are no choices of the program's. */
  private readonly outside: ShippedPlan[] = [];

  /** @param isUsual whether the policies' plans are tried as well: those of the usual layout are what users can ask for */
  constructor(
    readonly problem: RematProblem,
    private readonly budgetBytes: number,
    /** Share of the cost that doesn't matter. */
    private readonly gap: number,
    private readonly isUsual: boolean,
  ) {
    const candidates = new Set(problem.candidates.keys());
    this.residency = new Residency(problem.graph, candidates, problem.batchSize, problem.layout.holdShare);
    this.demand = new Demand(this.residency);
    this.evidence = new Evidence(problem, this.residency);
  }

  /** Plans that were compiled. */
  get tried(): number {
    return this.shipped.length + this.outside.length;
  }

  /** Plans that were compiled and took too much. */
  get refused(): number {
    return [...this.shipped, ...this.outside].filter(({ peakBytes }) => peakBytes > this.budgetBytes).length;
  }

  /** Of the plans that were compiled, the one with the lowest peak. */
  get leastPlan(): ShippedPlan {
    return [...this.shipped, ...this.outside].reduce((least, plan) =>
      plan.peakBytes < least.peakBytes ? plan : least,
    );
  }

  /** Whether a search in another layout has the same plans. */
  isAlike({ residency }: Search): boolean {
    const [one, other] = [this.residency, residency];
    const operatorsOf = ({ forward, steps }: Residency): string =>
      [...forward, ...steps].map(({ operator }) => operator).join();
    return one.twice.size === other.twice.size && operatorsOf(one) === operatorsOf(other);
  }

  /**
   * One round.
   * @param until when to stop, as `Date.now()` tells time
   * @param above what is known to be possible, in microseconds: plans that cost as much aren't looked for
   * @returns whether there is more to find
   */
  step(until: number, above: number | undefined): boolean {
    if (this.shipped.length === 0) {
      this.begin();
      return this.bound < (this.best?.microseconds ?? Number.POSITIVE_INFINITY);
    }
    const known = Math.min(above ?? Number.POSITIVE_INFINITY, this.best?.microseconds ?? Number.POSITIVE_INFINITY);
    // A bound first; then choices that evidence makes likely, and possible, while there are any; then what the bound leaves.
    const aim = this.bound === 0 ? 'bound' : this.hasLikely ? 'likely' : this.hasPossible ? 'possible' : 'bound';
    const program = this.program(aim);
    const outcome = this.solve(program, until, this.startOf(program));
    if (aim === 'bound') {
      // The program has lost the plans that were compiled; the best of these may be the optimum.
      this.bound = Math.max(this.bound, Math.min(outcome.bound, known));
    }
    const again = choiceOf(program, outcome);
    const isCheaper = again !== undefined && outcome.bound < known * (1 - this.gap);
    const { best, tried } = this;
    if (isCheaper) this.propose(again);
    if (aim === 'bound') {
      // What it showed may make others possible.
      if (this.tried > tried) this.hasPossible = true;
      return outcome.bound < known;
    }
    if (aim === 'possible') {
      this.hasPossible = isCheaper;
      return true;
    }
    if (this.best !== best) this.vain = 0;
    else if (this.tried > tried) this.vain++;
    this.hasLikely = isCheaper && this.vain < mostVain;
    return true;
  }

  private startOf({ choices }: Program): ReadonlyMap<number, number> | undefined {
    return this.best && new Map([...choices].map(([node, variable]) => [variable, Number(this.best?.again.has(node))]));
  }

  /** Looks for the plan with the lowest peak. */
  findLeast(until: number): void {
    while (Date.now() < until) {
      const program = this.program('bytes');
      const outcome = this.solve(program, until, undefined);
      this.leastBound = Math.max(this.leastBound, Math.min(outcome.bound, this.leastPlan.peakBytes));
      const again = choiceOf(program, outcome);
      if (!again || this.leastBound >= this.leastPlan.peakBytes) return;
      // Moments at which it would take more than the program believes, and no less than what is known to be possible.
      this.shipUnless(again, outcome.bound);
    }
  }

  /** The plans that everything else is measured by: all kept, all computed again, every other node, the policies', beginnings. */
  private begin(): void {
    const all = new Set(this.problem.candidates.keys());
    const none = this.shipChoice(new Set());
    // To keep everything costs the least; if that fits there is nothing to look for.
    if (none === this.best) this.bound = none.microseconds;
    if (none === this.best && this.isUsual) return;
    const policies = this.isUsual ? [efficient, max] : [max];
    const others = policies
      .map((policy) => policy(this.problem))
      .flatMap((again) => (again instanceof Set ? [again] : []));
    for (const again of [all, ...this.alternating(), ...others]) this.shipChoice(again);
    // A policy may compute a view again whose operand is kept, which is no choice of the program's.
    for (const again of others) this.shipAsItIs(again);
    if (this.evidence.mostOfWeights > largeWeights * this.budgetBytes) {
      for (const again of this.beginnings()) this.shipChoice(again);
    }
    for (const plan of this.shipped) this.addRows(this.violations(plan));
  }

  /** Of each chain every other node is computed again: this shows what a copy costs beside an operand that is kept. */
  private alternating(): readonly ReadonlySet<Node>[] {
    const even = new Set<Node>();
    const odd = new Set<Node>();
    for (const node of this.problem.candidates.keys()) {
      const operand = this.evidence.mainOperand(node);
      if (operand && even.has(operand)) odd.add(node);
      else even.add(node);
    }
    return [even, odd];
  }

  /**
   * The first quarter, half and three quarters of the forward pass are computed again: this shows what is alive in the
   * backward pass where the updates of later layers wait for no recomputation of theirs.
   */
  private beginnings(): readonly ReadonlySet<Node>[] {
    const nodes = [...this.problem.candidates.keys()];
    return [1, 2, 3].map((quarters) => new Set(nodes.slice(0, Math.ceil((quarters * nodes.length) / 4))));
  }

  private solve(program: Program, until: number, start: ReadonlyMap<number, number> | undefined): Outcome {
    return solveProgram(program, { seconds: Math.max(0.1, (until - Date.now()) / 1000), gap: this.gap, start });
  }

  /** Compiles a choice, unless evidence says already at which moments it takes too much. */
  private propose(choice: ReadonlySet<Node>): void {
    const plan = this.shipUnless(choice, this.budgetBytes);
    if (plan) this.addRows(this.violations(plan));
  }

  /** Compiles a choice, unless evidence says that it takes more than so many bytes at moments that had no rows: they get some. */
  private shipUnless(choice: ReadonlySet<Node>, bytes: number): ShippedPlan | undefined {
    const again = this.residency.withViews(choice);
    const residents = this.residency.of(again);
    return this.addRows(this.evidence.above(again, residents, bytes)) ? undefined : this.ship(again, residents);
  }

  private shipChoice(choice: ReadonlySet<Node>): ShippedPlan {
    const again = this.residency.withViews(choice);
    return this.ship(again, this.residency.of(again));
  }

  private shipAsItIs(choice: ReadonlySet<Node>): void {
    const usual = this.residency.withViews(choice);
    if (usual.size === choice.size && [...choice].every((node) => usual.has(node))) return;
    const plan = this.evidence.asItIs(choice);
    this.outside.push(plan);
    this.consider(plan);
  }

  private ship(again: ReadonlySet<Node>, residents: Residents): ShippedPlan {
    const plan = this.evidence.ship(again, residents);
    this.shipped.push(plan);
    this.consider(plan);
    return plan;
  }

  private consider(plan: ShippedPlan): void {
    const isCheaper = !this.best || plan.microseconds < this.best.microseconds;
    if (plan.peakBytes <= this.budgetBytes && isCheaper) this.best = plan;
  }

  /** Where a compiled plan takes more than the budget. */
  private violations({ live }: ShippedPlan): readonly AtMoment[] {
    return [...live.values()].filter(({ bytes }) => bytes > this.budgetBytes);
  }

  /** Adds the worst of some moments that are apart from each other; whether one is new. */
  private addRows(above: readonly AtMoment[]): boolean {
    let added = 0;
    const near: Moment[] = [];
    for (const { moment } of [...above].sort((a, b) => b.bytes - a.bytes)) {
      if (added >= rowsOfRound) break;
      const isForward = moment.when === 'forward';
      if (near.some(({ when, at }) => (when === 'forward') === isForward && Math.abs(at - moment.at) < apart)) continue;
      near.push(moment);
      const key = this.evidence.keyOf(moment);
      if (this.rows.has(key)) continue;
      this.rows.set(key, moment);
      added++;
    }
    return added > 0;
  }

  /** The program with the moments that matter so far, without the plans that were compiled. */
  private program(aim: Aim): Program {
    const program = new Program(this.demand, this.evidence, this.budgetBytes, aim);
    for (const moment of this.rows.values()) {
      const { least: seen, sure, beyond: more } = this.evidence.besidesAt(moment);
      const least = aim === 'bound' || aim === 'bytes' ? sure : seen;
      const beyond = aim === 'likely' ? more : [];
      const occupants = [...residentsAt(program, moment), ...beyond.map((nearby) => program.whereChosen(nearby))];
      if (!moment.copy) program.bound(occupants, least);
      else program.bound([...occupants, { isThere: program.madeAt(moment.copy, moment.at), bytes: least }], 0);
    }
    for (const { again } of this.shipped) program.exclude(again);
    return program;
  }
}

function residentsAt(program: Program, { when, at }: Moment): readonly Occupant[] {
  return when === 'forward' ? program.leftAt(at) : program.residentAt(at, when);
}

function choiceOf({ choices }: Program, { solution }: Outcome): ReadonlySet<Node> | undefined {
  return (
    solution && new Set([...choices].flatMap(([node, variable]) => ((solution[variable] ?? 0) > 0.5 ? [node] : [])))
  );
}
