/** @file The average of the weights: an exponential one, as torch.optim.swa_utils.AveragedModel keeps it. */

import type { GraphBuilder, Value } from '../../ir/index.js';
import type { UpdateBuilder } from './update.js';

/**
 * ema ← ema + (1 − decay)·(next − ema) in a step that updates, next itself in the first one, and ema as it is in a step
 * that only accumulates. Whether it has begun is a scalar of the state, 0 or 1.
 */
export class WeightAverage {
  /** The next value of the scalar. */
  readonly begun: Value;
  /** How far the average goes towards the next weights. */
  private readonly take: Value;

  /** @param begun whether a step has updated before */
  constructor(
    begun: Value,
    decay: number,
    private readonly builder: GraphBuilder,
    private readonly update: UpdateBuilder,
  ) {
    const missing = update.sub(1, begun);
    this.take = update.ifUpdating(update.add(missing, update.mul(begun, 1 - decay)));
    this.begun = update.add(begun, update.ifUpdating(missing));
  }

  /** The next average. @param next of what is averaged */
  of(average: Value, next: Value): Value {
    const { builder, update } = this;
    return builder.emit('add', [average, update.mul(update.sub(next, average), this.take)], {});
  }
}
