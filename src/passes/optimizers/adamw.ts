/** @file Adam with decoupled weight decay as PyTorch defines it (torch.optim.AdamW, without amsgrad). */

import { adamChoices, adamDefaults, adamDirection, adamReport, adamSlots } from './adam.js';
import { defineOptimizer } from './definition.js';

/** p ← p·(1 − η·decay) − η·direction, as `adamDirection` says of the gradient. */
export const adamw = defineOptimizer({
  choices: adamChoices,
  defaults: () => ({ ...adamDefaults, weightDecay: 0.01 }),
  learningRate: 0.001,
  slots: adamSlots,
  update(parameter, builder, options) {
    const { value, gradient, decay } = parameter;
    const { direction, weight, slots } = adamDirection(parameter, gradient, builder, options);
    const kept = decay > 0 ? builder.mul(value, builder.sub(1, builder.mul(builder.rate, decay))) : value;
    const step = builder.mul(direction, builder.div(builder.rate, weight));
    return { value: builder.descend(kept, step), slots };
  },
  words: { help: 'Adam with decoupled weight decay', report: adamReport },
});
