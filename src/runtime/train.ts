/** @file The training loop: epochs of steps, validation, checkpoints, and the test of the best weights. */

import { join } from 'node:path';
import { FailureError } from '../ir/index.js';
import { writeFileAtomic } from './atomic-file.js';
import type { Bundle } from './bundle.js';
import { type Progress, runFiles, writeCheckpoint } from './checkpoint.js';
import { type Batch, epochOrder, makeBatch, splitValidation } from './data/batches.js';
import type { Dataset, Split } from './data/dataset.js';
import { describeDataset, encodeDescription } from './data/description.js';
import { type EpochRecord, formatResults, type History } from './history.js';
import { EvaluationModel, TrainingModel } from './model.js';
import { writeSafetensors } from './safetensors.js';
import { learningRateAt, type Schedule } from './schedule.js';
import type { SessionOptions } from './session.js';
import { readState, type State, withoutMomentum } from './state.js';

/** How to train. Everything but threads and device decides the final weights. */
export interface TrainOptions {
  /** The data set's source, as the user named it. */
  readonly data: string;
  readonly epochs: number;
  readonly batchSize: number;
  /** The schedule's highest learning rate. */
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Training images held out for validation. */
  readonly validSize: number;
  /** Most images to use of each split. */
  readonly limit?: number | undefined;
  readonly seed: number;
}

/** What a run tells while it goes on. Losses are means; errors are fractions from 0 to 1. */
export type TrainEvent =
  | {
      readonly event: 'step';
      /** Counted from 1. */
      readonly epoch: number;
      readonly epochs: number;
      /** Counted from 1 within the epoch. */
      readonly batch: number;
      readonly batches: number;
      /** Of this batch. */
      readonly loss: number;
      readonly error: number;
      /** Over the epoch so far. */
      readonly meanLoss: number;
      readonly meanError: number;
      readonly learningRate: number;
      readonly stepMs: number;
      readonly imagesPerSecond: number;
    }
  | ({ readonly event: 'epoch'; readonly epochs: number; readonly best: boolean } & EpochRecord)
  | { readonly event: 'checkpoint'; readonly file: string; readonly epoch: number; readonly step: number }
  | {
      readonly event: 'result';
      readonly interrupted: boolean;
      readonly epochs: number;
      readonly steps: number;
      /** Of the best weights on the test images; absent when interrupted. */
      readonly testLoss?: number;
      readonly testError?: number;
      /** Epoch of the best weights, counted from 1. */
      readonly bestEpoch?: number | undefined;
      readonly save: string;
    };

/** What a run needs beside its options. */
export interface TrainContext extends SessionOptions {
  readonly bundle: Bundle;
  readonly dataset: Dataset;
  /** The run's folder. */
  readonly save: string;
  /** Parameters and running statistics to begin with, instead of the bundle's initial state. */
  readonly initial?: State | undefined;
  /** Where to go on, when resuming. */
  readonly resume?: Progress | undefined;
  /** Asked after every step: whether to save and stop. */
  readonly interrupted?: () => boolean;
}

/**
 * Trains a bundle's network and yields what happens. Weights begin at the bundle's initial state, or at the run's last
 * checkpoint. The last batch of an epoch may be smaller than the others; one too small for batch norm is left out.
 *
 * Written to the run's folder: `last.safetensors` after each epoch and when interrupted, `best.safetensors` whenever
 * the validation error improves (with nothing held out: after each epoch), `results.csv`, `curves.svg`, `report.html`.
 * @throws RequestError when the options don't fit the data; FailureError when the loss is no number or the disk refuses
 */
export async function* train(options: TrainOptions, context: TrainContext): AsyncGenerator<TrainEvent> {
  const run = await Run.start(options, context);
  try {
    yield* run.all();
  } finally {
    await run.close();
  }
}

/** Indices of the images that a run uses. */
interface RunImages {
  /** Of the training split. */
  readonly training: Uint32Array;
  /** Of the training split, held out. */
  readonly validation: Uint32Array;
  /** Of the test split. */
  readonly test: Uint32Array;
}

/** Which images a run uses. @throws RequestError when nothing would be left to train on */
export function splitImages(
  dataset: Dataset,
  { limit = Number.POSITIVE_INFINITY, validSize, seed }: TrainOptions,
): RunImages {
  const limited: Split = { ...dataset.train, count: Math.min(dataset.train.count, limit) };
  const { train: training, validation } = splitValidation(limited, validSize, seed);
  const test = Uint32Array.from({ length: Math.min(dataset.test.count, limit) }, (_, index) => index);
  return { training, validation, test };
}

/** One run in progress. */
class Run {
  private progress: Progress;

