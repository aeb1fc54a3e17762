/** @file Loss, error and metrics over many batches. */

import { type LossOptions, taskOf } from '../../../builders/losses/index.js';
import type { FloatTensor } from '../../../ir/index.js';
import type { Batch } from '../../data/batches.js';
import type { EvaluatedBatch } from '../model.js';
import { Confusion } from './confusion.js';
import { type Meter, type Metrics, meters } from './index.js';

/** What an evaluation of a number of images comes to. */
export interface Evaluation {
  /** Mean over the images; with class weights divided by the sum of the images' weights, as if all were one batch. */
  readonly loss: number;
  /**
   * The share of misclassified images, 0 to 1; with other losses the share of wrong labels, or the mean absolute error.
   */
  readonly error: number;
  readonly count: number;
  /** What else the task has measured. */
  readonly metrics: Metrics;
  /** Which classes were taken for which; only of classes. */
  readonly confusion?: Confusion | undefined;
}

/** Adds up evaluated batches. */
export class Tally {
  private readonly meter: Meter;
  private lossSum = 0;
  private weightSum = 0;
  private errorSum = 0;
  private images = 0;
  private readonly confusion: Confusion | undefined;

  /** @param network what it is trained by, and how many outputs it has */
  constructor(private readonly network: { readonly loss: LossOptions; readonly classes: number }) {
    const task = taskOf(network.loss);
    this.meter = meters[task](network.classes);
    this.confusion = task === 'classes' ? new Confusion(network.classes) : undefined;
  }

  /** How many images have been added. */
  get count(): number {
    return this.images;
  }

  add(batch: Batch, { loss, errors, logits }: EvaluatedBatch): void {
    const weight = lossWeight(this.network.loss, batch);
    this.lossSum += loss * weight;
    this.weightSum += weight;
    this.errorSum += errors;
    this.images += batch.labels.data.length;
    this.meter.add(logits.data, (batch.targets ?? batch.labels).data);
    if (!this.confusion) return;
    const predicted = largestOf(logits);
    for (const [at, label] of batch.labels.data.entries()) this.confusion.add(Number(label), predicted[at] as number);
  }

  result(): Evaluation {
    const { lossSum, weightSum, errorSum, images: count } = this;
    return {
      loss: lossSum / weightSum,
      error: errorSum / count,
      count,
      metrics: this.meter.metrics(),
      confusion: this.confusion,
    };
  }
}

/** What a batch's mean loss weighs among others: its images, or the sum of their classes' weights. */
function lossWeight(loss: LossOptions, { labels }: Batch): number {
  const weights = loss.kind === 'cross-entropy' ? loss.classWeights : undefined;
  if (!weights) return labels.data.length;
  return labels.data.reduce((sum, label) => sum + (weights[Number(label)] ?? 0), 0);
}

/** The position of the largest number of each row, the first of equal ones. */
function largestOf({ shape: [rows = 0, columns = 0], data }: FloatTensor): number[] {
  return Array.from({ length: rows }, (_, row) => {
    let largest = 0;
    for (let at = 1; at < columns; at++) {
      if ((data[row * columns + at] as number) > (data[row * columns + largest] as number)) largest = at;
    }
    return largest;
  });
}
