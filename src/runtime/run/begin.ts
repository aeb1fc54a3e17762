/** @file How a training run begins or goes on: what is checked, what its folder gets, what it plans of memory. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DenseNet, Network } from '../../builders/index.js';
import { accepted, given } from '../../choices.js';
import type { Compiled } from '../../compile.js';
import { DensecError, InternalError, RequestError } from '../../ir/index.js';
import { type OptimizerOptions, optimizerOf } from '../../passes/optimizers/index.js';
import { type Bundle, copyBundle, prepareOutputFolder, writeBundle } from '../bundle/bundle.js';
import { compileAgain, lowerAgain } from '../bundle/replan.js';
import type { Dataset } from '../data/dataset.js';
import { type DataMemory, dataMemory } from '../data/memory.js';
import { checkDataset, requireTwoClasses } from '../data/network-data.js';
import { heldOut, imageCounts, isBatchSource, requireResizedCrop } from '../data/run-data.js';
import type { BatchSource } from '../data/source.js';
import { makeFolder } from '../files/atomic-file.js';
import { RunLock } from '../files/run-lock.js';
import { forecastMemory, type MemoryForecast } from '../measure/forecast.js';
import { freeMemory } from '../measure/free-memory.js';
import { describeMemory } from '../measure/memory-advice.js';
import type { State } from '../model/weights.js';
import { cpu, parseDevice } from '../session/devices.js';
import type { Processes } from '../session/mpi/processes.js';
import { requireRuntime } from '../session/runtime-package.js';
import { type SessionOptions, sessionOf } from '../session/session.js';
import {
  checkIdentity,
  installBundle,
  openRun,
  placeLowered,
  relowered,
  restoreBundle,
  writeLowered,
} from './bundle-in-place.js';
import { type Progress, prepareRun, runFiles, type Saving, tidyRun } from './checkpoint.js';
import type { ChangeEvent, ResultEvent, TrainContext, TrainEvent } from './events.js';
import { checkScheduleOptions, checkWarmup, ownSchedule, type ScheduleFunction } from './learning-rate.js';
import { globalBatch, type TrainOptions, trainChoices, trainDefaults, trainOptionsSchema } from './options.js';
import { checkOwnSchedule, optionsAt } from './schedule.js';
import { changeOf, type SomeTrainOptions, withOptions } from './segments.js';
import { train } from './training-loop.js';

/** What a run trains: a network compiled just now, or a bundle. */
export type TrainSource = { readonly network: Network | DenseNet; readonly compiled: Compiled } | Bundle;

/** Where a run keeps its files, and how it runs. */
export interface RunPlace extends SessionOptions {
  /** The run's folder. */
  readonly save: string;
  /** How often to save: after each epoch, and every so many steps where told. */
  readonly checkpointEvery?: number | undefined;
  /** How many checkpoints to keep; by default the last. */
  readonly keep?: number | undefined;
  /** Threads that prepare batches; 0 prepares them in this one. By default one less than there are cores, at most 4. */
  readonly dataWorkers?: number | undefined;
  /** The learning rate's schedule where it is a function of the program's; `schedule` is `own` then. */
  readonly ownSchedule?: ScheduleFunction | undefined;
  /** Starts a run although the bytes that its step has alive at once are more than the machine has free. */
  readonly allowOvercommit?: boolean | undefined;
  /** The processes that take each step together, where there are several; this one is the first. */
  readonly team?: Processes | undefined;
  /** Told why the run's folder is waited for. */
  readonly onWait?: ((message: string) => void) | undefined;
}

/** A new run. What is left out has the defaults of the command line. */
export interface BeginOptions extends RunPlace, SomeTrainOptions {
  /** Replaces the run that the folder holds. */
  readonly force?: boolean;
  /** Whether batch norm normalizes by the images of all processes; as in the bundle, where one is trained, unless told. */
  readonly syncBatchNorm?: boolean | undefined;
  /** Parameters and running statistics to begin with, instead of the network's own. */
  readonly initial?: State | undefined;
  /** Instead of `validSize`: the share of the images that are not for the test, or of all where the data has no parts. */
  readonly validShare?: number | undefined;
}

/** An old run. */
export interface ResumeOptions extends RunPlace, SomeTrainOptions {
  /** Another checkpoint than the last. */
  readonly from?: string | undefined;
  /** Where the data is now, where it has moved; its images must be those that the run began with. */
  readonly data?: string | undefined;
  /** The run's network compiled otherwise; its bundle gives way to this once its models have been opened. */
  readonly lowered?: Compiled | Bundle | undefined;
}

