/** @file Measures several things round by round, A B A B …, and sums up what each round said. */

import { watchCardMemory } from '../session/cuda/nvml.js';
import type { ArenaBytes, RuntimeFacts } from '../session/model-session.js';
import type { StepsMeasurement, StepsRequest } from './protocol.js';
import { runChild } from './run-child.js';
import { median, medianOrNull, medianRatio, type Spread } from './statistics.js';

/** Told after each measurement how many are done. */
export type OnProgress = (done: number, total: number, what: string) => void;

/** One of the things that take turns. */
export interface Contestant<T> {
  readonly name: string;
  measure(): Promise<T>;
}

/** The measurements of each contestant, one a round. @throws what a measurement throws */
export async function measureRounds<T>(
  contestants: readonly Contestant<T>[],
  rounds: number,
  onProgress: OnProgress = () => undefined,
): Promise<T[][]> {
  const results: T[][] = contestants.map(() => []);
  let done = 0;
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name, measure }] of contestants.entries()) {
      results[index]?.push(await measure());
      onProgress(++done, rounds * contestants.length, name);
    }
  }
  return results;
}

/** A contestant whose steps are measured in a process of its own. */
export function stepsContestant(name: string, request: Omit<StepsRequest, 'kind'>): Contestant<StepsMeasurement> {
  return { name, measure: () => measureInChild(request) };
}

/** Measures steps in a process of its own, and on CUDA watches the card's memory meanwhile. */
export async function measureInChild(request: Omit<StepsRequest, 'kind'>): Promise<StepsMeasurement> {
  const { device } = request;
  const watched = device.target === 'cuda' ? watchCardMemory(device.index) : undefined;
  const measured = await runChild({ kind: 'steps', ...request });
  return device.target === 'cuda' ? { ...measured, cardPeakBytes: watched?.() ?? null } : measured;
}

/** What several rounds said of one thing. */
export interface StepsSummary {
  /** Milliseconds of a step: the median over rounds of each round's median, and the extremes of all steps. */
  readonly stepMs: Spread;
  /** Median over rounds of the bytes by which the process grew; null where the system can't tell. */
  readonly peakGrowthBytes: number | null;
  /** Median over rounds of the milliseconds to load the model. */
  readonly sessionMs: number;
  /** Loss before the first step. */
  readonly firstLoss: number | null;
  /** Medians over rounds of what the arena of the device handed out at most and took; null where it can't be asked. */
  readonly arena: ArenaBytes | null;
  /** Most bytes in use on the card above those before; absent on the CPU, null where the card can't be asked. */
  readonly deviceMemory?: { readonly peakBytes: number } | null;
  /** How the runtime was reached. */
  readonly runtime: RuntimeFacts;
}

/** How one thing compares with another; below 1 is less. */
export interface StepsRatio {
  readonly stepMs: number | null;
  readonly peakGrowthBytes: number | null;
  readonly sessionMs: number | null;
}

/** Sums up the rounds of one contestant. */
export function summarize(rounds: readonly StepsMeasurement[]): StepsSummary {
  const steps = rounds.flatMap(timedSteps);
  return {
    stepMs: {
      median: median(rounds.map((round) => median(timedSteps(round)))),
      min: Math.min(...steps),
      max: Math.max(...steps),
    },
    peakGrowthBytes: medianOrNull(rounds.map(({ peakGrowthBytes }) => peakGrowthBytes)),
    sessionMs: median(rounds.map(({ sessionMs }) => sessionMs)),
    firstLoss: finiteOrNull(rounds[0]?.losses[0]),
    arena: arenaOf(rounds),
    ...deviceMemoryOf(rounds),
    runtime: (rounds[0] as StepsMeasurement).runtime,
  };
}

/** Compares two contestants pair by pair: the median over rounds of the ratio within a round. */
export function compareRounds(a: readonly StepsMeasurement[], b: readonly StepsMeasurement[]): StepsRatio {
  const ratio = (figure: (round: StepsMeasurement) => number | null): number | null =>
    medianRatio(a.map(figure), b.map(figure));
  return {
    stepMs: ratio((round) => median(timedSteps(round))),
    peakGrowthBytes: ratio(({ peakGrowthBytes }) => peakGrowthBytes),
    sessionMs: ratio(({ sessionMs }) => sessionMs),
  };
}

function arenaOf(rounds: readonly StepsMeasurement[]): ArenaBytes | null {
  const peakBytes = medianOrNull(rounds.map(({ arena }) => arena?.peakBytes ?? null));
  const reservedBytes = medianOrNull(rounds.map(({ arena }) => arena?.reservedBytes ?? null));
  return peakBytes === null || reservedBytes === null ? null : { peakBytes, reservedBytes };
}

function deviceMemoryOf(rounds: readonly StepsMeasurement[]): Pick<StepsSummary, 'deviceMemory'> {
  if (rounds.every(({ cardPeakBytes }) => cardPeakBytes === undefined)) return {};
  const peakBytes = medianOrNull(rounds.map(({ cardPeakBytes }) => cardPeakBytes ?? null));
  return { deviceMemory: peakBytes === null ? null : { peakBytes } };
}

/** The steps that count: the first one of several takes the memory that the others find. */
function timedSteps({ stepMs }: StepsMeasurement): readonly number[] {
  return stepMs.length > 1 ? stepMs.slice(1) : stepMs;
}

function finiteOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
