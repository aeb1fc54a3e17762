/** @file The table of optimizers: what flags, manifests, checkpoints, reports and the training graph take from it. */

import { z } from 'zod';
import { accepted, type Choice, type Choices, type Chosen, fieldsOf, given } from '../../choices.js';
import { checkNames, RequestError, type SlotRole } from '../../ir/index.js';
import { correctionName } from '../../step/interface.js';
import type { Segment } from '../pack-state.js';
import { adam } from './adam.js';
import { adamw } from './adamw.js';
import { commonChoices, commonDefaults, type Optimizer } from './definition.js';
import { rmsprop } from './rmsprop.js';
import { sgd } from './sgd.js';

/** The optimizers. A new one is a file here and a row. */
export const optimizers = { sgd, adamw, adam, rmsprop } as const;

export type OptimizerName = keyof typeof optimizers;

/** The options of one optimizer. */
type OptionsOf<K extends OptimizerName> = { readonly kind: K } & Chosen<(typeof optimizers)[K]['choices']> &
  Chosen<typeof commonChoices>;

export type SgdOptions = OptionsOf<'sgd'>;
export type AdamwOptions = OptionsOf<'adamw'>;
export type AdamOptions = OptionsOf<'adam'>;
export type RmspropOptions = OptionsOf<'rmsprop'>;

/** All options of an optimizer. */
export type OptimizerOptions = { [K in OptimizerName]: OptionsOf<K> }[OptimizerName];

/** An optimizer where only what departs from the defaults is said; `sgd` unless `kind` is. */
export type OptimizerChoice =
  | Partial<OptionsOf<'sgd'>>
  | { [K in OptimizerName]: Partial<OptionsOf<K>> & { readonly kind: K } }[OptimizerName];

/** The optimizers' names. */
export const optimizerNames = Object.keys(optimizers) as [OptimizerName, ...OptimizerName[]];

/** Unless `kind` is said. */
export const defaultOptimizerName = 'sgd' satisfies OptimizerName;

/** The table's row for options of its kind. */
export function optimizerOf({ kind }: { readonly kind: OptimizerName }): Optimizer<Choices> {
  return optimizers[kind] as unknown as Optimizer<Choices>;
}

/** All choices of an optimizer: its own and those that all have. */
function choicesOf(kind: OptimizerName): Choices {
  return { ...optimizerOf({ kind }).choices, ...commonChoices };
}

/** An option that some optimizers have. */
export interface OptimizerFlag {
  /** Its name among an optimizer's options. */
  readonly key: string;
  readonly choice: Choice<unknown>;
  readonly of: readonly OptimizerName[];
}

/** The options of all optimizers, each once, and whose they are. */
export function optimizerFlags(): readonly OptimizerFlag[] {
  const all = Object.assign(
    {},
    ...optimizerNames.map((kind) => optimizerOf({ kind }).choices),
    commonChoices,
  ) as Choices;
  return Object.entries(all).map(([key, choice]) => {
    return { key, choice, of: optimizerNames.filter((kind) => Object.hasOwn(choicesOf(kind), key)) };
  });
}

/** The options of each optimizer in files. */
export const optimizerSchema = z.discriminatedUnion(
  'kind',
  optimizerNames.map(schemaOf) as [z.ZodObject<{ kind: z.ZodLiteral<OptimizerName> }>],
) as unknown as z.ZodType<OptimizerOptions>;

function schemaOf(kind: OptimizerName): z.ZodObject<{ kind: z.ZodLiteral<OptimizerName> }> {
  const { choices, conflict } = optimizerOf({ kind });
  const common = fieldsOf(commonChoices);
  const schema = z.object({
    kind: z.literal(kind),
    ...fieldsOf(choices),
    ...common,
    decayNormBias: common.decayNormBias.default(commonDefaults.decayNormBias),
    accumulate: common.accumulate.default(commonDefaults.accumulate),
  });
  return schema.check(({ value, issues }) => {
    const message = conflict?.(value as Chosen<Choices>) ?? clippingConflict(value as Chosen<typeof commonChoices>);
    if (message !== undefined) issues.push({ code: 'custom', input: value, message });
  });
}

