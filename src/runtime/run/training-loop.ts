/** @file The training loop: epochs of steps, validation, checkpoints, and the test of the best weights. */

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { FailureError, type TensorData } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import { describeDataset, encodeDescription } from '../data/description.js';
import { asRecorded, checkSameData, type DataRecord, recordDataset } from '../data/record.js';
import { isBatchSource, openRunData, type RunData } from '../data/run-data.js';
import { WaitClock } from '../data/wait-clock.js';
import { RunLock } from '../files/run-lock.js';
import { writeSafetensors } from '../files/safetensors.js';
import { type BatchPart, type BatchResult, checkBatch, EvaluationModel, TrainingModel } from '../model/model.js';
import { readState, type State, weightsOnly } from '../model/state.js';
import { nonFinite } from '../model/weights.js';
import type { EpochRecord, History } from '../report/history.js';
import { cpu, deviceName } from '../session/devices.js';
import { sessionOf } from '../session/session.js';
import { newProgress, type Progress, runFiles, writeCheckpoint } from './checkpoint.js';
import type { EvaluationEvent, ResultEvent, TrainContext, TrainEvent } from './events.js';
import { bundleIdentity, loweringOf } from './identity.js';
import { learningRateAt } from './learning-rate.js';
import type { TrainOptions } from './options.js';
import { writeRunReport } from './report-files.js';
import { optionsAt } from './segments.js';

/**
 * Trains a bundle's network and yields what happens. Weights begin at the bundle's initial state, or at a checkpoint of
 * the run. The last batch of an epoch may be smaller than the others; one too small for batch norm is left out. Where
 * the bundle accumulates gradients, so many batches make an update; an epoch's last update takes those that are left.
 *
 * Written to the run's folder: `last.safetensors` before the first step, after each epoch, every so many steps where
 * asked, and when interrupted; `best.safetensors` whenever the validation error improves (with nothing held out: after
 * each epoch); `results.csv`, `curves.svg` and `report.html` after each epoch.
 * @throws RequestError when the options don't fit the data; FailureError when the loss or the state is no number or
 * the disk refuses
 */
export async function* train(options: TrainOptions, context: TrainContext): AsyncGenerator<TrainEvent> {
  const lock = context.lock ?? (await RunLock.take(context.save));
  try {
    const { dataset: given, resume } = context;
    const dataset = isBatchSource(given) ? given : asRecorded(given, resume?.data);
    const run = await Run.start(options, { ...context, dataset, lock });
    try {
      yield* run.all();
    } finally {
      await run.close();
    }
  } finally {
    await lock.release();
  }
}

/** What helps against a run that diverges. */
const remedy = 'try a lower --lr, or a --warmup';

/** A run's context with its lock taken. */
type LockedContext = TrainContext & { readonly lock: RunLock };

/** One run in progress. */
class Run {
  private progress: Progress;
  /** Time spent waiting for data: in the epoch, and in all. */
  private readonly waits = { epoch: new WaitClock(), run: new WaitClock() };
  /** The last checkpoint that is on the disk: its step and its finished epochs. */
  private saved: { readonly step: number; readonly epoch: number } | undefined;

  /** What is to be remembered of a data set; nothing is known of batches that a program makes. */
  private readonly known: { readonly record: DataRecord; readonly description: Record<string, string> } | undefined;

  private constructor(
    options: TrainOptions,
    private readonly context: LockedContext,
    private readonly model: TrainingModel,
    private readonly evaluation: EvaluationModel,
    private data: RunData,
  ) {
    const { bundle, dataset, resume, saving = resume?.saving ?? { keep: 1 }, device = cpu, threads } = context;
    if (!isBatchSource(dataset)) {
      const description = encodeDescription(describeDataset(dataset));
      this.known = { record: recordDataset(dataset), description };
    }
    const running = { device: deviceName(device), threads: threads ?? availableParallelism() };
    const models = {
      model: bundle.manifest.models.training.sha256,
      identity: bundleIdentity(bundle),
      lowering: loweringOf(bundle),
    };
    this.progress = resume
      ? { ...resume, ...models, saving, running }
      : newProgress({ options: { ...options }, ...models, saving, running, data: this.known?.record });
    // Resumed from an earlier checkpoint, the run's last one is yet to be replaced.
    if (resume && context.resumeFrom === undefined && !context.saveFirst)
      this.saved = { step: resume.step, epoch: resume.epoch };
  }

