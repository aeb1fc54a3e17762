/** @file What kernels cost on a machine's CPU, by kind: rates fitted to the runtime's profile of training steps. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { densenet, type Network } from '../../builders/index.js';
import { type Compiled, compile } from '../../compile.js';
import { FailureError } from '../../ir/index.js';
import type { RematName } from '../../passes/solvers/index.js';
import {
  type Costs,
  type KernelKind,
  type Rate,
  stepMicroseconds,
  targets,
  type Work,
  workOf,
} from '../../targets/index.js';
import { writeBundle } from '../bundle/bundle.js';
import { temporaryFolder } from '../files/atomic-file.js';
import { cpu } from '../session/devices.js';
import { sessionChoices } from '../session/session-choice.js';
import { readProfile } from './profile-reader.js';
import type { OnProgress } from './rounds.js';
import { runChild } from './run-child.js';
import { median } from './statistics.js';

/** Steps that a table is fitted to. */
export interface FittedSteps {
  readonly name: string;
  readonly network: () => Network;
  readonly remat: RematName;
  readonly batchSize: number;
}

/** Steps that have kernels of every kind, large and small; together they take less than a minute. */
export const fittedSteps: readonly FittedSteps[] = [
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'none', batchSize: 64 },
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'max', batchSize: 64 },
  { name: 'BC-100', network: () => densenet({ depth: 100 }), remat: 'max', batchSize: 32 },
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'efficient', batchSize: 8 },
  { name: 'densenet121', network: () => densenet({ arch: 'densenet121' }), remat: 'none', batchSize: 4 },
];

/** Steps in a process; the first is left out. */
const steps = 4;

/** The rates that are tried, a second. */
const grid = Array.from({ length: 121 }, (_, index) => 10 ** (8 + index / 20));

/** Kernels that are shorter than so many microseconds say more of the clock than of their work. */
const shortest = 20;

/** A kernel of a profile with what it had to do. */
export interface KernelSample extends Work {
  readonly microseconds: number;
}

/** Steps that were measured. */
export interface MeasuredSteps {
  readonly batchSize: number;
  readonly compiled: Pick<Compiled, 'training'>;
  /** Of a step that isn't profiled; and how much longer than the fastest of them the slowest took, as a factor. */
  readonly stepMs: number;
  readonly spread: number;
  readonly samples: readonly KernelSample[];
}

/** Steps beside what the table says of them. */
export interface FittedRow {
  readonly name: string;
  readonly remat: RematName;
  readonly batchSize: number;
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** The time of the slowest step over that of the fastest: far above 1 where other work ran meanwhile. */
  readonly spread: number;
}

/** A table that was measured, and the steps that it was fitted to. */
export interface MeasuredCosts {
  readonly costs: Costs;
  readonly runs: readonly FittedRow[];
}

/**
 * Measures a table of costs with so many threads: steps are timed and then profiled, each in a process of its own.
 * @param name what the table is to be called
 * @throws FailureError when a process fails
 */
export async function measureCosts(
  name: string,
  threads: number,
  onProgress?: OnProgress,
  runs: readonly FittedSteps[] = fittedSteps,
): Promise<MeasuredCosts> {
  const measured: MeasuredSteps[] = [];
  for (const [index, run] of runs.entries()) {
    measured.push(await measure(run, threads));
    onProgress?.(index + 1, runs.length, `${run.name}, ${run.remat}, batch ${run.batchSize}`);
  }
  const costs = fitCosts(name, measured);
  const target = { ...targets.cpu, costs };
  const rows = runs.map(({ network: _, ...run }, index): FittedRow => {
    const { compiled, stepMs, spread } = measured[index] as MeasuredSteps;
    const predictedMs = stepMicroseconds(compiled.training.nodes, target, run.batchSize) / 1000;
    return { ...run, measuredMs: stepMs, predictedMs, spread };
  });
  return { costs, runs: rows };
}

