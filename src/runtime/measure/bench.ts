/** @file densec bench: time and memory of a bundle's training steps, beside another bundle's or other options. */

import { availableParallelism } from 'node:os';
import { DensecError, RequestError } from '../../ir/index.js';
import { type Bundle, openBundle } from '../bundle/bundle.js';
import { plannedPeak } from '../bundle/replan.js';
import { checkTarget, cpu, type Device, type DeviceOptions, deviceOptionsOf } from '../session/devices.js';
import { describeChoice, optimizationLevels, type SessionChoice, sessionChoices } from '../session/session-choice.js';
import { nodePlaces } from './node-places.js';
import { type ProfileReport, profileSteps } from './profile.js';
import type { StepsMeasurement } from './protocol.js';
import {
  compareRounds,
  measureRounds,
  type OnProgress,
  type StepsRatio,
  type StepsSummary,
  stepsContestant,
  summarize,
} from './rounds.js';

/** What to measure. */
export interface BenchOptions extends DeviceOptions {
  readonly batchSize: number;
  /** Steps in each process; the first is not timed where there are several. */
  readonly steps: number;
  /** Processes for each thing that is measured. */
  readonly rounds: number;
  /** Seed of the batch. */
  readonly seed: number;
  readonly device?: Device;
  readonly threads?: number;
  /** Folder of another bundle to compare with. */
  readonly against?: string | undefined;
  /** Also measures all other session options. */
  readonly sweep?: boolean | undefined;
  /** Also says where the time goes. */
  readonly profile?: boolean | undefined;
  readonly onProgress?: OnProgress;
  /** Told of what can't be said, and why. */
  readonly onNote?: (message: string) => void;
}

/** What is said of a bundle. */
export interface BundleFigures extends StepsSummary {
  readonly directory: string;
  /** Nodes of the training model. */
  readonly nodes: number;
  readonly remat: string;
  /** Live bytes at the planned peak; null for a bundle without a plan that can't be planned again. */
  readonly predictedLivePeakBytes: number | null;
}

/** Figures under other session options than those chosen. */
export interface SweepRow extends SessionChoice, StepsSummary {
  /** Whether these are the options in use. */
  readonly chosen: boolean;
  /** Against the options in use, pair by pair. */
  readonly ratio: StepsRatio;
}

/** Everything that was measured. */
export interface BenchReport extends BundleFigures {
  readonly batchSize: number;
  readonly steps: number;
  readonly rounds: number;
  readonly seed: number;
  readonly threads: number;
  readonly device: string;
  /** The session options that were used, and why these. */
  readonly session: SessionChoice & { readonly reason: string };
  readonly against?: BundleFigures;
  /** This bundle's figures over the other's. */
  readonly ratio?: StepsRatio & { readonly predictedLivePeakBytes: number | null };
  readonly sweep?: readonly SweepRow[];
  readonly profile?: ProfileReport;
}

/** All combinations of options that a sweep measures. */
const alternatives: readonly SessionChoice[] = optimizationLevels.flatMap((optimization) =>
  [false, true].map((memoryPattern) => ({ optimization, memoryPattern })),
);

/**
 * Measures a bundle. Every measurement is a fresh process; all that is compared takes turns.
 * @throws RequestError when the batch is too small or a bundle was built for another device; FailureError when a bundle
 * can't be read or a measurement fails
 */
export async function bench(directory: string, options: BenchOptions): Promise<BenchReport> {
  const { batchSize, steps, rounds, seed, device = cpu, threads = availableParallelism(), onProgress } = options;
  const bundle = await openBundle(directory);
  const other = options.against === undefined ? undefined : await openBundle(options.against);
  for (const each of other ? [bundle, other] : [bundle]) checkRequest(each, batchSize, device);

  const request = {
    bundle: directory,
    batchSize,
    steps,
    seed,
    device,
    threads,
    session: chosen,
    ...deviceOptionsOf(options),
  };
  const others = options.sweep ? alternatives.filter((choice) => !isChosen(choice)) : [];
  const later = options.profile ? 1 : 0;
  const [own = [], ...rest] = await measureRounds(
    [
      stepsContestant(directory, request),
      ...(other ? [stepsContestant(other.directory, { ...request, bundle: other.directory })] : []),
      ...others.map((session) => stepsContestant(describeChoice(session), { ...request, session })),
    ],
    rounds,
    (done, total, what) => onProgress?.(done, total + later, what),
  );
  const figures = describe(bundle, own, options);
  const theirs = other ? rest.shift() : undefined;
  const profile = options.profile ? await profileSteps(request, nodePlaces(bundle)) : undefined;
  return {
    ...figures,
    batchSize,
    steps,
    rounds,
    seed,
    threads,
    device: device.target === 'cuda' ? `cuda:${device.index}` : device.target,
    session: sessionChoices.training,
    ...(other && theirs && compareBundles(figures, own, describe(other, theirs, options), theirs)),
    ...(options.sweep && { sweep: sweepRows(own, others, rest) }),
    ...(profile && { profile }),
  };
}

const { reason: _, ...chosen } = sessionChoices.training;

function isChosen({ optimization, memoryPattern }: SessionChoice): boolean {
  return optimization === chosen.optimization && memoryPattern === chosen.memoryPattern;
}

function checkRequest({ directory, manifest }: Bundle, batchSize: number, device: Device): void {
  checkTarget(manifest.target, device);
  if (batchSize >= manifest.leastBatchSize) return;
  throw new RequestError(
    `--batch-size ${batchSize} is too small: ${directory} needs at least ${manifest.leastBatchSize} images, since batch normalization over one value a channel has no variance`,
  );
}

function describe(bundle: Bundle, rounds: readonly StepsMeasurement[], options: BenchOptions): BundleFigures {
  const { directory, manifest } = bundle;
  const summary = summarize(rounds);
  if (summary.peakGrowthBytes === null) {
    options.onNote?.(
      'how far the process grew is not available: this system has no high-water mark that can be reset (Linux has)',
    );
  }
  return {
    directory,
    nodes: manifest.models.training.nodes,
    remat: manifest.remat,
    ...summary,
    predictedLivePeakBytes: predictLivePeak(bundle, options),
  };
}

function predictLivePeak(bundle: Bundle, { batchSize, onNote }: BenchOptions): number | null {
  try {
    return plannedPeak(bundle, batchSize);
  } catch (error) {
    // A bundle without a plan that this version can't plan again can still be measured.
    if (!(error instanceof DensecError)) throw error;
    onNote?.(`the predicted live peak is not available: ${error.message}`);
    return null;
  }
}

function compareBundles(
  figures: BundleFigures,
  own: readonly StepsMeasurement[],
  against: BundleFigures,
  theirs: readonly StepsMeasurement[],
): Required<Pick<BenchReport, 'against' | 'ratio'>> {
  const [mine, other] = [figures.predictedLivePeakBytes, against.predictedLivePeakBytes];
  const predictedLivePeakBytes = mine !== null && other !== null ? mine / other : null;
  return { against, ratio: { ...compareRounds(own, theirs), predictedLivePeakBytes } };
}

function sweepRows(
  own: readonly StepsMeasurement[],
  others: readonly SessionChoice[],
  measured: readonly (readonly StepsMeasurement[])[],
): SweepRow[] {
  return alternatives.map((choice) => {
    const rounds = isChosen(choice) ? own : (measured[others.indexOf(choice)] ?? []);
    return { ...choice, chosen: isChosen(choice), ...summarize(rounds), ratio: compareRounds(rounds, own) };
  });
}
