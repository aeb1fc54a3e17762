/** @file What a training run has measured so far, and its tables results.csv and metrics.csv. */

import type { Task } from '../../step/tasks.js';
import type { Confusion } from '../model/metrics/confusion.js';
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
  /** Mean norm of the gradients before clipping, over the epoch's updates; where they are clipped. */
  readonly gradientNorm?: number | undefined;
  readonly seconds: number;
  /** Training batches; absent in records of earlier versions. */
  readonly batches?: number | undefined;
}

/** A run's epochs, and the test of its best weights once it is done. */
export interface History {
  readonly epochs: readonly EpochRecord[];
  readonly test?:
    | {
        readonly loss: number;
        readonly error: number;
        readonly metrics?: Metrics | undefined;
        readonly confusion?: Confusion | undefined;
      }
    | undefined;
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

/** metrics.csv: a row an epoch with all figures, as precise as they are; what is not known is empty. */
export function formatMetrics({ epochs }: History): string {
  const columns: readonly [string, (record: EpochRecord) => number | undefined][] = [
    ['epoch', ({ epoch }) => epoch],
    ['learning_rate', ({ learningRate }) => learningRate],
    ['train_loss', ({ trainLoss }) => trainLoss],
    ['train_error', ({ trainError }) => trainError],
    ['valid_loss', ({ validLoss }) => validLoss],
    ['valid_error', ({ validError }) => validError],
    ['gradient_norm', ({ gradientNorm }) => gradientNorm],
    ['seconds', ({ seconds }) => seconds],
  ];
  const rows = epochs.map((record) => columns.map(([, value]) => value(record) ?? '').join());
  return `${[columns.map(([name]) => name).join(), ...rows].join('\n')}\n`;
}
