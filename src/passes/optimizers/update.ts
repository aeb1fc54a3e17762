/** @file The arithmetic that optimizers share: weight decay, averages, and steps that only accumulate gradients. */

import type { GraphBuilder, SlotRole, Value } from '../../ir/index.js';
import { accumulationInputs, learningRateInput } from '../../step/interface.js';

/** A parameter, or a segment of them, that is updated. */
export interface Parameter {
  readonly value: Value;
  /** Of the loss, the mean of the batches since the last update. */
  readonly gradient: Value;
  /** Its weight decay; 0 where decay doesn't reach it. */
  readonly decay: number;
  /** What is kept of it. */
  slot(role: SlotRole): Value;
  /** What a corrected slot's next value is divided by. */
  weight(role: SlotRole): Value;
}

/** Next values. */
export interface Updated {
  readonly value: Value;
  /** Of each slot. */
  readonly slots: Readonly<Partial<Record<SlotRole, Value>>>;
}

/** Scalars by which a graph that accumulates tells an updating step from another. */
interface Accumulation {
  readonly share: Value;
  /** 1 or 0. */
  readonly apply: Value;
  /** 1 − apply. */
  readonly wait: Value;
}

/**
 * Appends the nodes of an update. Where gradients accumulate, the scalar `apply` is 0 in a step that doesn't update; then
 * the learning rate is 0 and `average` gives the average itself, so everything stays as it is, bit for bit.
 */
export class UpdateBuilder {
  /** The learning rate; 0 in a step that only accumulates. */
  readonly rate: Value;
  private readonly accumulation: Accumulation | undefined;

  /** @param accumulate batches whose mean gradient makes an update */
  constructor(
    private readonly builder: GraphBuilder,
    accumulate: number,
  ) {
    const rate = this.scalarInput(learningRateInput);
    this.accumulation = accumulate > 1 ? this.accumulationScalars() : undefined;
    this.rate = this.accumulation ? this.mul(rate, this.accumulation.apply) : rate;
  }

  /** The gradient with what weight decay adds to it, decay · parameter. */
  decayed({ value, gradient, decay }: Parameter): Value {
    const added = decay > 0 ? this.mul(value, decay) : undefined;
    return added ? this.add(gradient, added) : gradient;
  }

  /** keep · average + take · sample; the average itself in a step that only accumulates. */
  average(average: Value, keep: number, sample: Value, take: number): Value {
    if (!this.accumulation) return this.add(this.mul(average, keep), take === 1 ? sample : this.mul(sample, take));
    const { apply, wait } = this.accumulation;
    const factor = this.add(this.mul(apply, keep), wait);
    return this.add(this.mul(average, factor), this.mul(sample, take === 1 ? apply : this.mul(apply, take)));
  }

  /** The next sum of the weights behind an average that keeps the share `keep` of itself, and what to divide that by. */
  weight(sum: Value, keep: number): { readonly next: Value; readonly divisor: Value } {
    const next = this.average(sum, keep, this.builder.scalar(1), 1 - keep);
    // Before the first update it is 0, and a step that only accumulates must not divide by that.
    return { next, divisor: this.accumulation ? this.add(next, this.accumulation.wait) : next };
  }

  /**
   * The mean gradient of the batches since the last update. Where they accumulate, also what the next step goes on with:
   * the same until the update, then 0.
   * @param accumulated makes the input that has the sum of the batches before
   */
  meanGradient(gradient: Value, accumulated: () => Value): { readonly mean: Value; readonly next?: Value } {
    if (!this.accumulation) return { mean: gradient };
    const { share, wait } = this.accumulation;
    const mean = this.add(accumulated(), this.mul(gradient, share));
    return { mean, next: this.mul(mean, wait) };
  }

  /** A scalar that is 0 in a step that only accumulates, and itself in others. */
  ifUpdating(scalar: Value): Value {
    return this.accumulation ? this.mul(scalar, this.accumulation.apply) : scalar;
  }

  /** value − step. */
  descend(value: Value, step: Value): Value {
    return this.builder.emit('sub', [value, step], {});
  }

  add(a: Value, b: Value | number): Value {
    return this.builder.emit('add', [a, this.operand(b)], {});
  }

  sub(a: Value | number, b: Value): Value {
    return this.builder.emit('sub', [this.operand(a), b], {});
  }

  mul(a: Value, b: Value | number): Value {
    return this.builder.emit('mul', [a, this.operand(b)], {});
  }

  div(a: Value, b: Value): Value {
    return this.builder.emit('div', [a, b], {});
  }

  sqrt(a: Value): Value {
    return this.builder.emit('sqrt', [a], {});
  }

  /** max(a, 0). */
  atLeastZero(a: Value): Value {
    return this.builder.emit('relu', [a], {});
  }

  private operand(value: Value | number): Value {
    return typeof value === 'number' ? this.builder.scalar(value) : value;
  }

  private accumulationScalars(): Accumulation {
    const share = this.scalarInput(accumulationInputs.share);
    const apply = this.scalarInput(accumulationInputs.apply);
    return { share, apply, wait: this.sub(1, apply) };
  }

  private scalarInput(name: string): Value {
    return this.builder.input({ dtype: 'float32', shape: [] }, { name, role: 'scalar' });
  }
}