async function measure({ network, remat, batchSize }: FittedSteps, threads: number): Promise<MeasuredSteps> {
  const built = network();
  const compiled = compile(built, { remat });
  const folder = await temporaryFolder('costs');
  try {
    const bundle = join(folder, 'bundle');
    await writeBundle(bundle, built, compiled);
    const { reason: _, ...session } = sessionChoices.training;
    const request = { kind: 'steps', bundle, batchSize, steps, seed: 0, device: cpu, threads, session } as const;
    const { stepMs } = await runChild(request);
    const profilePrefix = join(folder, 'profile');
    await runChild({ ...request, profilePrefix });
    const profiled = await readProfile(profilePrefix);
    const { graph, names } = compiled.schedules.training;
    const nodes = new Map(
      graph.nodes.flatMap((node) => node.outputs.slice(0, 1).map((value) => [names.get(value), node] as const)),
    );
    const samples = profiled.slice(1).flatMap(({ kernels }) =>
      kernels.flatMap((kernel): KernelSample[] => {
        const node = nodes.get(kernel.name);
        return node ? [{ ...workOf(node, batchSize), microseconds: kernel.duration }] : [];
      }),
    );
    const timed = stepMs.slice(1);
    const spread = Math.max(...timed) / Math.min(...timed);
    return { batchSize, compiled, stepMs: median(timed), spread, samples };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What takes no time on the CPU, or isn't there. */
const unmeasured: ReadonlySet<string> = new Set<KernelKind>(['view', 'gradient']);

/** The rates of a table that were measured, by kind. */
export function measuredRates({ rates }: Costs): Readonly<Record<string, Rate>> {
  return Object.fromEntries(Object.entries(rates).filter(([kind]) => !unmeasured.has(kind)));
}

/** Rates by kind from the profile; the microseconds of a node from what steps take beside their kernels' work. */
export function fitCosts(name: string, measured: readonly MeasuredSteps[]): Costs {
  const kinds = Object.keys(targets.cpu.costs.rates) as KernelKind[];
  const samples = measured.flatMap((run) => run.samples);
  const rates = Object.fromEntries(
    kinds.map((kind) => [
      kind,
      fitRate(
        kind,
        samples.filter((sample) => sample.kind === kind),
      ),
    ]),
  ) as Record<KernelKind, Rate>;
  const free = { ...targets.cpu, costs: { name, nodeUs: 0, rates } };
  const nodeUs = median(
    measured.map(({ compiled, stepMs, batchSize }) => {
      const nodes = compiled.training.nodes.filter(({ operator }) => operator !== 'constant').length;
      return Math.max(0.5, (1000 * stepMs - stepMicroseconds(compiled.training.nodes, free, batchSize)) / nodes);
    }),
  );
  return { name, nodeUs: Number(nodeUs.toPrecision(2)), rates };
}

/** The rates of least absolute error over the samples of one kind. */
function fitRate(kind: KernelKind, found: readonly KernelSample[]): Rate {
  const long = found.filter(({ microseconds }) => microseconds > shortest);
  const samples = long.length > 0 ? long : found;
  if (unmeasured.has(kind)) return { bytesPerSecond: Number.POSITIVE_INFINITY };
  if (samples.length === 0)
    throw new FailureError(`the profiles have no kernel of the kind ${kind}; is the runtime another version?`);
  const computes = samples.some(({ flops }) => flops > 0);
  const best = (error: (rate: number) => number): number =>
    grid.reduce((least, rate) => (error(rate) < error(least) ? rate : least));
  const errorOf = (bytesPerSecond: number, flopsPerSecond: number): number =>
    samples.reduce((sum, { bytes, flops, microseconds }) => {
      const predicted = 1e6 * Math.max(bytes / bytesPerSecond, flops / flopsPerSecond);
      return sum + Math.abs(predicted - microseconds);
    }, 0);
  let flopsPerSecond = Number.POSITIVE_INFINITY;
  let bytesPerSecond = best((rate) => errorOf(rate, flopsPerSecond));
  for (let round = 0; computes && round < 4; round++) {
    flopsPerSecond = best((rate) => errorOf(bytesPerSecond, rate));
    bytesPerSecond = best((rate) => errorOf(rate, flopsPerSecond));
  }
  const rounded = (rate: number): number => Number(rate.toPrecision(2));
  return { bytesPerSecond: rounded(bytesPerSecond), ...(computes && { flopsPerSecond: rounded(flopsPerSecond) }) };
}