  static async start(options: TrainOptions, context: LockedContext): Promise<Run> {
    const { bundle, dataset, save, resume, resumeFrom = join(save, runFiles.last) } = context;
    if (!isBatchSource(dataset)) checkSameData(resume?.data, dataset);
    const state = (!resume && context.initial) || (await readState(resume ? resumeFrom : bundle.initial, bundle));
    const broken = nonFinite(state);
    if (broken) throw new FailureError(`${resumeFrom}: ${broken} is not finite; resume from an earlier checkpoint`);
    // Hours later it would be too late to find that the best weights so far are gone.
    if (resume?.best) await readState(join(save, runFiles.best), bundle);
    const check = (batch: Batch, what: string): void => checkBatch(batch, bundle, false, what);
    const first = resume ? optionsAt(resume, resume.epoch) : options;
    const data = openRunData(dataset, first, context.dataWorkers, check);
    const opened: { close(): Promise<void> }[] = [data];
    try {
      const model = await TrainingModel.open(bundle, state, sessionOf(context));
      opened.push(model);
      const evaluation = await EvaluationModel.open(bundle, state, sessionOf(context));
      return new Run(options, context, model, evaluation, data);
    } catch (error) {
      for (const part of opened) await part.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.data.close();
    await this.model.close();
    await this.evaluation.close();
  }

  async *all(): AsyncGenerator<TrainEvent> {
    // All that may refuse another training model has been done.
    if (this.context.installBundle) await this.write(this.context.installBundle);
    yield* this.context.changes ?? [];
    // A run can be resumed from its first moment on, and a disk that refuses is found before the first step.
    yield* this.checkpoint();
    // A run that was killed between a checkpoint and its reports catches up.
    if (this.progress.epochs.length > 0) await this.writeReports({ epochs: this.progress.epochs });
    while (this.progress.epoch < this.progress.options.epochs) {
      yield* this.steps();
      const finished = !this.interrupted() && (yield* this.finishEpoch());
      if (!finished) return yield* this.stop();
    }
    yield* this.testBest();
  }

  /** The rest of the epoch in progress; ends early when interrupted. */
  private async *steps(): AsyncGenerator<TrainEvent> {
    const batches = this.batches();
    if (this.interrupted() || this.progress.batch >= batches) return;
    this.waits.epoch.reset();
    const data = this.data.batches('training', this.progress.epoch, this.progress.batch);
    try {
      yield* this.stepsOver(data, batches);
    } finally {
      await data.return(undefined);
    }
  }

  private async *stepsOver(data: AsyncGenerator<Batch>, batches: number): AsyncGenerator<TrainEvent> {
    const { seed } = this.options;
    const { epoch } = this.progress;
    const { epochs } = this.progress.options;
    for (let batch = this.progress.batch; batch < batches; batch++) {
      const began = performance.now();
      const learningRate = learningRateAt(this.options, { epoch, batch, batches });
      // Data workers are ahead: what is waited for here is what they could not prepare during the steps before.
      const current = (await data.next()).value as Batch;
      const waited = performance.now() - began;
      const scalars = { learningRate, step: this.progress.step, seed, accumulation: this.batchPart(batch) };
      const { loss, errors } = await this.model.step(current, scalars).catch((error: unknown) => {
        if (!(error instanceof FailureError)) throw error;
        throw new FailureError(
          `${error.message}; ${this.lastGood()}: go on with densec train --resume --save ${this.context.save}`,
          { cause: error },
        );
      });
      if (!Number.isFinite(loss)) throw this.diverged(loss, learningRate);
      const stepMs = performance.now() - began;
      for (const clock of Object.values(this.waits)) clock.add(waited, stepMs);
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
        dataWait: this.waits.epoch.share,
        memoryBytes: process.memoryUsage.rss(),
      };
      if (this.interrupted()) return;
      const { every } = this.progress.saving;
      // The end of an epoch has a checkpoint of its own, after the validation.
      if (every !== undefined && this.progress.step % every === 0 && batch + 1 < batches) yield* this.checkpoint();
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

  /** Validates, keeps the weights if they are the best, saves and reports; false when interrupted before that. */
  private async *finishEpoch(): AsyncGenerator<TrainEvent, boolean> {
    const { progress } = this;
    const state = await this.finiteState();
    await this.evaluation.setState(state);
    const valid = this.data.counts.validation > 0 ? yield* this.evaluate('validation') : undefined;
    if (valid === 'interrupted') return false;
    const batches = this.batches();
    const record: EpochRecord = {
      epoch: progress.epoch + 1,
      learningRate: learningRateAt(this.options, { epoch: progress.epoch, batch: batches - 1, batches }),
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
    if (best) await this.writeBest(state);
    const { epochs } = this.progress.options;
    yield { event: 'epoch', epochs, best, dataWait: this.waits.epoch.share, ...record };
    yield* this.checkpoint(state);
    await this.writeReports({ epochs: this.progress.epochs });
    if (this.progress.earlier.some(({ until }) => until === this.progress.epoch)) await this.reopenData();
    return true;
  }

  /** Batches as the options of a segment that begins want them. */
  private async reopenData(): Promise<void> {
    const { dataset, bundle, dataWorkers } = this.context;
    await this.data.close();
    this.data = openRunData(dataset, this.options, dataWorkers, (batch, what) =>
      checkBatch(batch, bundle, false, what),
    );
  }

  /** The options of the epoch in progress. */
  private get options(): TrainOptions {
    return optionsAt(this.progress, this.progress.epoch);
  }

  private async *testBest(): AsyncGenerator<TrainEvent> {
    // Only batches of one's own may come without a test.
    if (this.data.counts.test === 0) return yield this.result(false);
    await this.evaluation.setState(await readState(this.file(runFiles.best), this.context.bundle));
    const test = yield* this.evaluate('test');
    if (test === 'interrupted') return yield* this.stop();
    await this.writeReports({ epochs: this.progress.epochs, test });
    yield { ...this.result(false), testLoss: test.loss, testError: test.error };
  }

  private async *evaluate(name: EvaluationEvent['split']): AsyncGenerator<TrainEvent, Evaluation | 'interrupted'> {
    const batches = this.data.batches(name);
    const steps = evaluationSteps(this.evaluation, batches);
    try {
      let measured = await steps.next();
      while (!measured.done) {
        yield { event: 'evaluation', split: name, done: measured.value, count: this.data.counts[name] };
        if (this.interrupted()) return 'interrupted';
        measured = await steps.next();
      }
      return measured.value;
    } finally {
      await batches.return(undefined);
    }
  }

  /** Saves, unless the disk has this very state already. @throws FailureError naming the last good checkpoint */
  private async *checkpoint(known?: State): AsyncGenerator<TrainEvent> {
    const { step, epoch } = this.progress;
    if (this.saved?.step === step && this.saved.epoch === epoch) return;
    const state = known ?? (await this.finiteState());
    const file = await this.write(() =>
      writeCheckpoint(this.context.save, state, this.progress, this.known?.description),
    );
    this.saved = { step, epoch };
    yield { event: 'checkpoint', file, epoch, step };
  }

  private async *stop(): AsyncGenerator<TrainEvent> {
    yield* this.checkpoint();
    yield this.result(true);
  }

  /** The state, all of it finite: a checkpoint that is not would be no good one. */
  private async finiteState(): Promise<Map<string, TensorData>> {
    const state = await this.model.state();
    const broken = nonFinite(state);
    if (broken) {
      throw new FailureError(`${broken} is not finite after step ${this.progress.step}; ${this.lastGood()}; ${remedy}`);
    }
    return state;
  }

  private writeBest(state: State): Promise<void> {
    return this.write(() => writeSafetensors(this.file(runFiles.best), weightsOnly(state), this.known?.description));
  }

  private writeReports(history: History): Promise<void> {
    return this.write(() => writeRunReport(history, this.progress, this.context, this.data.counts));
  }

  /** Writes into the folder while it is ours. @throws FailureError naming the last good checkpoint */
  private async write<T>(action: () => Promise<T>): Promise<T> {
    await this.context.lock.check();
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof FailureError) || !this.saved) throw error;
      throw new FailureError(`${error.message}; ${this.lastGood()}`, { cause: error });
    }
  }

