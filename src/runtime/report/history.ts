/** @file What a training run has measured so far, and its table results.csv. */

/** One epoch's figures; errors are fractions from 0 to 1. */
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
  /** Mean norm of the gradients before clipping, over the epoch's updates; where they are clipped. */
  readonly gradientNorm?: number | undefined;
  readonly seconds: number;
}

/** A run's epochs, and the test of its best weights once it is done. */
export interface History {
  readonly epochs: readonly EpochRecord[];
  readonly test?: { readonly loss: number; readonly error: number } | undefined;
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
