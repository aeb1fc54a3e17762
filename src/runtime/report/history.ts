/** @file What a training run has measured so far, and its table results.csv. */

import type { Task } from '../../step/tasks.js';
import type { Metrics } from '../model/metrics/index.js';

/** One epoch's figures; errors are fractions from 0 to 1, of a regression mean absolute errors. */
export interface EpochRecord {
  /** Counted from 1. */
  readonly epoch: number;
  /** Learning rate at the epoch's end. */
  readonly learningRate: number;
  readonly trainLoss: number;
  readonly trainError: number;
  /** Absent where nothing is held out for validation. */
  readonly validLoss?: number | undefined;
  readonly validError?: number | undefined;
  /** What else the task measures, by its names. */
  readonly validMetrics?: Readonly<Record<string, number>> | undefined;
  readonly seconds: number;
}

/** A run's epochs, and the test of its best weights once it is done. */
export interface History {
  readonly epochs: readonly EpochRecord[];
  readonly test?: { readonly loss: number; readonly error: number; readonly metrics?: Metrics | undefined } | undefined;
  /** What the network tells; `classes` where absent. */
  readonly task?: Task | undefined;
  /** The names of classes, labels or values, where they are known. */
  readonly names?: readonly string[] | undefined;
}

/** results.csv: a row an epoch, and a last one with the test error alone. */
export function formatResults({ epochs, test }: History): string {
  const number = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? '';
  const rows = epochs.map(({ epoch, trainLoss, trainError, validLoss, validError }) =>
    [
      String(epoch).padStart(3, '0'),
      number(trainLoss, 6),
      number(trainError, 6),
      number(validLoss, 5),
      number(validError, 5),
      '',
    ].join(),
  );
  const last = test ? [`,,,,,${number(test.error, 5)}`] : [];
  return `${['epoch,train_loss,train_error,valid_loss,valid_error,test_error', ...rows, ...last].join('\n')}\n`;
}