  private result(interrupted: boolean): ResultEvent {
    const { epoch, step, best } = this.progress;
    return {
      event: 'result',
      interrupted,
      epochs: epoch,
      steps: step,
      bestEpoch: best?.epoch,
      dataWait: this.waits.run.share,
      skippedImages: this.progress.data?.skipped.length ?? 0,
      save: this.context.save,
    };
  }

  private diverged(loss: number, learningRate: number): FailureError {
    const { epoch, batch, step } = this.progress;
    const place = `step ${step + 1} (epoch ${epoch + 1}, batch ${batch + 1}, learning rate ${learningRate})`;
    return new FailureError(`the loss became ${loss} at ${place}; ${this.lastGood()}; ${remedy}`);
  }

  private lastGood(): string {
    if (!this.saved) return 'there is no checkpoint yet';
    const { epoch, step } = this.saved;
    return `the last good checkpoint is ${this.file(runFiles.last)}, of step ${step} (${epoch} epochs done)`;
  }

  private interrupted(): boolean {
    return this.context.interrupted?.() ?? false;
  }

  /** Batches of an epoch; a last one that is too small for batch norm doesn't count. */
  private batches(): number {
    const { batchSize } = this.options;
    const rest = this.data.counts.training % batchSize;
    const whole = Math.floor(this.data.counts.training / batchSize);
    return rest >= Math.max(1, this.context.bundle.manifest.leastBatchSize) ? whole + 1 : whole;
  }

