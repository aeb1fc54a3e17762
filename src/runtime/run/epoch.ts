/** @file How an epoch is cut into batches and updates, and what its steps add up to. */

import type { Task } from '../../step/tasks.js';
import { scores } from '../model/metrics/index.js';
import type { Evaluation } from '../model/metrics/tally.js';
import type { BatchPart, BatchResult } from '../model/model.js';
import type { EpochRecord } from '../report/history.js';
import type { Progress } from './checkpoint.js';

/** The batches of an epoch. */
export interface EpochBatches {
  /** Training images. */
  readonly images: number;
  readonly batchSize: number;
  /** Batches that are trained with: a last one that is too small for batch norm doesn't count. */
  readonly count: number;
}

/** The images of a batch. */
export function imagesOf({ images, batchSize }: EpochBatches, batch: number): number {
  return Math.min(batchSize, images - batch * batchSize);
}

/** @param leastBatchSize the smallest batch that the network takes */
export function epochBatches(images: number, batchSize: number, leastBatchSize: number): EpochBatches {
  const whole = Math.floor(images / batchSize);
  const count = images % batchSize >= Math.max(1, leastBatchSize) ? whole + 1 : whole;
  return { images, batchSize, count };
}

/**
 * A batch's part in its update, by images: every image of an update counts the same.
 * @param accumulate batches of an update; an epoch's last update takes those that are left
 */
export function batchPart({ images, batchSize, count }: EpochBatches, batch: number, accumulate: number): BatchPart {
  const first = batch - (batch % accumulate);
  const end = Math.min(first + accumulate, count);
  const imagesOf = (from: number, to: number): number => Math.min(to * batchSize, images) - from * batchSize;
  return { share: imagesOf(batch, batch + 1) / imagesOf(first, end), last: batch + 1 === end };
}

/** Progress after one more batch. */
export function withBatch(progress: Progress, result: BatchResult, images: number, stepMs: number): Progress {
  return {
    ...progress,
    batch: progress.batch + 1,
    step: progress.step + 1,
    lossSum: progress.lossSum + result.loss * images,
    errorSum: progress.errorSum + result.errors,
    imageCount: progress.imageCount + images,
    normSum: progress.normSum + (result.gradientNorm ?? 0),
    normCount: progress.normCount + (result.gradientNorm === undefined ? 0 : 1),
    seconds: progress.seconds + stepMs / 1000,
  };
}

/** The epoch in progress as the curves tell it. @param valid of the validation, where there is one */
export function epochRecord(
  { epoch, batch, lossSum, errorSum, imageCount, normSum, normCount, seconds }: Progress,
  learningRate: number,
  valid: Evaluation | undefined,
): EpochRecord {
  return {
    epoch: epoch + 1,
    learningRate,
    trainLoss: lossSum / imageCount,
    trainError: errorSum / imageCount,
    validLoss: valid?.loss,
    validError: valid?.error,
    ...(valid && isNamed(valid.metrics.summary) && { validMetrics: valid.metrics.summary }),
    ...(normCount > 0 && { gradientNorm: normSum / normCount }),
    seconds,
    batches: batch,
  };
}

function isNamed(summary: Readonly<Record<string, number>>): boolean {
  return Object.keys(summary).length > 0;
}

/** What an epoch's weights are chosen by, less being better: of the validation, or of the training where there is none. */
export function scoreOf(
  task: Task,
  { trainLoss, trainError, validLoss, validError, validMetrics }: EpochRecord,
): number {
  return scores[task].of({ loss: validLoss ?? trainLoss, error: validError ?? trainError, summary: validMetrics });
}

/** Whether a score is better than the best so far; one that is no number is never, and anything is better than such. */
export function isBetter(score: number, best: Progress['best']): boolean {
  return best === undefined || (!Number.isNaN(score) && !(score >= best.error));
}

/**
 * Progress at the beginning of the next epoch.
 * @param best whether the epoch's weights are the best so far
 * @param score what they are chosen by
 */
export function withEpoch(progress: Progress, record: EpochRecord, best: boolean, score: number): Progress {
  return {
    ...progress,
    epoch: record.epoch,
    batch: 0,
    lossSum: 0,
    errorSum: 0,
    imageCount: 0,
    normSum: 0,
    normCount: 0,
    seconds: 0,
    epochs: [...progress.epochs, record],
    best: best ? { epoch: record.epoch, error: score } : progress.best,
  };
}