/** A process that takes part in a run, behind the first. */
export interface JoinOptions extends SessionOptions, Pick<RunPlace, 'save' | 'dataWorkers'> {
  readonly team: Processes;
}

/** A run's memory as planned, or why it can't be. */
export type RunMemory =
  | { readonly compiled: Compiled; readonly forecast: MemoryForecast }
  | { readonly unknown: string; readonly forecast?: undefined };

/** A run that is ready to train: what the command line and `Trainer` stand on. */
export class TrainingRun {
  private stopped = false;
  private started = false;

  private constructor(
    /** All options of the run, defaults included. */
    readonly options: TrainOptions,
    /** What a step will take, told before the first. */
    readonly memory: RunMemory,
    private readonly context: TrainContext,
  ) {}

  /**
   * Prepares a new run: checks everything, then makes the run's folder with the bundle in it.
   * @throws RequestError when options or data don't fit the network; FailureError when the folder is not empty, another
   * process trains into it, or the disk refuses
   */
  static async begin(source: TrainSource, dataset: Dataset | BatchSource, options: BeginOptions): Promise<TrainingRun> {
    const { save, force = false, initial, ...place } = options;
    const input = 'manifest' in source ? source.manifest : { ...source.network, loss: source.compiled.loss };
    const optimizer = 'manifest' in source ? source.manifest.optimizer : source.compiled.optimizer;
    const resolved = resolveTrainOptions(withProcesses(options), dataset, optimizer);
    const { team } = place;
    const again = 'manifest' in source ? loweredFor(source, team !== undefined, options.syncBatchNorm) : undefined;
    if (!isBatchSource(dataset)) {
      checkDataset(dataset, input, resolved.data);
      requireTwoClasses(dataset, resolved.data);
      requireResizedCrop(dataset, resolved.resizedCrop);
    }
    requireValidation(dataset, resolved);
    requireRuntime();
    await prepareOutputFolder(save, force);
    // Planning blocks the thread, so it comes before the lock: who has one gives signs of life.
    const memory = planRun(
      'manifest' in source ? () => again ?? compileAgain(source) : () => source.compiled,
      resolved,
      dataset,
      dataMemory(dataset, input.inputShape, place.dataWorkers),
    );
    refuseOvercommit(memory, place.device, place.allowOvercommit);
    // Everything that can be refused has been: only now is the folder touched.
    await makeFolder(save);
    return locked(save, place.onWait, async (lock) => {
      // Until the lock was taken, another process may have filled the folder.
      await prepareOutputFolder(save, force);
      await prepareRun(save);
      const bundle = await bringBundle(source, again, save, resolved.seed);
      return new TrainingRun(resolved, memory, {
        ...sessionOf(place),
        ...{ bundle, dataset, save, lock, initial, forecast: memory.forecast, saving: savingOf(place, undefined) },
        ...{ dataWorkers: place.dataWorkers, schedule: place.ownSchedule, team },
      });
    });
  }

  /**
   * Takes part in a run of several processes, of which the first has begun, or gone on with, the run of the folder and saved
   * where it stands.
   * @throws FailureError when the folder can't be seen from here, or the data is other data
   */
  static async join(dataset: Dataset, options: JoinOptions): Promise<TrainingRun> {
    const { save, team, dataWorkers } = options;
    const { progress, bundle } = await openRun(save);
    checkDataset(dataset, bundle.manifest, progress.options.data);
    const memory = { unknown: 'the first process tells it' };
    return new TrainingRun(progress.options, memory, {
      ...sessionOf(options),
      ...{ bundle, dataset, save, team, dataWorkers, resume: progress, saving: progress.saving },
    });
  }

