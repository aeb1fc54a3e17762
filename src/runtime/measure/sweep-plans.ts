/** @file Time against memory: the policies' plans, and the fastest within budgets from the least that is possible. */

import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Compiled } from '../../compile.js';
import { RequestError } from '../../ir/index.js';
import { peakAt } from '../../memory/peak-lines.js';
import {
  ImpossibleBudget,
  type LeastPeak,
  loadSolver,
  type MemoryBudget,
  NoPlanInTime,
  type RematName,
} from '../../passes/solvers/index.js';
import { type Costs, stepMicroseconds, targetOf } from '../../targets/index.js';
import { type Bundle, trainingHash, writeBundle } from '../bundle/bundle.js';
import { compileAgain, lowerAgain } from '../bundle/replan.js';
import { temporaryFolder } from '../files/atomic-file.js';
import { checkTarget, cpu } from '../session/devices.js';
import type { SessionOptions } from '../session/session.js';
import { sessionChoices } from '../session/session-choice.js';
import { measureRounds, type OnProgress, type StepsSummary, stepsContestant, summarize } from './rounds.js';

/** A plan of a sweep. */
export interface SweptPlan {
  /** The policy; `budget` for the fastest within one; `custom` for that of a bundle with a policy of one's own. */
  readonly remat: Compiled['remat'];
  /** Whether it is the plan that the bundle has. */
  readonly inBundle: boolean;
  readonly budgetBytes?: number;
  /** Of a budget: what is proven, or that no plan was found in the time it had. */
  readonly status?: 'optimal' | 'feasible' | 'timeout';
  /** Share of the modelled time that a better plan within the budget could save at most. */
  readonly gap?: number;
  /** Of the smallest budget: whether no plan takes less, or this is only the least that was found. */
  readonly least?: 'proven' | 'found';
  /** Absent, as what follows, where no plan was found. */
  readonly predictedLivePeakBytes?: number;
  /** By the table of costs. */
  readonly estimatedStepMs?: number;
  /** Nodes of the training model, and how many of them compute something again. */
  readonly nodes?: number;
  readonly recomputed?: number;
  readonly measured?: Pick<StepsSummary, 'stepMs' | 'peakGrowthBytes'>;
}

/** How far modelled times of a step are from measured ones, over the plans that were measured. */
export interface ModelError {
  /** The mean of |modelled / measured − 1|, and the largest; null where nothing was measured. */
  readonly meanError: number | null;
  readonly largestError: number | null;
}

/** How to sweep. */
export interface SweepOptions {
  readonly batchSize: number;
  /** How many budgets, from the least that is possible to what `none` takes. */
  readonly budgets: number;
  /** How long to look for the best plan within each. */
  readonly seconds: number;
  /** Share of a step's time below which a better one isn't looked for, as in `MemoryBudget`. */
  readonly gap?: number | undefined;
  /** What nodes cost, where it isn't the target's own table. */
  readonly costs?: Costs | undefined;
  /** Told of each plan as it is found. */
  readonly onPlan?: (done: number, total: number, what: string) => void;
  /** Measures steps of each plan too, with these options. */
  readonly measure?: SessionOptions | undefined;
  readonly onMeasured?: OnProgress;
}

/** A plan of a sweep with its models, where one was found. */
export interface FoundPlan {
  readonly plan: SweptPlan;
  readonly compiled?: Compiled;
}

const policies: readonly RematName[] = ['none', 'efficient', 'max'];

/** Steps in a process, of which the first is not timed; and processes for each plan, in turn. */
const [steps, rounds] = [5, 2];

/**
 * Plans a bundle's network by each policy and within budgets.
 * @throws RequestError or FailureError as `compileAgain` and `lowerAgain`, or when a measurement fails
 */
export async function sweepPlans(bundle: Bundle, options: SweepOptions): Promise<readonly SweptPlan[]> {
  const { batchSize } = options;
  const { leastBatchSize, target } = bundle.manifest;
  if (options.measure) checkTarget(target, options.measure.device ?? cpu);
  if (options.measure && batchSize < leastBatchSize) {
    throw new RequestError(
      `--batch-size ${batchSize} is too small to be measured: ${bundle.directory} needs at least ${leastBatchSize} images, since batch normalization over one value a channel has no variance`,
    );
  }
  await loadSolver();
  const found = [...findPlans(bundle, options)];
  return options.measure ? measured(bundle, found, options) : found.map(({ plan }) => plan);
}

/**
 * The plans of a sweep, each as soon as it is found: the policies', the bundle's own where it is another, then the fastest
 * within budgets from the least that is possible. Await `loadSolver()` before.
 * @throws RequestError or FailureError as `compileAgain` and `lowerAgain`
 */
