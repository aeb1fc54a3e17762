/** @file Dense arrays of float64 numbers and the index arithmetic over them. */

/** A dense row-major array; integers are kept as exact float64 numbers. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** An array over a copy of `data`. @throws Error when the number of elements does not fit the shape */
export function ndArray(shape: readonly number[], data: ArrayLike<number>): NdArray {
  if (data.length !== count(shape)) throw new Error(`${data.length} elements for the shape [${shape.join(', ')}]`);
  return { shape, data: Float64Array.from(data) };
}

/** The number of elements of a shape. */
export function count(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** The distance between neighbours along each axis, in elements. */
export function strides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => count(shape.slice(axis + 1)));
}

/** An element that is known to exist. */
export function at(data: ArrayLike<number>, index: number): number {
  const value = data[index];
  if (value === undefined) throw new Error(`no element ${index} among ${data.length}`);
  return value;
}

/** data[index] += value. */
export function accumulate(data: Float64Array, index: number, value: number): void {
  data[index] = at(data, index) + value;
}

/**
 * For each element of an array of shape `over`, in order, a flat index that is linear in its coordinates:
 * offset + Σ coordinate · step. Reading, transposing, slicing and broadcasting are all of this form.
 */
export function linearIndices(over: readonly number[], steps: readonly number[], offset = 0): Int32Array {
  const indices = new Int32Array(count(over));
  const coordinates = over.map(() => 0);
  let current = offset;
  for (let position = 0; position < indices.length; position++) {
    indices[position] = current;
    for (let axis = over.length - 1; axis >= 0; axis--) {
      const next = at(coordinates, axis) + 1;
      current += at(steps, axis);
      coordinates[axis] = next;
      if (next < at(over, axis)) break;
      current -= next * at(steps, axis);
      coordinates[axis] = 0;
    }
  }
  return indices;
}

/** For each element of an array of shape `to`, the element of a broadcast array of shape `from` that stands there. */
export function broadcastIndices(from: readonly number[], to: readonly number[]): Int32Array {
  const ownSteps = strides(from);
  const offset = to.length - from.length;
  const steps = to.map((_, axis) => (axis < offset || at(from, axis - offset) === 1 ? 0 : at(ownSteps, axis - offset)));
  return linearIndices(to, steps);
}

/** The elements of `data` at `indices`. */
export function gather(data: Float64Array, indices: Int32Array): Float64Array {
  return Float64Array.from(indices, (index) => at(data, index));
}