function clippingConflict({ clipNorm, clipValue }: Chosen<typeof commonChoices>): string | undefined {
  if (clipNorm === undefined || clipValue === undefined) return undefined;
  return `gradients are clipped by their norm (${clipNorm}) or by value (${clipValue}), not by both; leave out --clip-norm or --clip-value`;
}

/** The options that an optimizer has unless told. */
export function defaultsOf(kind: OptimizerName): Readonly<Record<string, unknown>> {
  return { ...optimizerOf({ kind }).defaults({}), ...commonDefaults };
}

/** A choice with its defaults. @throws RequestError when an option is out of range, or not the optimizer's */
export function resolveOptimizer(choice: OptimizerChoice = {}): OptimizerOptions {
  const { kind = defaultOptimizerName, ...rest } = choice;
  if (!Object.hasOwn(optimizers, kind)) {
    throw new RequestError(`there is no optimizer ${kind}; choose one of ${optimizerNames.join(', ')}`);
  }
  const options = given(rest);
  refuseUnknown(kind, options);
  const defaults = optimizerOf({ kind }).defaults(options);
  return accepted(optimizerSchema, { kind, ...commonDefaults, ...defaults, ...options });
}

/** What `compile` takes unless told: the seed's Nesterov momentum 0.9, weight decay 1e-4. */
export const defaultOptimizer = resolveOptimizer({ kind: defaultOptimizerName }) as SgdOptions;

function refuseUnknown(kind: OptimizerName, options: object): void {
  const known = choicesOf(kind);
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue;
    const others = optimizerNames.filter((other) => Object.hasOwn(choicesOf(other), name));
    const [first] = others;
    if (!first) checkNames(`optimizer ${kind}`, options, Object.keys(known));
    const flag = first && choicesOf(first)[name]?.flag.split(' ')[0];
    throw new RequestError(`${kind} takes no ${flag}: it belongs to --optimizer ${others.join(' or ')}`);
  }
}

/** What is kept of each parameter, and of other state by `isKeptOf`, as inputs of the training model in their order. */
export function keptSlots(options: OptimizerOptions): readonly SlotRole[] {
  const own = optimizerOf(options)
    .slots(options)
    .map(({ role }) => role);
  return [
    ...own,
    ...(options.accumulate > 1 ? (['accumulator'] as const) : []),
    ...(options.ema === undefined ? [] : (['ema'] as const)),
  ];
}

/** The scalars that an optimizer keeps beside what it keeps of each parameter, as segments of the state. */
export function optimizerSegments(options: OptimizerOptions): readonly Segment[] {
  const corrected = optimizerOf(options)
    .slots(options)
    .filter((slot) => slot.corrected !== undefined);
  const roles = [...corrected.map(({ role }) => role), ...(options.ema === undefined ? [] : (['ema'] as const))];
  return roles.map((role) => {
    const name = correctionName(role);
    const tensors = [{ name, shape: [1], offset: 0 }];
    return { name, role: 'optimizer', dtype: 'float32', length: 1, tensors };
  });
}

/** An optimizer with its options in words. */
export function describeOptimizer(options: OptimizerOptions): string {
  const { kind, weightDecay, decayNormBias, accumulate, clipNorm, clipValue, ema } = options;
  const decay = `weight decay ${weightDecay}${decayNormBias ? '' : ' (none on norms and biases)'}`;
  const others = [
    ...(accumulate > 1 ? [`an update every ${accumulate} batches`] : []),
    ...(clipNorm === undefined ? [] : [`gradients clipped to norm ${clipNorm}`]),
    ...(clipValue === undefined ? [] : [`gradients clipped to ±${clipValue}`]),
    ...(ema === undefined ? [] : [`weights averaged with decay ${ema}`]),
  ];
  return [kind, ...optimizerOf(options).words.report(options), decay, ...others].join(', ');
}
