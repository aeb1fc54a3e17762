/** @file The table of losses: what flags, manifests, checkpoints, reports and the forward graph take from it. */

import { z } from 'zod';
import { accepted, type Choice, type Choices, type Chosen, fieldsOf, given } from '../../choices.js';
import { checkNames, checkValue, either, type Kind, oneOf, RequestError, show } from '../../ir/index.js';
import { type Task, taskNames, tasks } from '../../step/tasks.js';
import type { Tensor } from '../tensor.js';
import { absoluteErrorLoss } from './absolute-error.js';
import { binaryCrossEntropyLoss } from './binary-cross-entropy.js';
import { crossEntropyLoss } from './cross-entropy.js';
import type { Loss } from './definition.js';
import { huberLoss } from './huber.js';
import { squaredErrorLoss } from './squared-error.js';

/** The losses. A new one is a file here and a row. */
export const losses = {
  'cross-entropy': crossEntropyLoss,
  bce: binaryCrossEntropyLoss,
  mse: squaredErrorLoss,
  l1: absoluteErrorLoss,
  huber: huberLoss,
} as const;

export type LossName = keyof typeof losses;

/** The options of one loss. */
type OptionsOf<K extends LossName> = { readonly kind: K } & Chosen<(typeof losses)[K]['choices']>;

/** A loss with all of its options; `own` is a function of the network's, of which the task alone is known. */
export type LossOptions = { [K in LossName]: OptionsOf<K> }[LossName] | { readonly kind: 'own'; readonly task: Task };

/** A loss by its name, or with options that depart from the defaults. */
export type LossChoice =
  | LossName
  | { [K in LossName]: { readonly kind: K } & Partial<Chosen<(typeof losses)[K]['choices']>> }[LossName];

/** The losses' names. */
export const lossNames = Object.keys(losses) as [LossName, ...LossName[]];

/** Unless told. */
export const defaultLossName = 'cross-entropy' satisfies LossName;

/** A value that may be a `LossChoice`. */
export const aLoss: Kind = either(oneOf(...lossNames), {
  expects: 'an object with kind and options',
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
});

function lossOf(kind: LossName): Loss<Choices> {
  return losses[kind] as unknown as Loss<Choices>;
}

/** The options of each loss in files. */
export const lossSchema = z.union([
  z.object({ kind: z.literal('own'), task: z.enum(taskNames) }),
  ...lossNames.map((kind) => z.object({ kind: z.literal(kind), ...fieldsOf(lossOf(kind).choices) })),
]) as unknown as z.ZodType<LossOptions>;

/** An option that some losses have. */
export interface LossFlag {
  /** Its name among a loss's options. */
  readonly key: string;
  readonly choice: Choice<unknown>;
  readonly of: LossName;
  /** What it is unless told, where it is anything. */
  readonly fallback: unknown;
}

/** The options of all losses, and whose they are. */
export function lossFlags(): readonly LossFlag[] {
  return lossNames.flatMap((of) => {
    const { choices, defaults } = lossOf(of);
    return Object.entries(choices).map(([key, choice]) => {
      return { key, choice, of, fallback: (defaults as Readonly<Record<string, unknown>>)[key] };
    });
  });
}

/** A choice with its defaults. @throws RequestError when there is no such loss, or an option is out of range or not the loss's */
export function resolveLoss(choice: LossChoice = defaultLossName): LossOptions {
  checkValue('the loss', choice, aLoss);
  const { kind, ...rest } = typeof choice === 'string' ? { kind: choice } : choice;
  if (!Object.hasOwn(losses, kind)) {
    throw new RequestError(`there is no loss ${show(kind)}; choose one of ${lossNames.join(', ')}`);
  }
  const options = given(rest);
  const { choices, defaults } = lossOf(kind);
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(choices, name)) continue;
    const other = lossFlags().find(({ key }) => key === name);
    if (!other) checkNames(`loss ${kind}`, options, Object.keys(choices));
    const flag = other?.choice.flag.split(' ')[0];
    throw new RequestError(`${kind} takes no ${flag}: it belongs to --loss ${other?.of}`);
  }
  const schema = z.object({ kind: z.literal(kind), ...fieldsOf(choices) }) as unknown as z.ZodType<LossOptions>;
  return accepted(schema, { kind, ...defaults, ...options });
}

/** What a loss makes a network tell of an image. */
export function taskOf(loss: LossOptions): Task {
  return loss.kind === 'own' ? loss.task : lossOf(loss.kind).task;
}

/** @throws RequestError when a loss doesn't fit a network with so many outputs. @param network names it in errors */
export function checkLoss(loss: LossOptions, outputs: number, network: string): void {
  if (loss.kind === 'own') return;
  const { leastOutputs } = tasks[taskOf(loss)];
  if (outputs < leastOutputs) {
    throw new RequestError(
      `${network}: classes is ${outputs}; it must be a whole number of at least ${leastOutputs}, to tell images apart (one output goes with --loss bce, mse, l1 or huber)`,
    );
  }
  const { kind: _, ...options } = loss;
  const problem = lossOf(loss.kind).conflict?.(options as Chosen<Choices>, outputs);
  if (problem !== undefined) throw new RequestError(`${network}: ${problem}`);
}

/** The loss as nodes. @throws InternalError for a loss of the network's own, which is its function */
export function traceLoss(
  loss: Exclude<LossOptions, { readonly kind: 'own' }>,
  outputs: Tensor,
  targets: Tensor,
): Tensor {
  const { kind, ...options } = loss;
  return lossOf(kind).trace(outputs, targets, options as Chosen<Choices>);
}

/** A loss with its options in words. */
export function describeLoss(loss: LossOptions): string {
  if (loss.kind === 'own') return "one of the network's own";
  const { kind, ...options } = loss;
  return lossOf(kind)
    .words.report(options as Chosen<Choices>)
    .join(', ');
}

/** What is different between two losses, in words; nothing where they are the same. */
export function lossDifference(before: LossOptions, after: LossOptions): string | undefined {
  const [old, now] = [describeFully(before), describeFully(after)];
  return old === now ? undefined : `${old}, not ${now}`;
}

function describeFully(loss: LossOptions): string {
  const { kind, ...options } = loss;
  const words = Object.entries(given(options)).map(([key, value]) => `${key} ${value}`);
  return [kind, ...words].join(', ');
}
