/** @file The library's way to train: a network, a data set, a folder. Thin over `train`, as the command line is. */

import { join } from 'node:path';
import type { Network } from '../../builders/index.js';
import { accepted, given, kindsOf } from '../../choices.js';
import { type Compiled, type CompileOptions, compile, compileKinds } from '../../compile.js';
import {
  aCount,
  aFlag,
  aFunction,
  aName,
  aNumber,
  anObject,
  checkFields,
  checkOptions,
  either,
  type Kinds,
  must,
  RequestError,
  show,
} from '../../ir/index.js';
import { type Bundle, openBundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import type { Dataset } from '../data/dataset.js';
import { type DataDescription, decodeDescription, withAllNames } from '../data/description.js';
import { checkDataset } from '../data/network-data.js';
import { isBatchSource, testBatches } from '../data/run-data.js';
import { type BatchSource, checkCounts, checkedBatches, sourceBatches } from '../data/source.js';
import { exportModel } from '../deploy/export.js';
import { checkBatch, EvaluationModel } from '../model/model.js';
import { type LoadedWeights, loadInitialWeights, loadWeights } from '../model/weights.js';
import { type SessionOptions, sessionKinds, sessionOf } from '../session/session.js';
import { type BeginOptions, type RunPlace, TrainingRun } from './begin.js';
import { runFiles } from './checkpoint.js';
import { type Evaluation, evaluateBatches } from './evaluation.js';
import type { TrainEvent } from './events.js';
import { ownSchedule, type ScheduleFunction } from './learning-rate.js';
import { type TrainOptions, trainChoices } from './options.js';

/** How to compile and where to run and save. */
export interface TrainerOptions extends CompileOptions, SessionOptions {
  /** The run's folder: weights, checkpoints, results.csv, curves.svg, report.html and the bundle. */
  readonly save: string;
  /** Replaces the run that the folder holds. */
  readonly force?: boolean;
  /** A file of weights to begin with, by any of the names that `matchWeights` knows. */
  readonly init?: string;
  /** Starts a run although the bytes that its step has alive at once are more than the machine has free. */
  readonly allowOvercommit?: boolean;
}

/** How to train; what is left out is as on the command line. */
export interface RunOptions extends Partial<Omit<TrainOptions, 'data' | 'schedule'>> {
  readonly epochs: number;
  /** One of the names, or a function that gives the learning rate of each step. A resumed run is given it again. */
  readonly schedule?: Exclude<TrainOptions['schedule'], 'own'> | ScheduleFunction;
  /** Instead of `validSize`: the share of the training images, or of all where the data came without parts. */
  readonly validShare?: number;
  /** How often to save: after each epoch, and every so many steps where told. */
  readonly checkpointEvery?: number;
  /** How many checkpoints to keep; by default the last. */
  readonly keep?: number;
  /** Threads that prepare batches; 0 prepares them in this one. By default one less than there are cores, at most 4. */
  readonly dataWorkers?: number;
  /** Once aborted, the run finishes its step, saves and ends. */
  readonly signal?: AbortSignal;
}

/** How to evaluate. */
export interface EvaluateOptions {
  /** Images evaluated at once; 64 unless told. What is not a source has batches of its own size. */
  readonly batchSize?: number;
  /** Threads that prepare a data set's batches, as for training. */
  readonly dataWorkers?: number;
}

const trainerKinds: Kinds<TrainerOptions> = {
  ...compileKinds,
  ...sessionKinds,
  save: must(aName),
  force: aFlag,
  init: aName,
  allowOvercommit: aFlag,
};

const aSignal = { ...anObject, expects: 'the signal of an AbortController' };

const trainKinds = kindsOf(trainChoices);

const runKinds: Kinds<RunOptions> = {
  ...trainKinds,
  epochs: must(trainKinds.epochs),
  schedule: either(trainKinds.schedule, { ...aFunction, expects: 'a function that gives a learning rate' }),
  validShare: aNumber,
  checkpointEvery: aCount(1),
  keep: aCount(1),
  dataWorkers: aCount(0),
  signal: aSignal,
};

const { validShare: _, ...resumable } = runKinds;
const resumeKinds: Kinds<Partial<Omit<RunOptions, 'validShare'>>> = { ...resumable, epochs: trainKinds.epochs };

const sourceKinds: Kinds<BatchSource> = {
  name: must(aName),
  counts: must({ ...anObject, expects: 'numbers of training, validation and test images' }),
  batches: must(aFunction),
};

const evaluateKinds: Kinds<EvaluateOptions> = { batchSize: aNumber, dataWorkers: aCount(0) };

/**
 * A network in training.
 *
 *     const trainer = new Trainer(network, { save: 'runs/own', remat: 'efficient' });
 *     for await (const event of trainer.train(dataset, { epochs: 10 })) …
 *     await trainer.export('own.onnx');
 */
export class Trainer {
  readonly compiled: Compiled;

  private readonly options: TrainerOptions;

  /**
   * Compiles the network. What `compile` warns of becomes a warning of the process, which Node shows on stderr.
   * @throws RequestError when the network doesn't compile or an option is none
   */
  constructor(
    readonly network: Network,
    options: TrainerOptions,
  ) {
    this.options = checkOptions('Trainer', options, trainerKinds);
    const forCompiler = Object.entries(this.options).filter(([name]) => Object.hasOwn(compileKinds, name));
    this.compiled = compile(network, Object.fromEntries(forCompiler) as CompileOptions);
    for (const text of this.compiled.warnings) process.emitWarning(text, 'DensecWarning');
  }

  /**
   * Trains from the beginning and yields what happens; the last event is the `result`. The folder is touched only once
   * everything that can be refused has been.
   * @throws RequestError when options or weights don't fit network or data; FailureError when the folder holds a run
   * already (unless `force`), a file can't be read or written, or the loss is no number
   */
  async *train(dataset: Dataset | BatchSource, options: RunOptions): AsyncGenerator<TrainEvent, void, void> {
    const { force = false, seed = 0 } = this.options;
    checkData(dataset);
    const { signal, schedule, ...given } = checkOptions('train', options, runKinds);
    const initial = await this.initialWeights();
    const run = await TrainingRun.begin({ network: this.network, compiled: this.compiled }, dataset, {
      ...this.place(given),
      ...{ seed, force, initial: initial?.state },
      ...given,
      ...scheduleOf(schedule),
    });
    yield* stoppable(run, signal);
  }

  /**
   * Goes on from the run's last checkpoint, to the same bits as if it had never stopped. Options that aren't the run's
   * begin with its next epoch; compiled otherwise (`remat`, `target`, `kernels`), the run goes on with the new training
   * model. Both are told in an event `change`.
   * @throws RequestError for an option that can't change; FailureError when there is no run, or it is of another network
   * or optimizer
   */
  async *resume(
    dataset: Dataset | BatchSource,
    options: Partial<Omit<RunOptions, 'validShare'>> = {},
  ): AsyncGenerator<TrainEvent, void, void> {
    checkData(dataset);
    const { signal, checkpointEvery, keep, schedule, ...rest } = checkOptions('resume', options, resumeKinds);
    const place = this.place({ ...given({ checkpointEvery, keep }) });
    const run = await TrainingRun.resume(dataset, {
      ...place,
      ...rest,
      ...scheduleOf(schedule),
      lowered: this.compiled,
    });
    yield* stoppable(run, signal);
  }

  /** The weights of the best epoch so far, or of the last. @throws FailureError when there are none yet */
  weights(which: 'best' | 'last' = 'best'): Promise<LoadedWeights> {
    return loadWeights(join(this.options.save, runFiles[which]), this.compiled.segments);
  }

  /**
   * Evaluates the best weights: on the test images of a data set or of a source of one's own, or on whatever batches
   * are given.
   * @throws RequestError when the data doesn't fit the network; FailureError when there are no weights yet, or no images
   */
  async evaluate(
    data: Dataset | BatchSource | Iterable<Batch> | AsyncIterable<Batch>,
    options: EvaluateOptions = {},
  ): Promise<Evaluation> {
    checkOptions('evaluate', options, evaluateKinds);
    const { state } = await this.weights();
    const bundle = await this.bundle();
    const batches = this.testBatches(data, options, (batch, what) => checkBatch(batch, bundle, false, what));
    const model = await EvaluationModel.open(bundle, state, sessionOf(this.options));
    try {
      return await evaluateBatches(model, batches);
    } finally {
      await model.close();
    }
  }

  /**
   * Exports the best weights as one ONNX model, as `exportModel`.
   * @param description what the model tells of its data; by default what the weights know
   */
  async export(path: string, description: DataDescription = {}): Promise<void> {
    const { state, metadata } = await this.weights();
    const known = decodeDescription(metadata, join(this.options.save, runFiles.best));
    await exportModel(path, this.compiled.forward, state, {
      ...withAllNames(known, this.network.classes),
      ...description,
    });
  }

  private testBatches(
    data: Dataset | BatchSource | Iterable<Batch> | AsyncIterable<Batch>,
    { batchSize = 64, dataWorkers }: EvaluateOptions,
    check: (batch: Batch, what: string) => void,
  ): Iterable<Batch> | AsyncIterable<Batch> {
    accepted(trainChoices.batchSize.schema, batchSize);
    if (typeof data !== 'object' || data === null || !('train' in data || 'counts' in data || isIterable(data))) {
      throw new RequestError(`the data is ${show(data)}; give a data set, a BatchSource or an iterable of batches`);
    }
    if ('train' in data) {
      checkDataset(data, { ...this.network, loss: this.compiled.loss }, data.name);
      return testBatches(data, batchSize, dataWorkers);
    }
    if (!('counts' in data)) return checkedBatches(data, check);
    checkCounts(data);
    const { seed = 0 } = this.options;
    return sourceBatches(data, { part: 'test', epoch: 0, seed, batchSize, first: 0 }, check);
  }

  private bundle(): Promise<Bundle> {
    return openBundle(join(this.options.save, runFiles.bundle));
  }

  private initialWeights(): Promise<LoadedWeights> | undefined {
    const { segments, initial } = this.compiled;
    const { init } = this.options;
    return init === undefined ? undefined : loadInitialWeights(init, segments, this.network.classes, initial);
  }

  private place(saving: Pick<RunOptions, 'checkpointEvery' | 'keep'>): RunPlace {
    const { save, allowOvercommit } = this.options;
    return { save, allowOvercommit, ...saving, ...sessionOf(this.options) };
  }
}

/** A schedule as runs take it. */
function scheduleOf(schedule: RunOptions['schedule']): Pick<BeginOptions, 'schedule' | 'ownSchedule'> {
  if (schedule === undefined) return {};
  return typeof schedule === 'function' ? { schedule: ownSchedule, ownSchedule: schedule } : { schedule };
}

/** @throws RequestError for what is neither a data set nor a source of batches */
function checkData(data: Dataset | BatchSource): void {
  const isMissing = typeof data !== 'object' || data === null;
  if (isMissing || (!isBatchSource(data) && !('train' in data && 'test' in data))) {
    throw new RequestError(
      `the data is ${show(data)}; give a data set (of loadDataset, which is awaited, or arrayDataset) or a BatchSource`,
    );
  }
  if (isBatchSource(data)) checkFields('the batch source', data, sourceKinds);
}

/** The events of a run, which ends after the step in progress once the signal is aborted. */
async function* stoppable(run: TrainingRun, signal: AbortSignal | undefined): AsyncGenerator<TrainEvent, void, void> {
  const stop = (): void => run.stop();
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  try {
    yield* run.events();
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function isIterable(data: object): boolean {
  return Symbol.iterator in data || Symbol.asyncIterator in data;
}
