/** @file How far tensors are apart. */

/** A tensor that was found, and what it should be. */
export interface Pair {
  readonly found: ArrayLike<number | bigint>;
  readonly expected: ArrayLike<number | bigint>;
}

/** The largest difference; infinite where sizes differ or a value is no number. */
export function difference({ found, expected }: Pair): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let index = 0; index < expected.length; index++) {
    const departure = Math.abs(Number(found[index]) - Number(expected[index]));
    if (Number.isNaN(departure)) return Number.POSITIVE_INFINITY;
    most = Math.max(most, departure);
  }
  return most;
}

/** The largest absolute value. */
export function largest(values: ArrayLike<number | bigint>): number {
  let most = 0;
  for (let index = 0; index < values.length; index++) most = Math.max(most, Math.abs(Number(values[index])));
  return most;
}
