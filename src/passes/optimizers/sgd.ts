/** @file Stochastic gradient descent as PyTorch defines it (torch.optim.SGD, dampening 0). */

import { onOff } from '../../choices.js';
import { defineOptimizer } from './definition.js';
import { momentum } from './shared-choices.js';

/** With gradient g: g ← g + decay·p; m ← momentum·m + g; p ← p − η·(nesterov ? g + momentum·m : m). */
export const sgd = defineOptimizer({
  choices: {
    momentum,
    /** Whether a step looks ahead along the momentum. */
    nesterov: onOff({
      name: 'Nesterov',
      flag: '--nesterov',
      help: "Nesterov's momentum",
      negation: 'plain momentum',
    }),
  },
  // The seed's.
  defaults: (given) => ({ momentum: 0.9, nesterov: given.momentum !== 0, weightDecay: 1e-4 }),
  learningRate: 0.1,
  conflict: (options) =>
    options.nesterov && options.momentum === 0
      ? 'Nesterov needs a momentum above 0; give one, or --no-nesterov'
      : undefined,
  slots: (options) => (options.momentum > 0 ? [{ role: 'momentum' }] : []),
  update(parameter, builder, options) {
    const { value } = parameter;
    const gradient = builder.decayed(parameter);
    if (options.momentum === 0)
      return { value: builder.descend(value, builder.mul(gradient, builder.rate)), slots: {} };
    const next = builder.average(parameter.slot('momentum'), options.momentum, gradient, 1);
    const direction = options.nesterov ? builder.add(gradient, builder.mul(next, options.momentum)) : next;
    return { value: builder.descend(value, builder.mul(direction, builder.rate)), slots: { momentum: next } };
  },
  words: {
    help: 'stochastic gradient descent',
    report: (options) => [`momentum ${options.momentum}${options.nesterov ? ' (Nesterov)' : ''}`],
  },
});
