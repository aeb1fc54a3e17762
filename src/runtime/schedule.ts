/** @file Learning rates over the course of a run. */

import { RequestError } from '../ir/index.js';

/** The schedules by name. `progress` is the share of the run that is done, from 0 to 1. */
const factors = {
  /** Divided by 10 at half and again at three quarters of the run. */
  multistep: (progress: number): number => (progress < 0.5 ? 1 : progress < 0.75 ? 0.1 : 0.01),
  /** Down to 0 along half a cosine. */
  cosine: (progress: number): number => (1 + Math.cos(Math.PI * progress)) / 2,
  constant: (): number => 1,
} as const;

export type Schedule = keyof typeof factors;

/** A schedule by name. @throws RequestError when there is none */
export function parseSchedule(name: string): Schedule {
  if (Object.hasOwn(factors, name)) return name as Schedule;
  throw new RequestError(`there is no schedule ${name}; choose one of ${Object.keys(factors).join(', ')}`);
}

/**
 * The learning rate of a step.
 * @param epoch counted from 0
 * @param batch counted from 0 within the epoch
 */
export function learningRateAt(
  schedule: Schedule,
  base: number,
  { epoch, batch, epochs, batches }: { epoch: number; batch: number; epochs: number; batches: number },
): number {
  // The steps of multistep fall on whole epochs, as PyTorch's milestones do; cosine moves with every batch.
  const done = schedule === 'multistep' ? epoch : epoch + batch / batches;
  return base * factors[schedule](done / epochs);
}