  private constructor(
    private readonly options: TrainOptions,
    private readonly context: TrainContext,
    private readonly model: TrainingModel,
    private readonly evaluation: EvaluationModel,
    private readonly images: RunImages,
  ) {
    const { bundle, resume } = context;
    this.progress = resume ?? {
      formatVersion: 1,
      options: { ...options },
      model: bundle.manifest.models.training.sha256,
      epoch: 0,
      batch: 0,
      step: 0,
      lossSum: 0,
      errorSum: 0,
      imageCount: 0,
      seconds: 0,
      epochs: [],
    };
  }

  static async start(options: TrainOptions, context: TrainContext): Promise<Run> {
    const { bundle, dataset, save, resume } = context;
    const images = splitImages(dataset, options);
    const state =
      (!resume && context.initial) || (await readState(resume ? join(save, runFiles.last) : bundle.initial, bundle));
    const model = await TrainingModel.open(bundle, state, context);
    try {
      const evaluation = await EvaluationModel.open(bundle, state, context);
      return new Run(options, context, model, evaluation, images);
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.model.close();
    await this.evaluation.close();
  }

  async *all(): AsyncGenerator<TrainEvent> {
    while (this.progress.epoch < this.options.epochs) {
      yield* this.steps();
      if (this.progress.batch < this.batches()) {
        yield await this.checkpoint();
        yield this.result(true);
        return;
      }
      yield* this.finishEpoch();
    }
    yield* this.testBest();
  }

  /** The rest of the epoch in progress; ends early when interrupted. */
  private async *steps(): AsyncGenerator<TrainEvent> {
    const { epochs, seed, schedule, learningRate: base } = this.options;
    const { epoch } = this.progress;
    const order = epochOrder(this.images.training.length, seed, epoch);
    const batches = this.batches();
    let next = this.batch(order, this.progress.batch);
    for (let batch = this.progress.batch; batch < batches; batch++) {
      const began = performance.now();
      const learningRate = learningRateAt(schedule, base, { epoch, batch, epochs, batches });
      const current = next;
      const running = this.model.step(current, { learningRate, step: this.progress.step, seed });
      // The next batch is made while this step runs in its thread.
      if (batch + 1 < batches) next = this.batch(order, batch + 1);
      const { loss, errors } = await running;
      if (!Number.isFinite(loss)) throw this.diverged(loss, learningRate);
      const stepMs = performance.now() - began;
      const count = current.labels.data.length;
      this.count(loss, errors, count, stepMs);
      yield {
        event: 'step',
        epoch: epoch + 1,
        epochs,
        batch: batch + 1,
        batches,
        loss,
        error: errors / count,
        meanLoss: this.progress.lossSum / this.progress.imageCount,
        meanError: this.progress.errorSum / this.progress.imageCount,
        learningRate,
        stepMs,
        imagesPerSecond: (1000 * count) / stepMs,
      };
      if (this.context.interrupted?.()) return;
    }
  }

  private count(loss: number, errors: number, images: number, stepMs: number): void {
    const { progress } = this;
    this.progress = {
      ...progress,
      batch: progress.batch + 1,
      step: progress.step + 1,
      lossSum: progress.lossSum + loss * images,
      errorSum: progress.errorSum + errors,
      imageCount: progress.imageCount + images,
      seconds: progress.seconds + stepMs / 1000,
    };
  }

  private async *finishEpoch(): AsyncGenerator<TrainEvent> {
    const { progress, options } = this;
    const state = await this.model.state();
    await this.evaluation.setState(state);
    const valid =
      this.images.validation.length > 0
        ? await this.evaluate(this.context.dataset.train, this.images.validation)
        : undefined;
    const { epochs, schedule, learningRate: base } = options;
    const batches = this.batches();
    const record: EpochRecord = {
      epoch: progress.epoch + 1,
      learningRate: learningRateAt(schedule, base, { epoch: progress.epoch, batch: batches - 1, epochs, batches }),
      trainLoss: progress.lossSum / progress.imageCount,
      trainError: progress.errorSum / progress.imageCount,
      validLoss: valid?.loss,
      validError: valid?.error,
      seconds: progress.seconds,
    };
    const best = !valid || !progress.best || valid.error < progress.best.error;
    this.progress = {
      ...progress,
      epoch: progress.epoch + 1,
      batch: 0,
      lossSum: 0,
      errorSum: 0,
      imageCount: 0,
      seconds: 0,
      epochs: [...progress.epochs, record],
      best: best ? { epoch: record.epoch, error: valid?.error ?? record.trainError } : progress.best,
    };
    if (best) {
      const metadata = encodeDescription(describeDataset(this.context.dataset));
      await writeSafetensors(this.file(runFiles.best), withoutMomentum(state), metadata);
    }
    yield { event: 'epoch', epochs, best, ...record };
    yield await this.checkpoint();
    await this.writeReports({ epochs: this.progress.epochs });
  }

  private async *testBest(): AsyncGenerator<TrainEvent> {
    const { bundle, dataset } = this.context;
    await this.evaluation.setState(await readState(this.file(runFiles.best), bundle));
    const test = await this.evaluate(dataset.test, this.images.test);
    await this.writeReports({ epochs: this.progress.epochs, test });
    yield { ...this.result(false), testLoss: test.loss, testError: test.error };
  }

  private async evaluate(split: Split, indices: Uint32Array): Promise<{ loss: number; error: number }> {
    return evaluateImages(this.evaluation, this.context.dataset, split, indices, this.options.batchSize);
  }

  private async checkpoint(): Promise<TrainEvent> {
    const file = this.file(runFiles.last);
    await writeCheckpoint(file, await this.model.state(), this.progress);
    return { event: 'checkpoint', file, epoch: this.progress.epoch, step: this.progress.step };
  }

  private async writeReports(history: History): Promise<void> {
    const { bundle, dataset } = this.context;
    const { data, epochs, batchSize, learningRate, schedule, validSize, limit, seed } = this.options;
    const configuration: [string, string][] = [
      ['network', bundle.manifest.name],
      ['parameters', bundle.manifest.parameters.toLocaleString('en')],
      ['data', `${dataset.name} (${data})`],
      [
        'training / validation / test images',
        [this.images.training, this.images.validation, this.images.test].map(({ length }) => length).join(' / '),
      ],
      ['epochs', String(epochs)],
      ['batch size', String(batchSize)],
      ['learning rate', `${learningRate}, ${schedule}`],
      ['held out for validation', String(validSize)],
      ...(limit === undefined ? [] : [['limit', String(limit)] as [string, string]]),
      ['seed', String(seed)],
    ];
    await writeFileAtomic(this.file(runFiles.results), formatResults(history));
    // The plotting libraries take longer to load than most commands to run.
    const { renderCurves, renderReport } = await import('./report/index.js');
    await writeFileAtomic(this.file(runFiles.curves), renderCurves(history));
    const title = `${bundle.manifest.name} on ${dataset.name}`;
    await writeFileAtomic(this.file(runFiles.report), renderReport({ title, history, configuration }));
  }

  private result(interrupted: boolean): TrainEvent & { event: 'result' } {
    const { epoch, step, best } = this.progress;
    return {
      event: 'result',
      interrupted,
      epochs: epoch,
      steps: step,
      bestEpoch: best?.epoch,
      save: this.context.save,
    };
  }

  private diverged(loss: number, learningRate: number): FailureError {
    const { epoch, batch, step } = this.progress;
    const last = epoch > 0 ? `the last good checkpoint is ${this.file(runFiles.last)}` : 'there is no checkpoint yet';
    return new FailureError(
      `the loss became ${loss} at step ${step + 1} (epoch ${epoch + 1}, batch ${batch + 1}, learning rate ${learningRate}); ${last}; try a lower --lr`,
    );
  }

  /** Batches of an epoch; a last one that is too small for batch norm doesn't count. */
  private batches(): number {
    const { batchSize } = this.options;
    const rest = this.images.training.length % batchSize;
    const whole = Math.floor(this.images.training.length / batchSize);
    return rest >= Math.max(1, this.context.bundle.manifest.leastBatchSize) ? whole + 1 : whole;
  }

  private batch(order: Uint32Array, batch: number): Batch {
    const { dataset } = this.context;
    const { batchSize, seed } = this.options;
    const places = order.subarray(batch * batchSize, (batch + 1) * batchSize);
    const indices = places.map((place) => this.images.training[place] ?? 0);
    return makeBatch(dataset, dataset.train, indices, { augment: { seed, epoch: this.progress.epoch } });
  }

  private file(name: string): string {
    return join(this.context.save, name);
  }
}

/** Mean loss and share of errors over the images of a split that `indices` names. */
export async function evaluateImages(
  model: EvaluationModel,
  dataset: Dataset,
  split: Split,
  indices: Uint32Array,
  batchSize: number,
  progress?: (done: number) => void,
): Promise<{ loss: number; error: number; count: number }> {
  let [lossSum, errorSum] = [0, 0];
  for (let start = 0; start < indices.length; start += batchSize) {
    const chosen = indices.subarray(start, start + batchSize);
    const { loss, errors } = await model.evaluate(makeBatch(dataset, split, chosen));
    lossSum += loss * chosen.length;
    errorSum += errors;
    progress?.(start + chosen.length);
  }
  const count = indices.length;
  return { loss: lossSum / count, error: errorSum / count, count };
}
