/** @file How much memory a training step will take, against what is free. */

import type { Compiled } from '../../compile.js';
import { addPeaks, largestBatch, type PeakLine } from '../../memory/peak-lines.js';
import { planMemory } from '../../memory/plan.js';
import { targets } from '../../targets/index.js';
import type { DataMemory } from '../data/memory.js';

/** A run's memory by the plan of its step. */
export interface MemoryForecast {
  readonly batchSize: number;
  /** Most bytes alive at once in a training step. */
  readonly livePeakBytes: number;
  /** What the process will about grow by, for training, evaluation and the batches they take. */
  readonly processBytes: number;
  /** The part of it that data takes: batches that wait, threads that prepare them. */
  readonly dataBytes: number;
  /** What is known of the data. */
  readonly data: DataMemory;
  /** The node that runs at the peak, and where in the order that is, from 0 to 1. */
  readonly peakAt: string;
  readonly peakPosition: number;
  /** Where in the order the backward pass begins, from 0 to 1. */
  readonly backwardPosition: number;
  /** Live bytes over the step: the most in each of at most `timelinePoints` equal parts of the order. */
  readonly timeline: readonly number[];
}

const timelinePoints = 480;

/** The forecast for a compiled network on some data. */
export function forecastMemory(
  { schedules: { training, evaluation }, target }: Pick<Compiled, 'schedules' | 'target'>,
  batchSize: number,
  data: DataMemory,
): MemoryForecast {
  const dataBytes = data.fixedBytes + data.batches * batchSize * data.imageBytes;
  const { peakBytes, peakAt, timeline, order } = planMemory(training, batchSize);
  const { factor, sessionBytes } = targets[target].arena;
  // Training and evaluation have a session each, and neither's arena shrinks.
  const evaluating = planMemory(evaluation, batchSize).peakBytes;
  const last = Math.max(1, order.length - 1);
  return {
    batchSize,
    livePeakBytes: peakBytes,
    processBytes: Math.round(sessionBytes + factor * (peakBytes + evaluating) + dataBytes),
    dataBytes,
    data,
    peakAt: order[peakAt] ?? '',
    peakPosition: peakAt / last,
    backwardPosition:
      Math.max(
        0,
        training.order.findIndex(({ node }) => node.origin.phase === 'backward'),
      ) / last,
    timeline: peaksOfParts(timeline, timelinePoints),
  };
}

/** The forecast of the process over the batch size: the largest of the lines. */
export function processLines(
  { schedules: { training, evaluation }, target }: Pick<Compiled, 'schedules' | 'target'>,
  data: DataMemory,
): readonly PeakLine[] {
  const { factor, sessionBytes } = targets[target].arena;
  return addPeaks(training.livePeak, evaluation.livePeak).map(({ fixed, perSample }) => ({
    fixed: sessionBytes + factor * fixed + data.fixedBytes,
    perSample: factor * perSample + data.batches * data.imageBytes,
  }));
}

/**
 * The largest batch size whose forecast fits, or 0.
 * @param forecast one that doesn't fit
 * @param bytes what is free
 */
export function fittingBatchSize(
  compiled: Pick<Compiled, 'schedules' | 'target'>,
  { data }: Pick<MemoryForecast, 'data'>,
  bytes: number,
): number {
  return largestBatch(processLines(compiled, data), bytes);
}

function peaksOfParts(values: readonly number[], parts: number): number[] {
  const count = Math.min(parts, values.length);
  return Array.from({ length: count }, (_, part) => {
    const from = Math.floor((part * values.length) / count);
    const to = Math.floor(((part + 1) * values.length) / count);
    return values.slice(from, to).reduce((most, value) => Math.max(most, value), 0);
  });
}
