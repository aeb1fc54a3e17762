/** @file What an optimizer is: its options, what it keeps of a parameter, how it updates one, and its words. */

import { type Choices, type Chosen, count, number, numberOrNone, onOff } from '../../choices.js';
import type { SlotRole } from '../../ir/index.js';
import type { Parameter, UpdateBuilder, Updated } from './update.js';

/** What every optimizer has. */
export const commonChoices = {
  /** Decoupled (adamw): share of a parameter lost a step, times the rate. Else added to the gradient, times the parameter. */
  weightDecay: number(
    { name: 'weight decay', flag: '--weight-decay <x>', help: 'weight decay' },
    'at least 0',
    (value) => value >= 0,
  ),
  /** Whether decay reaches vectors too: batch norm's scale and shift, and biases. */
  decayNormBias: onOff({
    name: 'weight decay of norms and biases',
    flag: '--no-decay-norm-bias',
    help: "no weight decay on batch norm's scale and shift and on biases",
  }),
  /** Batches whose mean gradient makes one update. */
  accumulate: count({
    name: 'number of batches an update',
    flag: '--accumulate <k>',
    help: 'batches whose mean gradient makes one update; batch norm takes statistics of each batch by itself',
  }),
  /** The norm of all gradients together, above which an update scales them down to it: PyTorch's clip_grad_norm_. */
  clipNorm: numberOrNone(
    {
      name: 'largest norm of the gradients',
      flag: '--clip-norm <x>',
      help: 'scale the gradients of all parameters down where their norm, taken together, is above this, as in 1.0; none clips nothing',
    },
    'above 0',
    (value) => value > 0,
  ),
  /** The limit of each element of a gradient: PyTorch's clip_grad_value_. */
  clipValue: numberOrNone(
    {
      name: 'largest gradient',
      flag: '--clip-value <x>',
      help: 'clip each element of the gradients to ± this, as in 0.5; none clips nothing',
    },
    'above 0',
    (value) => value > 0,
  ),
  /** What the average of the weights keeps of itself in an update. */
  ema: numberOrNone(
    {
      name: 'decay of the averaged weights',
      flag: '--ema <x>',
      help: 'keep an exponential average of weights and running statistics, this share of itself an update, as in 0.999; it is evaluated, kept as the best, and exported instead of the weights themselves',
    },
    'at least 0 and below 1',
    (value) => value >= 0 && value < 1,
  ),
};

/** What optimizers do alike unless told. Bundles from before these could be chosen don't say. */
export const commonDefaults = { decayNormBias: true, accumulate: 1 };

/** What is kept of each parameter, in its shape; 0 at the beginning. */
export interface Slot {
  readonly role: SlotRole;
  /**
   * For an average that must be divided by the sum of its weights since it begins at 0: what it keeps of itself a step.
   * The sum is an average of the constant 1, PyTorch's 1 − βᵗ without a power and without cancellation.
   */
  readonly corrected?: number;
}

/** An optimizer with options of its own, `C`, beside those that all have. */
export interface Optimizer<C extends Choices> {
  readonly choices: C;
  /** The options that are not given, which may depend on those that are. */
  defaults(given: Partial<Chosen<C>>): Chosen<C> & { readonly weightDecay: number };
  /** The highest learning rate of a run, unless told. */
  readonly learningRate: number;
  /** What is wrong with options that are allowed one by one, and the remedy. */
  conflict?(options: Chosen<C>): string | undefined;
  slots(options: Chosen<C>): readonly Slot[];
  /** Appends the nodes that compute a parameter's next value and that of each slot. */
  update(parameter: Parameter, builder: UpdateBuilder, options: Chosen<C>): Updated;
  readonly words: {
    /** What it is, for help. */
    readonly help: string;
    /** Its own options, for reports. */
    report(options: Chosen<C>): readonly string[];
  };
}

/** Declares an optimizer; the compiler asks for all of it. */
export function defineOptimizer<const C extends Choices>(optimizer: Optimizer<C>): Optimizer<C> {
  return optimizer;
}
