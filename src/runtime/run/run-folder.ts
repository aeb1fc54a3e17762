/** @file What a run in progress writes into its folder, and what it says of the last good checkpoint when it fails. */

import { join } from 'node:path';
import { FailureError } from '../../ir/index.js';
import type { ImageCounts } from '../data/source.js';
import type { RunLock } from '../files/run-lock.js';
import { writeSafetensors } from '../files/safetensors.js';
import { readState, type State } from '../model/state.js';
import { nonFinite, weightsOnly } from '../model/weights.js';
import type { History } from '../report/history.js';
import { type Progress, runFiles, writeCheckpoint } from './checkpoint.js';
import type { CheckpointEvent, TrainContext } from './events.js';
import { writeRunReport } from './report-files.js';

/** A run's context with its lock taken. */
export type LockedContext = TrainContext & {
  /** None where another process of the run writes. */
  readonly lock: RunLock | undefined;
};

/** What helps against a run that diverges. */
const remedy = 'try a lower --lr, or a --warmup';

/** The folder of a run in progress. */
export class RunFolder {
  /** The last checkpoint that is on the disk: its step and its finished epochs. */
  private saved: { readonly step: number; readonly epoch: number } | undefined;

  /** @param description metadata of the weights: what is to be remembered of the data */
  constructor(
    private readonly context: LockedContext,
    private readonly description: Readonly<Record<string, string>> | undefined,
  ) {
    const { resume, resumeFrom, saveFirst } = context;
    // Resumed from an earlier checkpoint, the run's last one is yet to be replaced.
    if (resume && resumeFrom === undefined && !saveFirst) this.saved = { step: resume.step, epoch: resume.epoch };
  }

  /** Whether there is a checkpoint that this run has written or goes on from. */
  get hasSavedAny(): boolean {
    return this.saved !== undefined;
  }

  /** Whether the last checkpoint is of this very step. */
  hasSaved({ step, epoch }: Progress): boolean {
    return this.saved?.step === step && this.saved.epoch === epoch;
  }

  /** Saves. @throws FailureError naming the last good checkpoint */
  async saveCheckpoint(state: State, progress: Progress): Promise<CheckpointEvent> {
    const { step, epoch } = progress;
    await this.write(() => writeCheckpoint(this.context.save, state, progress, this.description));
    const file = this.pathOf('last');
    this.saved = { step, epoch };
    return { event: 'checkpoint', file, epoch, step };
  }

  /** Writes the best weights. */
  writeBest(state: State): Promise<void> {
    return this.write(() => writeSafetensors(this.pathOf('best'), weightsOnly(state), this.description));
  }

  readBest(): Promise<State> {
    return readState(this.pathOf('best'), this.context.bundle);
  }

  /** Writes what tells of the run. */
  writeReports(history: History, progress: Progress, counts: ImageCounts): Promise<void> {
    return this.write(() => writeRunReport(history, progress, this.context, counts));
  }

  /** Writes into the folder while it is ours; nothing where another process of the run does. @throws FailureError naming the last good checkpoint */
  async write(action: () => Promise<unknown>): Promise<void> {
    const { lock } = this.context;
    if (!lock) return;
    await lock.check();
    try {
      await action();
    } catch (error) {
      if (!(error instanceof FailureError) || !this.saved) throw error;
      throw new FailureError(`${error.message}; ${this.lastGood()}`, { cause: error });
    }
  }

  /** @throws FailureError where the state is not finite: a checkpoint of it would be no good one */
  requireFinite(state: State, { step }: Progress): void {
    const broken = nonFinite(state);
    if (broken === undefined) return;
    throw new FailureError(`${broken} is not finite after step ${step}; ${this.lastGood()}; ${remedy}`);
  }

  /** The error of a loss that is no number. */
  diverged(loss: number, learningRate: number, { epoch, batch, step }: Progress): FailureError {
    const place = `step ${step + 1} (epoch ${epoch + 1}, batch ${batch + 1}, learning rate ${learningRate})`;
    return new FailureError(`the loss became ${loss} at ${place}; ${this.lastGood()}; ${remedy}`);
  }

  /** The error of a step that failed, with what is left of the run. */
  failed(error: FailureError): FailureError {
    const advice = `go on with densec train --resume --save ${this.context.save}`;
    return new FailureError(`${error.message}; ${this.lastGood()}: ${advice}`, { cause: error });
  }

  private lastGood(): string {
    if (!this.saved) return 'there is no checkpoint yet';
    const { epoch, step } = this.saved;
    return `the last good checkpoint is ${this.pathOf('last')}, of step ${step} (${epoch} epochs done)`;
  }

  private pathOf(file: 'best' | 'last'): string {
    return join(this.context.save, runFiles[file]);
  }
}