  /** A batch's part in its update, by images: every image of an update counts the same. */
  private batchPart(batch: number): BatchPart {
    const { accumulate } = this.context.bundle.manifest.optimizer;
    const first = batch - (batch % accumulate);
    const end = Math.min(first + accumulate, this.batches());
    const images = (from: number, to: number): number => {
      const { batchSize } = this.options;
      return Math.min(to * batchSize, this.data.counts.training) - from * batchSize;
    };
    return { share: images(batch, batch + 1) / images(first, end), last: batch + 1 === end };
  }

  private file(name: string): string {
    return join(this.context.save, name);
  }
}

/** Loss and error over a number of images. */
export interface Evaluation {
  /** Mean. */
  readonly loss: number;
  /** Share of misclassified images, 0 to 1. */
  readonly error: number;
  readonly count: number;
}

/**
 * Mean loss and share of errors over batches.
 * @param progress told how many images are done
 * @throws FailureError when there is no batch
 */
export async function evaluateBatches(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  progress?: (done: number) => void,
): Promise<Evaluation> {
  const steps = evaluationSteps(model, batches);
  let measured = await steps.next();
  while (!measured.done) {
    progress?.(measured.value);
    measured = await steps.next();
  }
  if (measured.value.count === 0) throw new FailureError('there are no images to evaluate; give at least one batch');
  return measured.value;
}

/** Evaluates batch by batch and yields how many images are done. */
async function* evaluationSteps(
  model: EvaluationModel,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
): AsyncGenerator<number, Evaluation> {
  let [lossSum, errorSum, count] = [0, 0, 0];
  for await (const batch of batches) {
    const { loss, errors }: BatchResult = await model.evaluate(batch);
    const images = batch.labels.data.length;
    lossSum += loss * images;
    errorSum += errors;
    count += images;
    yield count;
  }
  return { loss: lossSum / count, error: errorSum / count, count };
}
