/** @file A run's segments: other options from some epoch on, chosen when the run goes on. */

import { z } from 'zod';
import { accepted, given } from '../../choices.js';
import { RequestError } from '../../ir/index.js';
import { checkScheduleOptions, checkWarmup, ownSchedule } from './learning-rate.js';
import { type TrainOptions, trainChoices, trainOptionsSchema } from './options.js';
import { optionsAt, rateAt, type Scheduled } from './schedule.js';

/** Options that a run had before those it has now. */
export const segmentSchema = z.object({
  /** The first epoch, counted from 0, that is not trained with them. */
  until: z.number(),
  options: trainOptionsSchema,
});

/** Where a run stands among its segments: `options` are those of the last, `earlier` the segments before, in their order. */
export interface Segmented extends Scheduled {
  /** The epoch in progress, counted from 0, and the batches of it that are done. */
  readonly epoch: number;
  readonly batch: number;
}

/** Any of the options that decide the weights. */
export type SomeTrainOptions = { readonly [K in keyof TrainOptions]?: TrainOptions[K] | undefined };

/** What stays as it was when a run goes on, and why. */
const fixed = {
  validSize: 'other images would be held out than its best weights were chosen by',
  limit: 'other images would be trained on and held out than before',
  seed: 'the images held out were drawn by it, as order, augmentation and dropout are',
} satisfies { readonly [K in keyof typeof trainChoices]?: string };

/** A change of options. */
export interface SegmentChange {
  /** The first epoch with them, counted from 1. */
  readonly epoch: number;
  /** In words: `learning rate 0.1 → 0.01`. */
  readonly changes: readonly string[];
  /** The learning rate at the beginning of that epoch; absent where the run ends before it. */
  readonly learningRate?: number;
}

/**
 * A run with other options from the next epoch on; the same where they are those that it has. The epoch in progress
 * ends as it began. The schedule is that of the new options over all epochs of the run, taken up at the segment's first.
 * @param save the run's folder, for messages
 * @throws RequestError for what can't change, and for a change that no epoch is left for
 */
export function withOptions<P extends Segmented>(run: P, told: SomeTrainOptions, save: string): P {
  const before = run.options;
  const { data: _, ...choices } = given(told);
  const options = accepted(trainOptionsSchema, { ...before, ...choices });
  const changed = changedKeys(before, options);
  if (changed.length === 0) return run;
  for (const key of changed) {
    if (!(key in fixed)) continue;
    const { name, flag } = trainChoices[key];
    throw new RequestError(
      `the run in ${save} was started with the ${name} ${word(before[key])}, not ${word(options[key])}, and keeps it: ${fixed[key as keyof typeof fixed]}; leave ${flag.split(' ')[0]} out to resume it, or begin a new run`,
    );
  }
  const from = nextEpoch(run);
  checkEpochs(from, before, options, changed, save);
  checkWarmup(options);
  checkScheduleOptions(choices, options.schedule);
  const last = run.earlier.at(-1);
  // A segment that no epoch was trained in leaves no trace.
  if ((last?.until ?? 0) < from)
    return { ...run, options, earlier: [...run.earlier, { until: from, options: before }] };
  const isBack = last !== undefined && changedKeys(last.options, options).length === 0;
  return { ...run, options, earlier: isBack ? run.earlier.slice(0, -1) : run.earlier };
}

function checkEpochs(
  from: number,
  { epochs: planned }: TrainOptions,
  { epochs }: TrainOptions,
  changed: readonly string[],
  save: string,
): void {
  if (epochs < from) {
    throw new RequestError(
      `the run in ${save} is in epoch ${from} or has it behind it, so it can't end after ${epochs}; give --epochs ${from} or more`,
    );
  }
  const others = changed.filter((key) => key !== 'epochs');
  if (from < epochs || others.length === 0) return;
  const names = others.map((key) => trainChoices[key as keyof typeof trainChoices].name).join(', ');
  throw new RequestError(
    `the run in ${save} ends with epoch ${epochs}${epochs === planned ? '' : ' then'}, and another ${names} would begin with epoch ${from + 1}; give more epochs with --epochs`,
  );
}

/** What changed between a run's segments, in their order. */
export function segmentChanges(run: Scheduled): SegmentChange[] {
  return run.earlier.map(({ until, options }) => changeFrom(until, options, run));
}

/** What changes where a run goes on with other options. */
export function changeOf(run: Segmented, options: TrainOptions): SegmentChange {
  const until = nextEpoch(run);
  return changeFrom(until, run.options, {
    ...run,
    options,
    earlier: [...run.earlier, { until, options: run.options }],
  });
}

function changeFrom(epoch: number, before: TrainOptions, run: Scheduled): SegmentChange {
  const after = optionsAt(run, epoch);
  const changes = changedKeys(before, after).map(
    (key) => `${trainChoices[key].name} ${word(before[key])} → ${word(after[key])}`,
  );
  // How many batches there are matters within the warm-up alone: of many, the first has the rate of the epoch's beginning.
  const place = { epoch, batch: 0, batches: Number.MAX_SAFE_INTEGER };
  const isKnown = epoch < after.epochs && after.schedule !== ownSchedule;
  return { epoch: epoch + 1, changes, ...(isKnown && { learningRate: rateAt(run, place, undefined) }) };
}

/** The first epoch that hasn't begun, counted from 0. */
function nextEpoch({ epoch, batch }: Segmented): number {
  return batch > 0 ? epoch + 1 : epoch;
}

/** A change in words: `learning rate 0.1 → 0.01; it goes on at 0.001`. */
export function describeChange({ changes, learningRate }: Pick<SegmentChange, 'changes' | 'learningRate'>): string {
  const rate =
    learningRate === undefined ? '' : `; the learning rate goes on at ${Number(learningRate.toPrecision(6))}`;
  return `${changes.join(', ')}${rate}`;
}

function changedKeys(before: TrainOptions, after: TrainOptions): (keyof typeof trainChoices)[] {
  const keys = Object.keys(trainChoices) as (keyof typeof trainChoices)[];
  return keys.filter((key) => before[key] !== after[key]);
}

function word(value: unknown): string {
  if (value === undefined) return 'by default';
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
}
