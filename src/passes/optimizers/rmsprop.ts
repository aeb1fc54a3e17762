/** @file RMSprop as PyTorch defines it (torch.optim.RMSprop). */

import { onOff } from '../../choices.js';
import type { Value } from '../../ir/index.js';
import { defineOptimizer, type Slot } from './definition.js';
import { alpha, epsilon, momentum } from './shared-choices.js';
import type { Parameter, UpdateBuilder } from './update.js';

/**
 * With gradient g: g ← g + decay·p; v ← α·v + (1 − α)·g²; where it is centered, a ← α·a + (1 − α)·g and v − a² takes the
 * place of v; the direction is g / (√v + ε); with momentum, m ← momentum·m + direction takes its place; p ← p − η·direction.
 */
export const rmsprop = defineOptimizer({
  choices: {
    alpha,
    epsilon,
    momentum,
    /** Whether the averaged square is that of the gradient's departure from its average: its variance. */
    centered: onOff({
      name: 'centering',
      flag: '--centered',
      help: "divide by the root of the gradient's variance instead of that of its square",
    }),
  },
  defaults: () => ({ alpha: 0.99, epsilon: 1e-8, momentum: 0, centered: false, weightDecay: 0 }),
  learningRate: 0.01,
  slots: (options) => {
    const slots: Slot[] = [{ role: 'variance' }];
    if (options.centered) slots.push({ role: 'gradientMean' });
    if (options.momentum > 0) slots.push({ role: 'momentum' });
    return slots;
  },
  update(parameter, builder, options) {
    const gradient = builder.decayed(parameter);
    const average = (of: Value, sample: Value): Value => builder.average(of, options.alpha, sample, 1 - options.alpha);
    const variance = average(parameter.slot('variance'), builder.mul(gradient, gradient));
    const gradientMean = options.centered ? average(parameter.slot('gradientMean'), gradient) : undefined;
    const spread = gradientMean ? centeredSquare(builder, variance, gradientMean) : variance;
    const direction = builder.div(gradient, builder.add(builder.sqrt(spread), options.epsilon));
    const slots = { variance, ...(gradientMean && { gradientMean }) };
    if (options.momentum === 0) return { value: descended(builder, parameter, direction), slots };
    const next = builder.average(parameter.slot('momentum'), options.momentum, direction, 1);
    return { value: descended(builder, parameter, next), slots: { ...slots, momentum: next } };
  },
  words: {
    help: "gradients over the root of their squares' average",
    report: (options) => [
      `alpha ${options.alpha}${options.centered ? ' (centered)' : ''}`,
      `epsilon ${options.epsilon}`,
      `momentum ${options.momentum}`,
    ],
  },
});

/** v − a². Rounding may bring it below 0, where PyTorch's root would be no number. */
function centeredSquare(builder: UpdateBuilder, variance: Value, mean: Value): Value {
  return builder.atLeastZero(builder.sub(variance, builder.mul(mean, mean)));
}

function descended(builder: UpdateBuilder, { value }: Parameter, direction: Value): Value {
  return builder.descend(value, builder.mul(direction, builder.rate));
}
