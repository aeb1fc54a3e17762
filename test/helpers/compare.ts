/** @file Comparison of arrays with a tolerance relative to the largest element. */

import { expect } from 'vitest';
import { at } from './evaluate/array.js';
import type { NdArray } from './evaluate.js';

/** Fails unless two sets of arrays agree in names, shapes and, within `tolerance` of the largest element, elements. */
export function expectClose(
  actual: ReadonlyMap<string, NdArray>,
  expected: ReadonlyMap<string, NdArray>,
  tolerance: number,
): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, array] of expected) {
    const other = actual.get(name);
    expect(other?.shape, name).toEqual(array.shape);
    if (other) expect(relativeError(other.data, array.data), name).toBeLessThanOrEqual(tolerance);
  }
}

/** How far two sets of arrays of the same names are apart, as `expectClose` measures it. */
export function distance(actual: ReadonlyMap<string, NdArray>, expected: ReadonlyMap<string, NdArray>): number {
  const errors = [...expected].map(([name, { data }]) => relativeError((actual.get(name) as NdArray).data, data));
  return Math.max(...errors);
}

/** The largest difference, in units of the largest expected element (or of 0.01, where all are smaller). */
function relativeError(actual: Float64Array, expected: Float64Array): number {
  let largest = 0.01;
  let difference = 0;
  for (const [index, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value));
    const error = Math.abs(at(actual, index) - value);
    if (Number.isNaN(error)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, error);
  }
  return difference / largest;
}
