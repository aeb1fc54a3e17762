/** @file What a training run is asked to do and what it tells. */

import type { Bundle } from './bundle.js';
import type { Progress, Saving } from './checkpoint.js';
import type { Dataset } from './data/dataset.js';
import type { MemoryForecast } from './forecast.js';
import type { EpochRecord } from './history.js';
import type { RateOptions } from './schedule.js';
import type { SessionOptions } from './session.js';
import type { State } from './weights.js';

/** How to train. Everything but threads and device decides the final weights. */
export interface TrainOptions extends RateOptions {
  /** The data set's source, as the user named it. */
  readonly data: string;
  readonly batchSize: number;
  /** Training images held out for validation. */
  readonly validSize: number;
  /** Most images to use of each split. */
  readonly limit?: number | undefined;
  readonly seed: number;
}

/** What a run tells while it goes on. Losses are means; errors are fractions from 0 to 1. */
export type TrainEvent = StepEvent | EvaluationEvent | EpochEvent | CheckpointEvent | ResultEvent;

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
  readonly stepMs: number;
  readonly imagesPerSecond: number;
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
  readonly epochs: number;
  readonly steps: number;
  /** Of the best weights on the test images; absent when interrupted. */
  readonly testLoss?: number;
  readonly testError?: number;
  /** Epoch of the best weights, counted from 1. */
  readonly bestEpoch?: number | undefined;
  readonly save: string;
}

/** What a run needs beside its options. */
export interface TrainContext extends SessionOptions {
  readonly bundle: Bundle;
  readonly dataset: Dataset;
  /** The run's folder. */
  readonly save: string;
  /** Parameters and running statistics to begin with, instead of the bundle's initial state. */
  readonly initial?: State | undefined;
  /** How often to save; by default after each epoch, keeping the last checkpoint. */
  readonly saving?: Saving;
  /** Where to go on, when resuming, and from which checkpoint if not the last. */
  readonly resume?: Progress | undefined;
  readonly resumeFrom?: string | undefined;
  /** The step's memory plan, for the report. */
  readonly forecast?: MemoryForecast | undefined;
  /** Asked after every step and every batch of an evaluation: whether to save and stop. */
  readonly interrupted?: () => boolean;
}
