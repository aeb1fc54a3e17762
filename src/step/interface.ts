/** @file What a step takes and returns: the names of a model's inputs and outputs, and of its state in files. */

import type { SlotRole } from '../ir/index.js';

/**
 * A batch, in models and in batch files: `images` float32 (N, …) and `labels`, int64 (N) for classes, float32 (N, K) for
 * labels of which an image may have several; or `targets` float32 (N, K), the numbers of a regression.
 */
export const batchInputs = { images: 'images', labels: 'labels', targets: 'targets' } as const;

/**
 * What a batch gave: `loss` and `errors` are scalars, `logits`, `probabilities` and `predictions` (N, K). `errors` is the
 * sum over the samples of the task's error: misclassified or not, the share of wrong labels, the mean absolute error.
 */
export const resultOutputs = {
  loss: 'loss',
  errors: 'errors',
  logits: 'logits',
  probabilities: 'probabilities',
  /** The numbers of a regression, in exported models. */
  predictions: 'predictions',
  /** The norm of all gradients together, before they are clipped; only of a step that clips them. */
  gradientNorm: 'gradient_norm',
} as const;

/** The scalar input that carries the learning rate. */
export const learningRateInput = 'learning_rate';

/** Scalar inputs of a step that accumulates gradients. */
export const accumulationInputs = {
  /** The batch's share of the update's mean gradient. */
  share: 'gradient_share',
  /** 1 where the update happens after this batch, 0 where more batches come first. */
  apply: 'apply',
} as const;

/** Scalar inputs of a step with dropout, from which its masks are made. */
export const dropoutInputs = { step: 'step', seed: 'seed' } as const;

/** Scalar inputs of a step that several processes take together. */
export const processInputs = {
  /** This process's share of the images of the step, from 0 to 1. */
  share: 'process_share',
  /** The images of the step over all processes, where batch norm normalizes by them all. */
  images: 'step_images',
  /** The place of this process's first image among those of the step, for dropout's masks. */
  first: 'first_sample',
} as const;

/**
 * What an optimizer keeps of a parameter is named by a prefix before the parameter's (or its segment's) name, in models,
 * state files and checkpoints alike.
 */
const slotPrefixes: Readonly<Record<SlotRole, string>> = {
  momentum: 'momentum.',
  variance: 'variance.',
  gradientMean: 'gradient_mean.',
  accumulator: 'accumulated.',
  ema: 'ema.',
};

/** What begins the names of an optimizer's own scalars. */
const optimizerPrefix = 'optimizer.';

/** The name of what is kept of a parameter, or of a segment of parameters. */
export function slotName(role: SlotRole, parameter: string): string {
  return `${slotPrefixes[role]}${parameter}`;
}

/** The role and the parameter of a slot's name; undefined where the name is no slot's. */
export function parseSlotName(name: string): { readonly role: SlotRole; readonly parameter: string } | undefined {
  for (const [role, prefix] of Object.entries(slotPrefixes) as [SlotRole, string][]) {
    if (name.startsWith(prefix)) return { role, parameter: name.slice(prefix.length) };
  }
  return undefined;
}

/** Whether a slot is kept of a state input of a role: of parameters, and the average of running statistics too. */
export function isKeptOf(slot: SlotRole, role: string): boolean {
  return role === 'parameter' || (slot === 'ema' && role === 'running');
}

/** The name of the scalar that a slot's average is divided by. */
export function correctionName(role: SlotRole): string {
  return `${optimizerPrefix}${role}_weight`;
}

/** Whether a tensor of a state file belongs to the optimizer and not to the network. */
export function isOptimizerState(name: string): boolean {
  return name.startsWith(optimizerPrefix) || parseSlotName(name) !== undefined;
}

/** Many tensors of one role, side by side in one input. */
export function segmentName(role: 'parameter' | 'running' | 'counter', number: number): string {
  return `${role}.${number}`;
}

const outputPrefixes = { gradient: 'gradient.', observation: 'observed.', next: 'next.' } as const;

/**
 * The output that belongs to a state input: its next value. Until the optimizer makes that, a parameter has a gradient, a
 * running statistic what the batch shows of it.
 */
export function outputName(role: keyof typeof outputPrefixes, input: string): string {
  return `${outputPrefixes[role]}${input}`;
}

/** With what a name begins that no tensor of a network may have, since a step's own names begin so; undefined where it may. */
export function reservedPrefix(name: string): string | undefined {
  const prefixes = [...Object.values(slotPrefixes), optimizerPrefix, ...Object.values(outputPrefixes)];
  return prefixes.find((prefix) => name.startsWith(prefix));
}

/** Whether an output is the next value of a state input. */
export function isNext(output: string): boolean {
  return output.startsWith(outputPrefixes.next);
}
