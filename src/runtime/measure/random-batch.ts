/** @file A batch of noise in a network's shape, for runs of which only time and memory matter. */

import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { taskOf } from '../../builders/losses/index.js';
import { elementCount } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import type { NetworkInput } from '../data/network-data.js';
import { noiseBatch } from '../data/noise.js';

const steps = 2 ** 16;
/** Makes the deviation of a uniform number between −1 and 1 one, as that of normalized images is. */
const scale = Math.sqrt(3);

/** Images with mean about 0 and deviation about 1, and labels, from a seed. */
export function randomBatch({ inputShape, classes, loss }: NetworkInput, batchSize: number, seed: number): Batch {
  const generator = xoroshiro128plus(seed);
  const shape = [batchSize, ...inputShape];
  const images = new Float32Array(elementCount(shape));
  for (let index = 0; index < images.length; index++) {
    images[index] = scale * ((2 * uniformInt(generator, 0, steps)) / steps - 1);
  }
  const random = (): number => uniformInt(generator, 0, steps - 1) / steps;
  return noiseBatch(taskOf(loss), inputShape, images, batchSize, classes, random);
}
