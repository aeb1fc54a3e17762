/** @file The tensors a network's state begins with. */

import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { elementCount, type FloatTensor, floatTensor, type Initializer } from '../ir/index.js';

/**
 * A tensor drawn from an initializer. It depends on the seed and the tensor's name only, not on the order in which
 * a network's tensors are made.
 */
export function initialize(
  initializer: Initializer,
  shape: readonly number[],
  seed: number,
  name: string,
): FloatTensor {
  const data = new Float32Array(elementCount(shape));
  if (initializer.kind === 'constant') return floatTensor(shape, data.fill(initializer.value));
  const uniform = uniformSource(seed, name);
  for (let index = 0; index < data.length; index++) {
    data[index] =
      initializer.kind === 'normal' ? initializer.deviation * normal(uniform) : (2 * uniform() - 1) * initializer.bound;
  }
  return floatTensor(shape, data);
}

/** Numbers in (0, 1) from a stream of their own for each name. */
function uniformSource(seed: number, name: string): () => number {
  let mixed = seed | 0;
  for (let index = 0; index < name.length; index++)
    mixed = Math.imul(mixed ^ name.charCodeAt(index), 0x5bd1e995) ^ (mixed >>> 13);
  const generator = xoroshiro128plus(mixed);
  return () => ((generator.next() >>> 0) + 0.5) / 2 ** 32;
}

/** Box–Muller, its first branch. */
function normal(uniform: () => number): number {
  return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
