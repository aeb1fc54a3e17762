/** @file What a loss is: its task, its options, its nodes, and its words. */

import type { Choices, Chosen } from '../../choices.js';
import type { Task } from '../../step/tasks.js';
import type { Tensor } from '../tensor.js';

/** A loss with options `C`. */
export interface Loss<C extends Choices> {
  /** What it makes a network tell of an image. */
  readonly task: Task;
  readonly choices: C;
  /** The options unless told; optional ones are absent. */
  readonly defaults: Chosen<C>;
  /** What is wrong with options for so many outputs, and the remedy. */
  conflict?(options: Chosen<C>, outputs: number): string | undefined;
  /** The loss, a scalar: of outputs (N, K) and targets as the task has them. */
  trace(outputs: Tensor, targets: Tensor, options: Chosen<C>): Tensor;
  readonly words: {
    /** What it is, for help. */
    readonly help: string;
    /** Its name and options, for reports. */
    report(options: Chosen<C>): readonly string[];
  };
}

/** Declares a loss; the compiler asks for all of it. */
export function defineLoss<const C extends Choices>(loss: Loss<C>): Loss<C> {
  return loss;
}

/** What is wrong with a list of weights for so many outputs; nothing where it fits, or there is none. */
export function otherLength(
  name: string,
  weights: readonly number[] | undefined,
  outputs: number,
  what: string,
): string | undefined {
  if (weights === undefined || weights.length === outputs) return undefined;
  return `there are ${weights.length} ${name} for ${outputs} ${what}; give one for each, in their order`;
}

/** Numbers in few words. */
export function inShort(numbers: readonly number[]): string {
  const shown = numbers.slice(0, 8).map((value) => Number(value.toPrecision(4)));
  return numbers.length > shown.length ? `${shown.join(', ')}, … (${numbers.length})` : shown.join(', ');
}
