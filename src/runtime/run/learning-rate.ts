/** @file Learning rates over the course of a run. */

import { type Chosen, count, number, oneOf } from '../../choices.js';
import { RequestError } from '../../ir/index.js';

/** The schedules by name. `progress` is the share of the run that is done, from 0 to 1. */
const factors = {
  /** Divided by 10 at half and again at three quarters of the run. */
  multistep: (progress: number): number => (progress < 0.5 ? 1 : progress < 0.75 ? 0.1 : 0.01),
  /** Down to 0 along half a cosine. */
  cosine: (progress: number): number => (1 + Math.cos(Math.PI * progress)) / 2,
  constant: (): number => 1,
} as const;

type Schedule = keyof typeof factors;

/** The schedules' names. */
const schedules = Object.keys(factors) as [Schedule, ...Schedule[]];

/** How the learning rate goes over a run. */
export const rateChoices = {
  /** Passes over the training images. */
  epochs: count({ name: 'number of epochs', flag: '--epochs <n>', help: 'passes over the training images' }),
  /** The highest learning rate. */
  learningRate: number(
    { name: 'learning rate', flag: '--lr <x>', help: 'highest learning rate' },
    'above 0',
    (value) => value > 0,
  ),
  schedule: oneOf(
    {
      name: 'schedule',
      flag: '--schedule <name>',
      help: 'how the learning rate falls: multistep ÷10 at 50 % and 75 %, cosine to 0, or constant',
    },
    schedules,
  ),
  /** Epochs, or a part of one, over which the rate first rises from near 0; 0 for none. */
  warmup: number(
    {
      name: 'number of warm-up epochs',
      flag: '--warmup <epochs>',
      help: 'epochs over which the learning rate rises from 0, as in 5 or 0.5',
    },
    'at least 0',
    (value) => value >= 0,
  ),
};

/** How the learning rate goes over a run. */
export type RateOptions = Chosen<typeof rateChoices>;

/** Checks that a warm-up fits a run. @throws RequestError */
export function checkWarmup({ warmup, epochs }: Pick<RateOptions, 'warmup' | 'epochs'>): void {
  if (warmup < epochs) return;
  throw new RequestError(`the warm-up takes ${warmup} of ${epochs} epochs; it must be at least 0 and below --epochs`);
}

/**
 * The learning rate of a step. During the warm-up it rises linearly, batch by batch, to the full rate; multistep keeps
 * its steps at half and three quarters of all epochs, cosine falls over the epochs after the warm-up.
 * @param epoch counted from 0
 * @param batch counted from 0 within the epoch
 */
export function learningRateAt(
  { schedule, learningRate, warmup, epochs }: RateOptions,
  { epoch, batch, batches }: { epoch: number; batch: number; batches: number },
): number {
  const done = epoch + batch / batches;
  const rising = done < warmup ? Math.min(1, (done + 1 / batches) / warmup) : 1;
  // The steps of multistep fall on whole epochs, as PyTorch's milestones do; cosine moves with every batch.
  const progress = schedule === 'multistep' ? epoch / epochs : Math.max(0, (done - warmup) / (epochs - warmup));
  return learningRate * rising * factors[schedule](progress);
}
