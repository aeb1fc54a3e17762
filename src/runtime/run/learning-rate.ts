/** @file Learning rates over the course of a run. */

import { z } from 'zod';
import { type Choice, type Chosen, count, number, oneOf, optional } from '../../choices.js';
import { RequestError, show } from '../../ir/index.js';
import type { EpochRecord } from '../report/history.js';
import { plateauRate } from './plateau.js';

/** The schedules by name, but `plateau`. `progress` is the share of the run that is done, from 0 to 1. */
const factors = {
  /** Divided by 10 at half and again at three quarters of the run. */
  multistep: ({ progress }: Moment): number => (progress < 0.5 ? 1 : progress < 0.75 ? 0.1 : 0.01),
  /** Down to 0 along half a cosine. */
  cosine: ({ progress }: Moment): number => (1 + Math.cos(Math.PI * progress)) / 2,
  constant: (): number => 1,
  /** PyTorch's StepLR. */
  step: ({ epoch, lrEvery, lrFactor }: Moment): number => lrFactor ** Math.floor(epoch / lrEvery),
} as const;

/** Where a run is, for a schedule. */
interface Moment {
  readonly progress: number;
  readonly epoch: number;
  readonly lrEvery: number;
  readonly lrFactor: number;
}

type ScheduleName = keyof typeof factors | 'plateau';

/** The schedules' names. */
const schedules = [...(Object.keys(factors) as (keyof typeof factors)[]), 'plateau'] as const;

/** What stands for a function of one's own where options are kept. */
export const ownSchedule = 'own';

/** What the schedules that have options of their own take unless told: PyTorch's, and for `step` its example's 30 epochs. */
const scheduleDefaults = { lrFactor: 0.1, lrEvery: 30, lrPatience: 10, lrMin: 0 } as const;

const scheduleChoice = oneOf(
  {
    name: 'schedule',
    flag: '--schedule <name>',
    help: 'how the learning rate falls: multistep ÷10 at 50 % and 75 %, cosine to 0, constant, step every --lr-every epochs, or plateau where the validation loss no longer falls',
  },
  schedules,
);

/** How the learning rate goes over a run. */
export const rateChoices = {
  /** Passes over the training images. */
  epochs: count({ name: 'number of epochs', flag: '--epochs <n>', help: 'passes over the training images' }),
  /** The highest learning rate. */
  learningRate: number(
    { name: 'learning rate', flag: '--lr <x>', help: 'highest learning rate' },
    'above 0',
    (value) => value > 0,
  ),
  /** One of the names; in a run whose program has its own, `own`. */
  schedule: {
    ...scheduleChoice,
    schema: z.union([z.literal(ownSchedule), scheduleChoice.schema], {
      error: ({ input }) => `there is no schedule ${input}; choose one of ${schedules.join(', ')}`,
    }),
  } as Choice<ScheduleName | typeof ownSchedule>,
  /** What `step` and `plateau` multiply the rate by. */
  lrFactor: optional(
    number(
      {
        name: 'factor of the learning rate',
        flag: '--lr-factor <x>',
        help: 'what --schedule step and plateau multiply the rate by',
      },
      'above 0 and below 1',
      (value) => value > 0 && value < 1,
    ),
  ),
  /** Epochs between the steps of `step`. */
  lrEvery: optional(
    count({
      name: 'number of epochs between steps of the learning rate',
      flag: '--lr-every <epochs>',
      help: 'epochs after which --schedule step lowers the rate, again and again',
    }),
  ),
  /** Epochs without a lower validation loss that `plateau` lets pass. */
  lrPatience: optional(
    count(
      {
        name: "plateau's patience",
        flag: '--lr-patience <epochs>',
        help: 'epochs without a lower validation loss that --schedule plateau lets pass before it lowers the rate',
      },
      0,
    ),
  ),
  /** What `plateau` doesn't go below. */
  lrMin: optional(
    number(
      { name: 'lowest learning rate', flag: '--lr-min <x>', help: 'what --schedule plateau does not go below' },
      'at least 0',
      (value) => value >= 0,
    ),
  ),
  /** Epochs, or a part of one, over which the rate first rises from near 0; 0 for none. */
  warmup: number(
    {
      name: 'number of warm-up epochs',
      flag: '--warmup <epochs>',
      help: 'epochs over which the learning rate rises from 0, as in 5 or 0.5',
    },
    'at least 0',
    (value) => value >= 0,
  ),
};

