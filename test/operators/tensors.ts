/** @file Tensors for the tests of operators of our own, and calls of their reference kernels. */

import { elementCount } from '../../src/ir/index.js';
import { type Attributes, type HostTensor, type OwnOperator, ownOperators } from '../../src/operators/index.js';
import { type NdArray, ndArray } from '../helpers/evaluate/array.js';
import { type Distribution, type RandomSource, randomArray } from '../helpers/random.js';

/** A row of the table. */
export function row(name: string): OwnOperator {
  const found = ownOperators[name];
  if (!found) throw new Error(`no operator ${name}`);
  return found;
}

export function hostTensor(shape: readonly number[], data: ArrayLike<number>): HostTensor {
  return { shape, data: Float32Array.from(data) };
}

export function randomTensor(
  shape: readonly number[],
  random: RandomSource,
  kind: Distribution = 'normal',
): HostTensor {
  return hostTensor(shape, randomArray(shape, random, kind).data);
}

/** The same elements in float64. */
export function array({ shape, data }: HostTensor): NdArray {
  return ndArray(shape, data);
}

/** The outputs of an operator by its shape rule and reference kernel. */
export function compute(name: string, inputs: readonly HostTensor[], attributes: Attributes = {}): HostTensor[] {
  const operator = row(name);
  const shapes = operator.shapes(
    inputs.map(({ shape }) => shape),
    attributes,
  );
  // Not zeros: a kernel must write every element.
  const outputs = shapes.map((shape) => ({ shape, data: new Float32Array(elementCount(shape)).fill(Number.NaN) }));
  operator.reference(inputs, outputs, attributes);
  return outputs;
}

/** The largest difference in units of the largest expected element, not below `least`; infinite if one is no number. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, least = 1e-30): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [largest, difference] = [least, 0];
  for (let index = 0; index < expected.length; index++) {
    const right = expected[index] as number;
    const error = Math.abs((actual[index] as number) - right);
    if (Number.isNaN(error)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(right));
    difference = Math.max(difference, error);
  }
  return difference / largest;
}

/** Derivatives of a function of float64 numbers by central differences of fourth order. */
export function derivatives(f: (x: Float64Array) => number, x: ArrayLike<number>, step = 1e-3): Float64Array {
  const at = Float64Array.from(x);
  return at.map((center, index) => {
    const moved = (distance: number): number => {
      at[index] = center + distance;
      return f(at);
    };
    const slope = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
    at[index] = center;
    return slope;
  });
}