  /**
   * Goes on with the run of a folder, on the same data, where its last checkpoint was, with its device and threads
   * unless told. Options that are told and aren't the run's begin a segment with the next epoch.
   * @throws RequestError for an option that can't change; FailureError when there is no run, its checkpoint and its
   * bundle (or `lowered`) don't belong together, or another process trains into the folder
   */
  static async resume(dataset: Dataset | BatchSource, options: ResumeOptions): Promise<TrainingRun> {
    const { save, from, lowered } = options;
    const before = await openRun(save, from);
    const told = trainOptionsOf(withProcesses(options, before.progress.options.processes));
    if (lowered) checkIdentity(before, lowered, save);
    const data = dataMemory(dataset, before.bundle.manifest.inputShape, options.dataWorkers);
    const planned = withOptions(before.progress, told, save);
    checkOwnSchedule(planned, options.ownSchedule);
    requireValidation(dataset, planned.options);
    if (!isBatchSource(dataset)) requireResizedCrop(dataset, planned.options.resizedCrop);
    const largest = withLargestBatch(planned, options.team?.size ?? 1);
    const isCompiled = lowered !== undefined && !('manifest' in lowered);
    const compiledAgain = isCompiled ? () => lowered : () => compileAgain(lowered ?? before.bundle);
    const memory = planRun(compiledAgain, largest, dataset, data);
    const { device: former } = before.progress.running;
    refuseOvercommit(memory, options.device ?? parseDevice(former), options.allowOvercommit);
    return locked(save, options.onWait, async (lock) => {
      await tidyRun(save);
      await restoreBundle(save);
      // Until the lock was taken, another process may have gone on with the run.
      const opened = await openRun(save, from);
      const { progress: before } = opened;
      const next = lowered && (await placeLowered(opened, lowered, save));
      const bundle = next ?? opened.bundle;
      const placed = moved(before, options.data);
      const changed = withOptions(placed, told, save);
      const progress = relowered(changed, bundle);
      const models = progress.relowered.slice(before.relowered.length).map(
        ({ epoch, change }): ChangeEvent => ({
          ...{ event: 'change', epoch: epoch + 1 },
          changes: [`goes on with another lowering: ${change}`],
        }),
      );
      const segments = changed === placed ? [] : [{ event: 'change' as const, ...changeOf(placed, changed.options) }];
      if (!isBatchSource(dataset)) checkDataset(dataset, bundle.manifest, progress.options.data);
      const { device, threads } = progress.running;
      return new TrainingRun(progress.options, memory, {
        ...sessionOf(options),
        ...{ device: options.device ?? parseDevice(device), threads: options.threads ?? threads },
        ...{ bundle, dataset, save, lock, forecast: memory.forecast, saving: savingOf(options, progress) },
        ...{ resume: progress, resumeFrom: from, dataWorkers: options.dataWorkers, schedule: options.ownSchedule },
        team: options.team,
        ...(progress !== before && { saveFirst: true, changes: [...models, ...segments] }),
        ...(next && { installBundle: () => installBundle(next.directory, save) }),
      });
    });
  }

  /** The bundle that is trained; compiled anew, under the temporary name that it has until the run's first checkpoint. */
  get bundle(): Bundle {
    return this.context.bundle;
  }

  /** What a resumed run goes on with that it didn't have; the first events tell it too. */
  get changes(): readonly ChangeEvent[] {
    return this.context.changes ?? [];
  }

  /** Trains, and yields what happens; the last event is the result. Errors are those of `train`. */
  async *events(): AsyncGenerator<TrainEvent> {
    if (this.started) throw new RequestError('this run has been started; resume it to go on');
    this.started = true;
    try {
      yield* train(this.options, { ...this.context, interrupted: () => this.stopped });
    } finally {
      // What refused to be opened is not kept; the run's own bundle is where it was.
      if (this.context.installBundle) await rm(this.context.bundle.directory, { recursive: true, force: true });
    }
  }

  /** Trains to the end, or to where it is stopped. */
  async run(show?: (event: TrainEvent) => void): Promise<ResultEvent> {
    let last: TrainEvent | undefined;
    for await (const event of this.events()) {
      show?.(event);
      last = event;
    }
    if (last?.event !== 'result') throw new InternalError('the run ended without a result');
    return last;
  }

  /** Asks the run to save and end after the step in progress. */
  stop(): void {
    this.stopped = true;
  }
}

/** Those of a call's options that decide the weights, but where the data is. */
function trainOptionsOf(options: SomeTrainOptions): SomeTrainOptions {
  const entries = Object.entries(options).filter(([name]) => Object.hasOwn(trainChoices, name));
  return Object.fromEntries(entries) as SomeTrainOptions;
}

/** The options of a run with the largest of the batches that are left for a process. */
function withLargestBatch(progress: Progress, processes: number): TrainOptions {
  const { options, epoch } = progress;
  const inProgress = Math.ceil(globalBatch(optionsAt(progress, epoch)) / processes);
  return { ...options, batchSize: Math.max(options.batchSize, inProgress) };
}

/**
 * A call's options with the number of processes that there are, where it isn't that of before.
 * @throws RequestError where others are asked for
 */
function withProcesses<T extends SomeTrainOptions & Pick<RunPlace, 'team'>>(options: T, before = 1): T {
  const { team, processes } = options;
  const size = team?.size ?? 1;
  if (processes !== undefined && processes !== size) {
    throw new RequestError(
      `${processes} processes are asked for and there ${size === 1 ? 'is one' : `are ${size}`}; start them with densec train --processes ${processes} or mpiexec -n ${processes} densec train`,
    );
  }
  return { ...options, processes: size === before ? undefined : size };
}