export function* findPlans(bundle: Bundle, options: SweepOptions): Generator<FoundPlan> {
  const { batchSize, budgets, seconds, gap, costs, onPlan } = options;
  const { remat: own } = bundle.manifest;
  const isOwn = own === 'custom' || own === 'budget';
  const total = policies.length + Number(isOwn) + budgets + 1;
  let done = 0;
  const tell = (what: string): void => onPlan?.(++done, total, what);
  const plans = [
    ...policies.map((remat) => ({
      ...{ what: remat, inBundle: remat === own },
      compiled: () => (remat === own ? compileAgain(bundle, costs) : lowerAgain(bundle, { remat, costs })),
    })),
    ...(isOwn ? [{ what: "this bundle's plan", inBundle: true, compiled: () => compileAgain(bundle, costs) }] : []),
  ];
  let most = 0;
  for (const { what, inBundle, compiled } of plans) {
    const found = pointOf(compiled(), inBundle, batchSize);
    most = Math.max(most, found.plan.predictedLivePeakBytes ?? 0);
    tell(what);
    yield found;
  }
  const { bytes: least, isProven } = leastPeak(bundle, { budgetBytes: 1, batchSize, seconds }, costs);
  tell('the least that is possible');
  for (const budgetBytes of between(Math.min(least, most), most, budgets)) {
    const { plan, ...rest } = withinBudget(
      bundle,
      { budgetBytes, batchSize, seconds, ...(gap !== undefined && { gap }) },
      costs,
    );
    const isLeast = budgetBytes === Math.ceil(least);
    tell(withinWords(budgetBytes));
    yield { plan: { ...plan, ...(isLeast && { least: isProven ? 'proven' : 'found' }) }, ...rest };
  }
}

function pointOf(compiled: Compiled, inBundle: boolean, batchSize: number): { plan: SweptPlan; compiled: Compiled } {
  const { schedules, target, kernels, costs, remat, certificate } = compiled;
  const { order, livePeak } = schedules.training;
  const nodes = schedules.training.graph.nodes;
  return {
    compiled,
    plan: {
      ...{ remat, inBundle },
      ...(certificate && { budgetBytes: certificate.budgetBytes, status: certificate.status, gap: certificate.gap }),
      predictedLivePeakBytes: Math.round(peakAt(livePeak, batchSize)),
      estimatedStepMs: stepMicroseconds(nodes, targetOf(target, kernels, costs), batchSize) / 1000,
      nodes: order.length,
      recomputed: order.filter(({ node }) => node.origin.phase === 'recompute').length,
    },
  };
}

function withinBudget(bundle: Bundle, memory: MemoryBudget, costs: Costs | undefined): FoundPlan {
  try {
    return pointOf(lowerAgain(bundle, { memory, costs }), false, memory.batchSize);
  } catch (error) {
    // Others may be found in the time they have.
    if (!(error instanceof NoPlanInTime)) throw error;
    return { plan: { remat: 'budget', inBundle: false, budgetBytes: memory.budgetBytes, status: 'timeout' } };
  }
}

/** The least live peak that is found, by asking for what is impossible. */
function leastPeak(bundle: Bundle, memory: MemoryBudget, costs: Costs | undefined): Omit<LeastPeak, 'largestBatch'> {
  try {
    lowerAgain(bundle, { memory, costs });
  } catch (error) {
    if (error instanceof ImpossibleBudget || error instanceof NoPlanInTime) return error.least;
    throw error;
  }
  return { bytes: memory.budgetBytes, isProven: true };
}

/** How far modelled times are from measured ones. */
export function modelErrorOf(plans: readonly SweptPlan[]): ModelError {
  const errors = plans.flatMap(({ estimatedStepMs, measured }) =>
    estimatedStepMs === undefined || measured === undefined
      ? []
      : [Math.abs(estimatedStepMs / measured.stepMs.median - 1)],
  );
  if (errors.length === 0) return { meanError: null, largestError: null };
  return {
    meanError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    largestError: Math.max(...errors),
  };
}

function withinWords(bytes: number): string {
  return `within ${(bytes / 1e6).toFixed(1)} MB`;
}

/** Budgets by equal factors, ends included, in whole bytes. */
function between(least: number, most: number, count: number): readonly number[] {
  if (count === 1) return [Math.ceil(least)];
  return Array.from({ length: count }, (_, index) => Math.ceil(least * (most / least) ** (index / (count - 1))));
}

/** Plans that are the same model are measured once. */
async function measured(
  { manifest: { name: network, inputShape, classes } }: Bundle,
  found: readonly FoundPlan[],
  { batchSize, measure, onMeasured }: SweepOptions,
): Promise<readonly SweptPlan[]> {
  const models = new Map<string, Compiled>();
  const hashes = found.map(({ compiled }) => {
    if (!compiled) return '';
    const hash = trainingHash(compiled);
    if (!models.has(hash)) models.set(hash, compiled);
    return hash;
  });
  const { threads = availableParallelism(), device = cpu, tf32, cudaGraph } = measure ?? {};
  const { reason: _, ...session } = sessionChoices.training;
  const folder = await temporaryFolder('sweep');
  try {
    const contestants = [];
    for (const [hash, compiled] of models) {
      const directory = join(folder, hash);
      await writeBundle(directory, { name: network, inputShape: [...inputShape], classes }, compiled);
      const request = { bundle: directory, batchSize, steps, seed: 0, device, threads, session, tf32, cudaGraph };
      const { remat, certificate } = compiled;
      const name = certificate ? withinWords(certificate.budgetBytes) : remat;
      contestants.push(stepsContestant(name, request));
    }
    const results = await measureRounds(contestants, rounds, onMeasured);
    const summaries = new Map([...models.keys()].map((hash, index) => [hash, summarize(results[index] ?? [])]));
    return found.map(({ plan }, index) => {
      const summary = summaries.get(hashes[index] ?? '');
      return summary
        ? { ...plan, measured: { stepMs: summary.stepMs, peakGrowthBytes: summary.peakGrowthBytes } }
        : plan;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
