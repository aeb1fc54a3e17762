/** @file The learning rate of a run in progress: by its segments, its recorded epochs and a schedule of one's own. */

import { RequestError } from '../../ir/index.js';
import type { EpochRecord } from '../report/history.js';
import { learningRateAt, ownRateAt, ownSchedule, type RatePlace, type ScheduleFunction } from './learning-rate.js';
import type { TrainOptions } from './options.js';

/** What of a run decides its rates. */
export interface Scheduled {
  readonly options: TrainOptions;
  readonly earlier: readonly { readonly until: number; readonly options: TrainOptions }[];
  /** The epochs that are over. */
  readonly epochs: readonly EpochRecord[];
}

/** The options of an epoch, counted from 0. */
export function optionsAt({ options, earlier }: Pick<Scheduled, 'options' | 'earlier'>, epoch: number): TrainOptions {
  return earlier.find(({ until }) => epoch < until)?.options ?? options;
}

/**
 * The learning rate of a step.
 * @param own the schedule of one's own, where the epoch has one
 * @throws RequestError where that is missing or gives no rate
 */
export function rateAt(run: Scheduled, place: RatePlace, own: ScheduleFunction | undefined): number {
  const { schedule, ...options } = optionsAt(run, place.epoch);
  if (schedule !== ownSchedule) return learningRateAt({ ...options, schedule }, place, lossesBefore(run, place.epoch));
  if (!own) throw new RequestError(ownMissing);
  const { epochs, learningRate } = options;
  return ownRateAt(own, { ...place, epochs, learningRate, records: run.epochs.slice(0, place.epoch) });
}

const ownMissing =
  'the learning rate follows a schedule of its program; resume it there with { schedule: the same function }, or, between two epochs, with a named schedule';

/**
 * Requires that a run can go on with what is told of its schedule: one of its own is a function of the program, which no
 * checkpoint holds, so the program gives it again. It is held against the rates that are recorded.
 * @throws RequestError where it is missing or was another one
 */
export function checkOwnSchedule(
  run: Scheduled & { readonly epoch: number; readonly batch: number },
  own: ScheduleFunction | undefined,
): void {
  const goesOn = optionsAt(run, run.epoch).schedule === ownSchedule && run.epoch < run.options.epochs;
  if (goesOn && !own) throw new RequestError(ownMissing);
  if (!own || !goesOn) return;
  for (const { epoch, learningRate } of run.epochs.slice(firstAlike(run, run.epoch))) {
    const options = optionsAt(run, epoch - 1);
    const records = run.epochs.slice(0, epoch - 1);
    const batches = run.epochs[epoch - 1]?.batches;
    if (batches === undefined) continue;
    const place = { epoch: epoch - 1, batch: batches - 1, batches };
    const rate = ownRateAt(own, { ...place, epochs: options.epochs, learningRate: options.learningRate, records });
    if (rate === learningRate) continue;
    throw new RequestError(
      `the schedule gives ${rate} at the end of epoch ${epoch}, where the run had ${learningRate}; give the function that the run began with: what it gives for epochs to come may be new`,
    );
  }
}

/** Validation losses of the epochs before one, as far back as the rate has followed them. */
function lossesBefore(run: Scheduled, epoch: number): number[] {
  return run.epochs.slice(firstAlike(run, epoch), epoch).map(({ validLoss = Number.NaN }) => validLoss);
}

/** What of the options begins a plateau anew. */
const decisive = ['schedule', 'learningRate', 'lrFactor', 'lrPatience', 'lrMin'] as const;

/** The first epoch, counted from 0, since which the rate has followed the same options. */
function firstAlike(run: Scheduled, epoch: number): number {
  const now = optionsAt(run, epoch);
  const isOther = (options: TrainOptions): boolean => decisive.some((key) => options[key] !== now[key]);
  const others = run.earlier.filter(({ until, options }) => until <= epoch && isOther(options));
  return others.at(-1)?.until ?? 0;
}
