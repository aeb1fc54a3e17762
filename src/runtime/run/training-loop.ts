/** @file The training loop: epochs of steps, validation, checkpoints, and the test of the best weights. */

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { taskOf } from '../../builders/losses/index.js';
import { FailureError, type TensorData } from '../../ir/index.js';
import type { Batch } from '../data/batches.js';
import { describeDataset, encodeDescription } from '../data/description.js';
import { asRecorded, checkSameData, recordDataset } from '../data/record.js';
import { isBatchSource, openRunData, type RunData, type RunDataOptions } from '../data/run-data.js';
import { WaitClock } from '../data/wait-clock.js';
import { RunLock } from '../files/run-lock.js';
import { type Metrics, namedOutputs } from '../model/metrics/index.js';
import { checkBatch, EvaluationModel, TrainingModel } from '../model/model.js';
import { readState, type State } from '../model/state.js';
import { Team } from '../model/team.js';
import { nonFinite } from '../model/weights.js';
import type { History } from '../report/history.js';
import { cpu, deviceName } from '../session/devices.js';
import { sessionOf } from '../session/session.js';
import { newProgress, type Progress, runFiles } from './checkpoint.js';
import {
  batchPart,
  type EpochBatches,
  epochBatches,
  epochRecord,
  imagesOf,
  isBetter,
  scoreOf,
  withBatch,
  withEpoch,
} from './epoch.js';
import { type Evaluation, evaluationSteps } from './evaluation.js';
import type { EvaluationEvent, ResultEvent, TrainContext, TrainEvent } from './events.js';
import { bundleIdentity, loweringOf } from './identity.js';
import { globalBatch, type TrainOptions } from './options.js';
import { type LockedContext, RunFolder } from './run-folder.js';
import { optionsAt, rateAt } from './schedule.js';

/**
 * Trains a bundle's network and yields what happens. Weights begin at the bundle's initial state, or at a checkpoint of
 * the run. The last batch of an epoch may be smaller than the others; one too small for batch norm is left out. Where
 * the bundle accumulates gradients, so many batches make an update; an epoch's last update takes those that are left.
 *
 * Written to the run's folder: `last.safetensors` before the first step, after each epoch, every so many steps where
 * asked, and when interrupted; `best.safetensors` whenever the validation does better by the task's score (`scores`) (with nothing held out: after
 * each epoch); `results.csv`, `curves.svg` and `report.html` after each epoch.
 * @throws RequestError when the options don't fit the data; FailureError when the loss or the state is no number or
 * the disk refuses
 */
export async function* train(options: TrainOptions, context: TrainContext): AsyncGenerator<TrainEvent> {
  const follows = context.team !== undefined && context.team.rank > 0;
  const lock = context.lock ?? (follows ? undefined : await RunLock.take(context.save));
  try {
    const { dataset: given, resume } = context;
    const dataset = isBatchSource(given) ? given : asRecorded(given, resume?.data);
    const run = await Run.start(options, { ...context, dataset, lock });
    try {
      yield* withProcesses(run.all(), context.team?.size);
    } finally {
      await run.close();
    }
  } finally {
    await lock?.release();
  }
}

/** Events that carry how many processes there are. */
async function* withProcesses(
  events: AsyncGenerator<TrainEvent>,
  processes: number | undefined,
): AsyncGenerator<TrainEvent> {
  if (processes === undefined) return yield* events;
  for await (const event of events) yield { ...event, processes };
}

/** One run in progress. */
class Run {
  private progress: Progress;
  private readonly folder: RunFolder;
  /** This process's part, where several take each step together. */
  private readonly team: Team | undefined;
  /** Time spent waiting for data: in the epoch, and in all. */
  private readonly waits = { epoch: new WaitClock(), run: new WaitClock() };

