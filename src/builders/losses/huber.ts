/** @file Huber's loss (torch.nn.HuberLoss): squares of small differences, the size of large ones. */

import { number } from '../../choices.js';
import { aNumber, checkOptions, type Kinds } from '../../ir/index.js';
import type { Tensor } from '../tensor.js';
import { differences, magnitude, mean } from './arithmetic.js';
import { defineLoss } from './definition.js';

/** What Huber's loss may be told. */
export interface HuberOptions {
  /** Where squares end, in the targets' unit; 1 unless told. */
  readonly delta?: number | undefined;
}

const kinds: Kinds<HuberOptions> = { delta: aNumber };

/**
 * Mean over samples and values, both (N, K), of ½d² where |d| ≤ delta and of delta·(|d| − ½·delta) elsewhere. With
 * m = min(|d|, delta) both are m·(|d| − ½m).
 */
export function huber(predictions: Tensor, targets: Tensor, given: HuberOptions = {}): Tensor {
  const { delta = 1 } = checkOptions('huber', given, kinds);
  const difference = differences('huber', predictions, targets);
  const { builder } = predictions;
  const size = magnitude(builder, difference);
  const beyond = builder.emit('relu', [builder.emit('sub', [size, builder.scalar(delta)], {})], {});
  const capped = builder.emit('sub', [size, beyond], {});
  const rest = builder.emit('sub', [size, builder.emit('mul', [capped, builder.scalar(0.5)], {})], {});
  return predictions.with(mean(builder, builder.emit('mul', [capped, rest], {})));
}

export const huberLoss = defineLoss({
  task: 'values',
  choices: {
    /** Where squares end, in the targets' unit. */
    delta: number(
      { name: 'delta', flag: '--huber-delta <x>', help: "difference up to which it is squared, in the targets' unit" },
      'above 0',
      (value) => value > 0,
    ),
  },
  defaults: { delta: 1 },
  trace: huber,
  words: {
    help: 'squares of small differences of numbers, the size of large ones',
    report: ({ delta }) => ['Huber loss', `delta ${delta}`],
  },
});
