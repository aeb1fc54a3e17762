/** @file Loss and error over many batches. */

import { FailureError } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import type { BatchResult, EvaluationModel } from '../model/model.js';

/** Loss and error over a number of images. */
export interface Evaluation {
  /** Mean. */
  readonly loss: number;
  /** Share of misclassified images, 0 to 1. */
  readonly error: number;
  readonly count: number;
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

/**
 * Evaluates batch by batch and yields how many images are done.
 * @param evaluate a batch, where several processes share them; told how many images are done
 */
export async function* evaluationSteps(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  evaluate: (batch: Batch, done: number) => Promise<BatchResult & { readonly images: number }> = async (batch) => ({
    ...(await model.evaluate(batch)),
    images: batch.labels.data.length,
  }),
): AsyncGenerator<number, Evaluation> {
  let [lossSum, errorSum, count] = [0, 0, 0];
  for await (const batch of batches) {
    const { loss, errors, images } = await evaluate(batch, count);
    lossSum += loss * images;
    errorSum += errors;
    count += images;
    yield count;
  }
  return { loss: lossSum / count, error: errorSum / count, count };
}