/** How the learning rate goes over a run. */
export type RateOptions = Chosen<typeof rateChoices>;

/** Whose options the schedules' own are. */
const ownersOf: { readonly [K in keyof typeof scheduleDefaults]: readonly ScheduleName[] } = {
  lrFactor: ['step', 'plateau'],
  lrEvery: ['step'],
  lrPatience: ['plateau'],
  lrMin: ['plateau'],
};

/** Checks that a warm-up fits a run. @throws RequestError */
export function checkWarmup({ warmup, epochs }: Pick<RateOptions, 'warmup' | 'epochs'>): void {
  if (warmup < epochs) return;
  throw new RequestError(`the warm-up takes ${warmup} of ${epochs} epochs; it must be at least 0 and below --epochs`);
}

/** @throws RequestError for an option among `told` that belongs to another schedule */
export function checkScheduleOptions(told: object, schedule: RateOptions['schedule']): void {
  const values = told as Readonly<Record<string, unknown>>;
  for (const [key, owners] of Object.entries(ownersOf) as [keyof typeof ownersOf, readonly string[]][]) {
    if (values[key] === undefined || owners.includes(schedule)) continue;
    const flag = rateChoices[key].flag.split(' ')[0];
    throw new RequestError(
      `the schedule ${schedule} takes no ${flag}: it belongs to --schedule ${owners.join(' or ')}; choose one or leave it out`,
    );
  }
}

/** Where a step is in its run; epoch and batch count from 0. */
export interface RatePlace {
  readonly epoch: number;
  readonly batch: number;
  readonly batches: number;
}

/** What a schedule of one's own is told of a step. */
export interface ScheduleMoment extends RatePlace {
  /** Of the run. */
  readonly epochs: number;
  /** The run's learning rate: its highest, if the schedule keeps to that. */
  readonly learningRate: number;
  /** The epochs that are over. */
  readonly records: readonly EpochRecord[];
}

/** A schedule of one's own: the learning rate of a step. It must depend on nothing but what it is told. */
export type ScheduleFunction = (moment: ScheduleMoment) => number;

/**
 * The learning rate of a step. During the warm-up it rises linearly, batch by batch, to the full rate; multistep keeps
 * its steps at half and three quarters of all epochs, cosine falls over the epochs after the warm-up.
 * @param losses validation losses of the epochs before, which decide where `plateau` is
 */
export function learningRateAt(
  options: RateOptions & { readonly schedule: ScheduleName },
  { epoch, batch, batches }: RatePlace,
  losses: readonly number[] = [],
): number {
  const { schedule, learningRate, warmup, epochs } = options;
  const done = epoch + batch / batches;
  const rising = done < warmup ? Math.min(1, (done + 1 / batches) / warmup) : 1;
  const lrFactor = options.lrFactor ?? scheduleDefaults.lrFactor;
  if (schedule === 'plateau') {
    const { lrPatience = scheduleDefaults.lrPatience, lrMin = scheduleDefaults.lrMin } = options;
    return rising * plateauRate({ learningRate, lrFactor, lrPatience, lrMin }, losses);
  }
  // The steps of multistep fall on whole epochs, as PyTorch's milestones do; cosine moves with every batch.
  const progress = schedule === 'multistep' ? epoch / epochs : Math.max(0, (done - warmup) / (epochs - warmup));
  const { lrEvery = scheduleDefaults.lrEvery } = options;
  return learningRate * rising * factors[schedule]({ progress, epoch, lrFactor, lrEvery });
}

/** The rate that a schedule of one's own gives. @throws RequestError where it is none */
export function ownRateAt(own: ScheduleFunction, moment: ScheduleMoment): number {
  const rate: unknown = own(moment);
  if (typeof rate === 'number' && Number.isFinite(rate) && rate >= 0) return rate;
  throw new RequestError(
    `the schedule gives ${show(rate)} for batch ${moment.batch} of epoch ${moment.epoch} (both from 0); it must be a learning rate, a number of at least 0`,
  );
}
