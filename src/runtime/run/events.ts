/** @file What a training run is asked to do and what it tells. */

import type { Bundle } from '../bundle/bundle.js';
import type { Dataset } from '../data/dataset.js';
import type { BatchSource } from '../data/source.js';
import type { RunLock } from '../files/run-lock.js';
import type { MemoryForecast } from '../measure/forecast.js';
import type { Metrics, NamedFigures } from '../model/metrics/index.js';
import type { State } from '../model/weights.js';
import type { EpochRecord } from '../report/history.js';
import type { Processes } from '../session/mpi/processes.js';
import type { SessionOptions } from '../session/session.js';
import type { Progress, Saving } from './checkpoint.js';
import type { ScheduleFunction } from './learning-rate.js';

/**
 * What a run tells while it goes on. Losses are means; errors are fractions from 0 to 1: of misclassified images, or of
 * wrong labels; of a regression they are mean absolute errors.
 */
export type TrainEvent = (StepEvent | EvaluationEvent | EpochEvent | CheckpointEvent | ChangeEvent | ResultEvent) & {
  /** How many take each step together, where they are several. */
  readonly processes?: number;
};

/** A batch is done. */
export interface StepEvent {
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
  /** Norm of all gradients together before clipping; only of a step that clips and updates. */
  readonly gradientNorm?: number;
  readonly stepMs: number;
  readonly imagesPerSecond: number;
  /** Share of the epoch's time so far that went by waiting for data, from 0 to 1. */
  readonly dataWait: number;
  /** Size of the process. */
  readonly memoryBytes: number;
}

/** A part of a validation or of the final test is done. */
export interface EvaluationEvent {
  readonly event: 'evaluation';
  readonly split: 'validation' | 'test';
  readonly done: number;
  readonly count: number;
}

/** An epoch is over. */
export interface EpochEvent extends EpochRecord {
  readonly event: 'epoch';
  readonly epochs: number;
  /** Whether its weights are the best so far. */
  readonly best: boolean;
  /** Share of the steps' time that went by waiting for data, from 0 to 1; since resuming, where that was within it. */
  readonly dataWait: number;
}

/** A resumed run goes on otherwise than before: with other options from some epoch on, or another training model. */
export interface ChangeEvent {
  readonly event: 'change';
  /** The first epoch that the change concerns, counted from 1. */
  readonly epoch: number;
  /** In words: `learning rate 0.1 → 0.01`. */
  readonly changes: readonly string[];
  /** The learning rate at the beginning of that epoch, where options changed and the run doesn't end before it. */
  readonly learningRate?: number;
}

/** The state is on the disk. */
export interface CheckpointEvent {
  readonly event: 'checkpoint';
  readonly file: string;
  /** Epochs that are over, and batches since the run began. */
  readonly epoch: number;
  readonly step: number;
}

/** The run is over, or stopped; always the last event. */
export interface ResultEvent {
  readonly event: 'result';
  readonly interrupted: boolean;
  /** Whether it ended before its epochs, since the validation error no longer fell. */
  readonly stoppedEarly: boolean;
  readonly epochs: number;
  readonly steps: number;
  /** Of the best weights on the test images; absent when interrupted. */
  readonly testLoss?: number;
  readonly testError?: number;
  /** What else the task measures of them, as `eval` tells it; of each label or value too. */
  readonly testMetrics?: Metrics['summary'];
  readonly testOutputs?: readonly NamedFigures[];
  /** Epoch of the best weights, counted from 1. */
  readonly bestEpoch?: number | undefined;
  /** Share of the steps' time that went by waiting for data, from 0 to 1; since resuming. */
  readonly dataWait: number;
  /** Image files that were left out since they can't be read. */
  readonly skippedImages: number;
  /** Of several processes: shares of the time since the first step that each spent in sums over all, for most waiting for others. */
  readonly processWaits?: readonly number[];
  readonly save: string;
}

/** What a run needs beside its options. */
export interface TrainContext extends SessionOptions {
  readonly bundle: Bundle;
  /** A data set, or batches of one's own; those have their own counts, so that `validSize` and `limit` don't matter. */
  readonly dataset: Dataset | BatchSource;
  /** Threads that prepare batches; 0 prepares them in this one. By default one less than there are cores, at most 4. */
  readonly dataWorkers?: number | undefined;
  /** The run's folder. */
  readonly save: string;
  /** The folder's lock, where it has been taken already; the run gives it back at its end. */
  readonly lock?: RunLock | undefined;
  /** Parameters and running statistics to begin with, instead of the bundle's initial state. */
  readonly initial?: State | undefined;
  /** The learning rate's schedule, where it is a function of the program's. */
  readonly schedule?: ScheduleFunction | undefined;
  /** How often to save; by default after each epoch, keeping the last checkpoint. */
  readonly saving?: Saving;
  /** Where to go on, when resuming, and from which checkpoint if not the last. */
  readonly resume?: Progress | undefined;
  readonly resumeFrom?: string | undefined;
  /** Whether the last checkpoint is written anew before the first step, since the run goes on with other options. */
  readonly saveFirst?: boolean;
  /** Told before anything else: what the run goes on with that it didn't have. */
  readonly changes?: readonly ChangeEvent[];
  /** Makes the bundle that of the run's folder, once its models have been opened. */
  readonly installBundle?: (() => Promise<void>) | undefined;
  /** The step's memory plan, for the report. */
  readonly forecast?: MemoryForecast | undefined;
  /** The processes that take each step together, where there are several; all but the first write nothing. */
  readonly team?: Processes | undefined;
  /** Shares of the time that each process has spent in sums over all, for the report. */
  readonly processWaits?: () => readonly number[];
  /** Asked after every step and every batch of an evaluation: whether to save and stop. */
  readonly interrupted?: () => boolean;
}
