/** @file Loss, error and metrics over many batches. */

import { type LossOptions, taskOf } from '../../../builders/losses/index.js';
import type { Batch } from '../../data/batches.js';
import type { EvaluatedBatch } from '../model.js';
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
}

/** Adds up evaluated batches. */
export class Tally {
  private readonly meter: Meter;
  private lossSum = 0;
  private weightSum = 0;
  private errorSum = 0;
  private images = 0;

  /** @param network what it is trained by, and how many outputs it has */
  constructor(private readonly network: { readonly loss: LossOptions; readonly classes: number }) {
    this.meter = meters[taskOf(network.loss)](network.classes);
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
  }

  result(): Evaluation {
    const { lossSum, weightSum, errorSum, images: count } = this;
    return { loss: lossSum / weightSum, error: errorSum / count, count, metrics: this.meter.metrics() };
  }
}

/** What a batch's mean loss weighs among others: its images, or the sum of their classes' weights. */
function lossWeight(loss: LossOptions, { labels }: Batch): number {
  const weights = loss.kind === 'cross-entropy' ? loss.classWeights : undefined;
  if (!weights) return labels.data.length;
  return labels.data.reduce((sum, label) => sum + (weights[Number(label)] ?? 0), 0);
}
