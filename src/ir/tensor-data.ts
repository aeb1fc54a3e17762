/** @file Concrete tensors in host memory: what constants, state files and batches are made of. */

import { RequestError } from './errors.js';

/** Element types that a value of the IR may have. */
export type DType = 'float32' | 'int64' | 'uint32' | 'bool';

interface ArrayOf {
  float32: Float32Array;
  int64: BigInt64Array;
  uint32: Uint32Array;
  bool: Uint8Array;
}

/** A dense row-major tensor in host memory. */
export type TensorData = {
  [D in DType]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: ArrayOf[D] };
}[DType];

/** A dense row-major float32 tensor in host memory. */
export type FloatTensor = Extract<TensorData, { dtype: 'float32' }>;

/** Bytes that one element of a type takes in memory. */
export const bytesPerElement: Readonly<Record<DType, number>> = { float32: 4, int64: 8, uint32: 4, bool: 1 };

/** Number of elements of a concrete shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/**
 * A float32 tensor over `data`.
 * @throws RequestError when the number of elements does not fit the shape
 */
export function floatTensor(shape: readonly number[], data: ArrayLike<number>): FloatTensor {
  checkCount('floatTensor', shape, data);
  return { dtype: 'float32', shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

/**
 * An int64 tensor over `data`.
 * @throws RequestError when the number of elements does not fit the shape
 */
export function int64Tensor(
  shape: readonly number[],
  data: readonly (number | bigint)[],
): Extract<TensorData, { dtype: 'int64' }> {
  checkCount('int64Tensor', shape, data);
  return { dtype: 'int64', shape, data: BigInt64Array.from(data, (value) => BigInt(value)) };
}

function checkCount(what: string, shape: readonly number[], data: ArrayLike<unknown>): void {
  if (!Array.isArray(shape))
    throw new RequestError(`${what}: the shape must be a list of sizes, the data its elements`);
  const count = elementCount(shape);
  if (data?.length === count) return;
  throw new RequestError(
    `${what}: there are ${data?.length ?? 'no'} elements for the shape [${shape.join(', ')}], which takes ${count}`,
  );
}
