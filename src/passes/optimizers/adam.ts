/** @file Adam as PyTorch defines it (torch.optim.Adam, without amsgrad): weight decay is part of the gradient. */

import type { Chosen } from '../../choices.js';
import type { Value } from '../../ir/index.js';
import { defineOptimizer, type Slot } from './definition.js';
import { betas, epsilon } from './shared-choices.js';
import type { Parameter, UpdateBuilder } from './update.js';

/** What Adam and its like choose. */
export const adamChoices = { betas, epsilon };

/** PyTorch's, of Adam and its like. */
export const adamDefaults = { betas: [0.9, 0.999], epsilon: 1e-8 } as const;

type AdamChoices = Chosen<typeof adamChoices>;

/** With gradient g: g ← g + decay·p; then p ← p − η·direction, as `adamDirection` says. */
export const adam = defineOptimizer({
  choices: adamChoices,
  defaults: () => ({ ...adamDefaults, weightDecay: 0 }),
  learningRate: 0.001,
  slots: adamSlots,
  update(parameter, builder, options) {
    const { direction, weight, slots } = adamDirection(parameter, builder.decayed(parameter), builder, options);
    const step = builder.mul(direction, builder.div(builder.rate, weight));
    return { value: builder.descend(parameter.value, step), slots };
  },
  words: { help: 'Adam, weight decay added to the gradient', report: adamReport },
});

/** Both averages begin at 0, so both are corrected. */
export function adamSlots(options: AdamChoices): readonly Slot[] {
  const [beta1, beta2] = options.betas;
  return [
    { role: 'momentum', corrected: beta1 },
    { role: 'variance', corrected: beta2 },
  ];
}

/**
 * m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; the direction is m / (√(v / w₂) + ε), still to be divided by the weight
 * w₁. The weights are the same averages taken of the constant 1: PyTorch's 1 − βᵗ.
 */
export function adamDirection(
  parameter: Parameter,
  gradient: Value,
  builder: UpdateBuilder,
  options: AdamChoices,
): { readonly direction: Value; readonly weight: Value; readonly slots: { momentum: Value; variance: Value } } {
  const [beta1, beta2] = options.betas;
  const momentum = builder.average(parameter.slot('momentum'), beta1, gradient, 1 - beta1);
  const variance = builder.average(parameter.slot('variance'), beta2, builder.mul(gradient, gradient), 1 - beta2);
  const root = builder.sqrt(builder.div(variance, parameter.weight('variance')));
  const direction = builder.div(momentum, builder.add(root, options.epsilon));
  return { direction, weight: parameter.weight('momentum'), slots: { momentum, variance } };
}

/** The options in words. */
export function adamReport(options: AdamChoices): readonly string[] {
  return [`betas ${options.betas.join(' and ')}`, `epsilon ${options.epsilon}`];
}
