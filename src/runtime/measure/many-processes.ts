/** @file What a step of many processes will take, by the plan of its model and the costs of its target. */

import type { Compiled } from '../../compile.js';
import { bytesPerElement, elementCount, RequestError } from '../../ir/index.js';
import { planMemory } from '../../memory/plan.js';
import { stepMicroseconds, targetOf } from '../../targets/index.js';

/** What lies between two processes. */
export interface Link {
  readonly bytesPerSecond: number;
  /** Microseconds that any message takes. */
  readonly latencyUs: number;
}

/** Microseconds that a message takes between hosts, unless told: Ethernet with TCP; InfiniBand takes a tenth of it. */
export const defaultLatencyUs = 20;

/** A step of so many processes. */
export interface ProcessesForecast {
  readonly processes: number;
  /** Images of a step, over all. */
  readonly images: number;
  /** What a process computes, by the cost table of the target. */
  readonly computeMs: number;
  /** What its sums over all processes take, if nobody waits for a slower one. */
  readonly sumsMs: number;
  readonly stepMs: number;
  /** Images a second over those that so many processes without a link between them would do, from 0 to 1. */
  readonly efficiency: number;
}

/** A step of many processes, and what they have in common. */
export interface ManyProcesses {
  readonly link: Link;
  /** Sums over all processes in a step, and the bytes that they take together. */
  readonly sums: number;
  readonly sumBytes: number;
  /** Most bytes alive at once in the step of a process. */
  readonly livePeakBytes: number;
  readonly forecasts: readonly ProcessesForecast[];
}

/**
 * Predicts steps of 1, 2, 4, … and `most` processes.
 * @param compiled for several processes
 * @param batchSize of a process
 */
export function forecastProcesses(compiled: Compiled, batchSize: number, most: number, link: Link): ManyProcesses {
  if (!compiled.processes) throw new RequestError('the step is for one process; compile it with processes: true');
  const { order } = compiled.schedules.training;
  const nodes = order.map(({ node }) => node);
  const sums = nodes.filter(({ operator }) => operator === 'allReduce');
  const sizes = sums.map(
    ({ inputs: [x] }) => bytesPerElement.float32 * elementCount((x?.type.shape ?? []) as number[]),
  );
  const others = nodes.filter(({ operator }) => operator !== 'allReduce');
  const computeMs =
    stepMicroseconds(others, targetOf(compiled.target, compiled.kernels, compiled.costs), batchSize) / 1000;
  const forecasts = countsUpTo(most).map((processes): ProcessesForecast => {
    const sumsMs = sizes.reduce((total, bytes) => total + sumMilliseconds(bytes, processes, link), 0);
    const stepMs = computeMs + sumsMs;
    return { processes, images: processes * batchSize, computeMs, sumsMs, stepMs, efficiency: computeMs / stepMs };
  });
  const sumBytes = sizes.reduce((total, bytes) => total + bytes, 0);
  const { peakBytes } = planMemory(compiled.schedules.training, batchSize);
  return { link, sums: sums.length, sumBytes, livePeakBytes: peakBytes, forecasts };
}

/**
 * How long a sum over n processes takes: as a ring, in which each sends 2·(n − 1) parts of the n-th part of the bytes, or as a
 * tree, in which all bytes go 2·⌈log₂ n⌉ times over a link; the faster of the two, as an MPI chooses by the size.
 */
export function sumMilliseconds(bytes: number, processes: number, { bytesPerSecond, latencyUs }: Link): number {
  if (processes < 2) return 0;
  const messages = { ring: 2 * (processes - 1), tree: 2 * Math.ceil(Math.log2(processes)) };
  const micros = (count: number, each: number): number => count * (latencyUs + (1e6 * each) / bytesPerSecond);
  return Math.min(micros(messages.ring, bytes / processes), micros(messages.tree, bytes)) / 1000;
}

function countsUpTo(most: number): readonly number[] {
  const counts: number[] = [];
  for (let count = 1; count < most; count *= 2) counts.push(count);
  return [...counts, most];
}
