/** @file Loss and error over many batches. */

import { FailureError } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import type { BatchResult, EvaluationModel } from '../model/model.js';
import { Confusion } from '../report/confusion.js';

/** Loss and error over a number of images. */
export interface Evaluation {
  /** Mean. */
  readonly loss: number;
  /** Share of misclassified images, 0 to 1. */
  readonly error: number;
  readonly count: number;
  /** Which classes were taken for which. */
  readonly confusion: Confusion;
}

/**
 * Mean loss and share of errors over batches.
 * @param progress told how many images are done
 * @throws FailureError when there is no batch
 */
export async function evaluateBatches(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  progress?: (done: number) => void,
): Promise<Evaluation> {
  const steps = evaluationSteps(model, batches);
  let measured = await steps.next();
  while (!measured.done) {
    progress?.(measured.value);
    measured = await steps.next();
  }
  if (measured.value.count === 0) throw new FailureError('there are no images to evaluate; give at least one batch');
  return measured.value;
}

/** Evaluates batch by batch and yields how many images are done. */
export async function* evaluationSteps(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
): AsyncGenerator<number, Evaluation> {
  let [lossSum, errorSum, count] = [0, 0, 0];
  const confusion = new Confusion(model.classes);
  for await (const batch of batches) {
    const { loss, errors, predicted = [] }: BatchResult = await model.evaluate(batch, { predictions: true });
    const images = batch.labels.data.length;
    lossSum += loss * images;
    errorSum += errors;
    count += images;
    for (const [at, label] of batch.labels.data.entries()) confusion.add(Number(label), predicted[at] as number);
    yield count;
  }
  return { loss: lossSum / count, error: errorSum / count, count, confusion };
}