  private constructor(
    options: TrainOptions,
    private readonly context: LockedContext,
    private readonly model: TrainingModel,
    private readonly evaluation: EvaluationModel,
    private data: RunData,
  ) {
    const { dataset } = context;
    const isKnown = !isBatchSource(dataset);
    this.team = teamOf(context);
    const { team } = this;
    this.folder = new RunFolder(
      { ...context, ...(team && { processWaits: () => team.waits }) },
      isKnown ? encodeDescription(describeDataset(dataset)) : undefined,
    );
    this.progress = progressOf(options, context);
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
    const data = openRunData(dataset, dataOptions(first, context), context.dataWorkers, check);
    const opened: { close(): Promise<void> }[] = [data];
    try {
      const { team } = context;
      const open = () => TrainingModel.open(bundle, state, { ...sessionOf(context), link: team?.link });
      const model = await (team ? team.watched(open) : open());
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
    if (this.context.installBundle) await this.folder.write(this.context.installBundle);
    yield* this.context.changes ?? [];
    // A run can be resumed from its first moment on, and a disk that refuses is found before the first step.
    yield* this.checkpoint();
    await this.beginTogether();
    // A run that was killed between a checkpoint and its reports catches up.
    if (this.progress.epochs.length > 0) await this.writeReports({ epochs: this.progress.epochs });
    while (this.progress.epoch < this.progress.options.epochs && !this.endsEarly()) {
      yield* this.steps();
      const finished = !this.interrupted() && (yield* this.finishEpoch());
      if (!finished) return yield* this.stop();
    }
    yield* this.testBest();
  }

  /** The others begin with the checkpoint that is there now, so that all have the same state. */
  private async beginTogether(): Promise<void> {
    const { team } = this;
    if (!team) return;
    if (!team.follows) await team.meet();
    await team.compare(await this.finiteState(), 'at the beginning');
  }

  /** The rest of the epoch in progress; ends early when interrupted. */
  private async *steps(): AsyncGenerator<TrainEvent> {
    const batches = this.batches();
    if (this.interrupted() || this.progress.batch >= batches.count) return;
    this.waits.epoch.reset();
    const data = this.data.batches('training', this.progress.epoch, this.progress.batch);
    try {
      yield* this.stepsOver(data, batches);
    } finally {
      await data.return(undefined);
    }
  }

  private async *stepsOver(data: AsyncGenerator<Batch>, cut: EpochBatches): AsyncGenerator<TrainEvent> {
    const { seed } = this.options;
    const { epoch } = this.progress;
    const { epochs } = this.progress.options;
    const { count: batches } = cut;
    const { accumulate } = this.context.bundle.manifest.optimizer;
    for (let batch = this.progress.batch; batch < batches; batch++) {
      const began = performance.now();
      const learningRate = this.rateOf(batch, batches);
      // Data workers are ahead: what is waited for here is what they could not prepare during the steps before.
      const current = (await data.next()).value as Batch;
      const waited = performance.now() - began;
      const scalars = { learningRate, step: this.progress.step, seed, accumulation: batchPart(cut, batch, accumulate) };
      const images = imagesOf(cut, batch);
      const taken = this.team?.step(this.model, current, images, scalars) ?? this.model.step(current, scalars);
      const result = await taken.catch((error: unknown) => {
        // What concerns all processes is told as it is.
        throw error instanceof FailureError && !this.team ? this.folder.failed(error) : error;
      });
      const { loss, errors } = result;
      if (!Number.isFinite(loss)) throw this.ofAll(this.folder.diverged(loss, learningRate, this.progress));
      const stepMs = performance.now() - began;
      for (const clock of Object.values(this.waits)) clock.add(waited, stepMs);
      const count = this.team ? images : current.labels.data.length;
      this.progress = withBatch(this.progress, result, count, stepMs);
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
        ...(result.gradientNorm !== undefined && { gradientNorm: result.gradientNorm }),
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

  /** Validates, keeps the weights if they are the best, saves and reports; false when interrupted before that. */
  private async *finishEpoch(): AsyncGenerator<TrainEvent, boolean> {
    const { progress } = this;
    const state = await this.finiteState();
    await this.evaluation.setState(state);
    const valid = this.data.counts.validation > 0 ? yield* this.evaluate('validation') : undefined;
    if (valid === 'interrupted') return false;
    const { count: batches } = this.batches();
    const learningRate = this.rateOf(batches - 1, batches);
    const record = epochRecord(progress, learningRate, valid);
    const score = scoreOf(taskOf(this.context.bundle.manifest.loss), record);
    const best = !valid || isBetter(score, progress.best);
    this.progress = withEpoch(progress, record, best, score);
    if (best) await this.folder.writeBest(state);
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
    this.data = openRunData(dataset, dataOptions(this.options, this.context), dataWorkers, (batch, what) =>
      checkBatch(batch, bundle, false, what),
    );
  }

  /** The learning rate of a batch of the epoch in progress. */
  private rateOf(batch: number, batches: number): number {
    return rateAt(this.progress, { epoch: this.progress.epoch, batch, batches }, this.context.schedule);
  }

  /** Whether the run's patience is at its end: so many epochs are over since the best one. */
  private endsEarly(): boolean {
    const { epoch, batch, best } = this.progress;
    const { patience } = this.options;
    return patience !== undefined && best !== undefined && batch === 0 && epoch - best.epoch >= patience;
  }

  /** The options of the epoch in progress. */
  private get options(): TrainOptions {
    return optionsAt(this.progress, this.progress.epoch);
  }

  private async *testBest(): AsyncGenerator<TrainEvent> {
    // Only batches of one's own may come without a test.
    if (this.data.counts.test === 0) return yield this.result(false);
    await this.evaluation.setState(await this.folder.readBest());
    const test = yield* this.evaluate('test');
    if (test === 'interrupted') return yield* this.stop();
    await this.writeReports({ epochs: this.progress.epochs, test });
    const { loss: testLoss, error: testError, metrics } = test;
    yield { ...this.result(false), testLoss, testError, ...testMetrics(metrics, this.classNames) };
  }

  private async *evaluate(name: EvaluationEvent['split']): AsyncGenerator<TrainEvent, Evaluation | 'interrupted'> {
    const batches = this.data.batches(name);
    const { team } = this;
    const { [name]: count } = this.data.counts;
    const size = globalBatch(this.options);
    const steps = evaluationSteps(
      this.evaluation,
      batches,
      team && ((batch, done) => team.evaluate(this.evaluation, batch, Math.min(size, count - done))),
    );
    try {
      let measured = await steps.next();
      while (!measured.done) {
        yield { event: 'evaluation', split: name, done: measured.value, count };
        if (this.interrupted()) return 'interrupted';
        measured = await steps.next();
      }
      return measured.value;
    } finally {
      await batches.return(undefined);
    }
  }

  private get classNames(): readonly string[] | undefined {
    const { dataset } = this.context;
    return isBatchSource(dataset) ? undefined : dataset.classNames;
  }

  /** Saves, unless the disk has this very state already. @throws FailureError naming the last good checkpoint */
  private async *checkpoint(known?: State): AsyncGenerator<TrainEvent> {
    if (this.folder.hasSaved(this.progress)) return;
    const state = known ?? (await this.finiteState());
    // Before the first step, the others have yet to read what is saved here.
    if (this.folder.hasSavedAny) await this.team?.compare(state, `after step ${this.progress.step}`);
    yield await this.folder.saveCheckpoint(state, this.progress);
  }

  private async *stop(): AsyncGenerator<TrainEvent> {
    yield* this.checkpoint();
    yield this.result(true);
  }

  private async finiteState(): Promise<Map<string, TensorData>> {
    const state = await this.model.state();
    try {
      this.folder.requireFinite(state, this.progress);
    } catch (error) {
      throw this.ofAll(error as FailureError);
    }
    return state;
  }

  private writeReports(history: History): Promise<void> {
    return this.folder.writeReports(history, this.progress, this.data.counts);
  }

  private result(interrupted: boolean): ResultEvent {
    const { epoch, step, best } = this.progress;
    return {
      event: 'result',
      interrupted,
      epochs: epoch,
      steps: step,
      bestEpoch: best?.epoch,
      stoppedEarly: !interrupted && epoch < this.progress.options.epochs,
      dataWait: this.waits.run.share,
      skippedImages: this.progress.data?.skipped.length ?? 0,
      save: this.context.save,
      ...(this.team && { processWaits: this.team.waits }),
    };
  }

  /** An error that all processes of the run have alike. */
  private ofAll(error: FailureError): FailureError {
    return this.team?.ofAll(error) ?? error;
  }

  private interrupted(): boolean {
    return this.team ? this.team.hasStopped : (this.context.interrupted?.() ?? false);
  }

  /** The batches of the epoch in progress. */
  private batches(): EpochBatches {
    return epochBatches(
      this.data.counts.training,
      globalBatch(this.options),
      this.context.bundle.manifest.leastBatchSize,
    );
  }
}

/** What decides a run's batches, and what this process takes of each. */
function dataOptions(options: TrainOptions, context: LockedContext): RunDataOptions {
  const team = teamOf(context);
  const deals = team && { training: team.dealFor('training'), evaluation: team.dealFor('evaluation') };
  return { ...options, batchSize: globalBatch(options), deals };
}

function teamOf({ team, bundle, interrupted = () => false }: LockedContext): Team | undefined {
  return team && new Team(team, bundle, interrupted);
}

/** Where a run stands at its beginning, or where it goes on. */
function progressOf(options: TrainOptions, context: LockedContext): Progress {
  const { bundle, dataset, resume, saving = resume?.saving ?? { keep: 1 }, device = cpu, threads } = context;
  const now = {
    model: bundle.manifest.models.training.sha256,
    identity: bundleIdentity(bundle),
    lowering: loweringOf(bundle),
    saving,
    running: { device: deviceName(device), threads: threads ?? availableParallelism() },
  };
  if (resume) return { ...resume, ...now };
  return newProgress({
    options: { ...options },
    ...now,
    data: isBatchSource(dataset) ? undefined : recordDataset(dataset),
  });
}

/** What the final test measured beside loss and error. */
function testMetrics(
  { summary, outputs }: Metrics,
  names: readonly string[] | undefined,
): Pick<ResultEvent, 'testMetrics' | 'testOutputs'> {
  return {
    ...(Object.keys(summary).length > 0 && { testMetrics: summary }),
    ...(outputs && { testOutputs: namedOutputs(outputs, names) }),
  };
}