/** A bundle's network compiled for one process or several, where the bundle itself is for the other. */
function loweredFor(bundle: Bundle, processes: boolean, told: boolean | undefined): Compiled | undefined {
  const { processes: isForSeveral = false, syncBatchNorm: isSynchronized = false } = bundle.manifest;
  const syncBatchNorm = told ?? (processes && isSynchronized);
  if (isForSeveral === processes && isSynchronized === syncBatchNorm) return undefined;
  return lowerAgain(bundle, { processes, syncBatchNorm });
}

/** A run's progress with its data elsewhere; the same where it hasn't moved. */
function moved(progress: Progress, data: string | undefined): Progress {
  if (data === undefined || data === progress.options.data) return progress;
  return { ...progress, options: { ...progress.options, data } };
}

/** Prepares a run in a folder that is kept from other processes until the run has ended. */
async function locked(
  save: string,
  onWait: RunPlace['onWait'],
  prepare: (lock: RunLock) => Promise<TrainingRun>,
): Promise<TrainingRun> {
  const lock = await RunLock.take(save, { onWait });
  try {
    return await prepare(lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Options with their defaults. @throws RequestError when one is out of range */
function resolveTrainOptions(
  told: SomeTrainOptions & Pick<BeginOptions, 'validShare' | 'ownSchedule'>,
  dataset: Dataset | BatchSource,
  optimizer: OptimizerOptions,
): TrainOptions {
  const { validShare: _, ...some } = told;
  const options = accepted(trainOptionsSchema, {
    ...trainDefaults,
    ...{ data: dataset.name, learningRate: optimizerOf(optimizer).learningRate },
    ...given(some),
    validSize: heldOut(dataset, told),
  });
  checkWarmup(options);
  checkScheduleOptions(some, options.schedule);
  if (options.schedule === ownSchedule && !told.ownSchedule) {
    throw new RequestError('the schedule own is a function of a program: give Trainer.train the function as schedule');
  }
  return options;
}

/** @throws RequestError where the data can't be divided as asked, or options watch a validation that there isn't */
function requireValidation(dataset: Dataset | BatchSource, options: TrainOptions): void {
  const { validation } = imageCounts(dataset, options);
  const watching =
    options.patience !== undefined ? '--patience' : options.schedule === 'plateau' && '--schedule plateau';
  if (validation > 0 || !watching) return;
  throw new RequestError(`${watching} watches the validation, and no images are held out; give a --valid-size above 0`);
}

/** Plans a run's memory. Only a policy of one's own, and in format 1 a network, can't be planned from its bundle. */
function planRun(
  compiledAgain: () => Compiled,
  options: TrainOptions,
  dataset: Dataset | BatchSource,
  data: DataMemory,
): RunMemory {
  try {
    const compiled = compiledAgain();
    const images = imageCounts(dataset, options).training;
    return { compiled, forecast: forecastMemory(compiled, Math.min(options.batchSize, images), data) };
  } catch (error) {
    if (!(error instanceof DensecError)) throw error;
    return { unknown: error.message };
  }
}

/**
 * Refuses a run that the system would kill in its first step. What a card's memory holds is not known here.
 * @throws RequestError where what a step on the CPU has alive at once is more than is free, unless that is allowed
 */
function refuseOvercommit(memory: RunMemory, device = cpu, isAllowed = false): void {
  if (!memory.forecast || isAllowed || device.target !== 'cpu') return;
  const { refusal } = describeMemory(memory.compiled, memory.forecast, freeMemory());
  if (refusal !== undefined) throw new RequestError(refusal);
}

/** Puts the bundle, or its network compiled again, into the run's folder, which then has all that it takes to resume the run. */
async function bringBundle(
  source: TrainSource,
  again: Compiled | undefined,
  save: string,
  seed: number,
): Promise<Bundle> {
  const folder = join(save, runFiles.bundle);
  if ('manifest' in source) return again ? writeLowered(source, again, folder) : copyBundle(source, folder);
  const { network, compiled } = source;
  const config = 'config' in network ? { config: network.config } : {};
  return writeBundle(folder, network, compiled, { ...config, seed, force: true });
}

function savingOf({ checkpointEvery, keep }: Omit<RunPlace, 'save'>, resume: Progress | undefined): Saving {
  const every = checkpointEvery ?? resume?.saving.every;
  return { keep: keep ?? resume?.saving.keep ?? 1, ...(every !== undefined && { every }) };
}
