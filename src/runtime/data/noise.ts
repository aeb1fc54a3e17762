/** @file Labels and targets that mean nothing, for runs of which only time, memory or repetition matter. */

import { floatTensor } from '../../ir/index.js';
import type { Task } from '../../step/tasks.js';
import { type Batch, createBatch } from './batches.js';

/** A number of each output, from a random number from 0 to 1. */
const targetOf: Readonly<Record<Exclude<Task, 'classes'>, (random: number) => number>> = {
  labels: Math.round,
  values: (random) => 2 * random - 1,
};

/**
 * A batch of noise.
 * @param sample shape of one image
 * @param outputs how many the network has
 * @param random numbers from 0 to 1, asked for as many times as there are labels or targets
 */
export function noiseBatch(
  task: Task,
  sample: readonly number[],
  images: Float32Array,
  count: number,
  outputs: number,
  random: () => number,
): Batch {
  if (task === 'classes') {
    const labels = Array.from({ length: count }, () => Math.floor(random() * outputs) % outputs);
    return createBatch(sample, images, labels);
  }
  const numbers = Array.from({ length: count * outputs }, () => targetOf[task](random()));
  return createBatch(sample, images, floatTensor([count, outputs], numbers));
}
