/** @file The few statistics that measurements are summed up in. */

import { InternalError } from '../../ir/index.js';

/** Median, least and greatest of several measurements. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median; the mean of the two middle ones of an even number. @throws InternalError for no number */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new InternalError('the median of nothing was asked for');
  return (lower + upper) / 2;
}

/** The median of numbers that are all there; null where one is missing. */
export function medianOrNull(numbers: readonly (number | null)[]): number | null {
  const present = numbers.filter((number) => number !== null);
  return present.length < numbers.length ? null : median(present);
}

/**
 * The median of a[i] / b[i]: what two things compared round by round say, when the machine's pace changes between
 * rounds. Null where a number is missing or a divisor is 0.
 */
export function medianRatio(a: readonly (number | null)[], b: readonly (number | null)[]): number | null {
  return medianOrNull(
    a.map((number, index) => {
      const divisor = b[index];
      return number === null || !divisor ? null : number / divisor;
    }),
  );
}
