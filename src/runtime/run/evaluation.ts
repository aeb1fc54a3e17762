/** @file Loss, error and metrics over many batches. */

import { FailureError } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import { type Evaluation, Tally } from '../model/metrics/tally.js';
import type { EvaluatedBatch, EvaluationModel } from '../model/model.js';

export type { Evaluation } from '../model/metrics/tally.js';

/**
 * Mean loss, error and the task's metrics over batches.
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

/** A batch, or a process's part of it, and what came of it. */
type EvaluatedPart = readonly [batch: Batch, result: EvaluatedBatch];

/**
 * Evaluates batch by batch and yields how many images are done.
 * @param evaluate a batch, where several processes share them; told how many images are done
 */
export async function* evaluationSteps(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  evaluate?: (batch: Batch, done: number) => Promise<readonly EvaluatedPart[]>,
): AsyncGenerator<number, Evaluation> {
  const tally = new Tally(model.network);
  for await (const batch of batches) {
    const parts = await (evaluate?.(batch, tally.count) ??
      model.evaluate(batch).then((result) => [[batch, result] as const]));
    for (const part of parts) tally.add(...part);
    yield tally.count;
  }
  return tally.result();
}
