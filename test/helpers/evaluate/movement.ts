/** @file Reference kernels of the operators that move elements, make them or tell their number. */

import { concreteShape } from '../../../src/ir/index.js';
import { accumulate, at, broadcastIndices, count, gather, linearIndices, type NdArray, strides } from './array.js';
import type { Kernels } from './kernel.js';

/** Where a part of `shape` beginning at `start` along an axis lies in an array of the shape `whole`. */
function partIndices(whole: readonly number[], shape: readonly number[], axis: number, start: number): Int32Array {
  const steps = strides(whole);
  return linearIndices(shape, steps, start * at(steps, axis));
}

/** Where each element goes when every axis is read at start + coordinate · step. */
function sliceIndices(
  from: readonly number[],
  to: readonly number[],
  starts: readonly number[],
  steps: readonly number[],
): Int32Array {
  const own = strides(from);
  const offset = own.reduce((sum, stride, axis) => sum + stride * at(starts, axis), 0);
  return linearIndices(
    to,
    own.map((stride, axis) => stride * at(steps, axis)),
    offset,
  );
}

export const movement: Kernels<
  | 'constant'
  | 'reshape'
  | 'after'
  | 'copy'
  | 'head'
  | 'expand'
  | 'transpose'
  | 'concat'
  | 'split'
  | 'slice'
  | 'reverse'
  | 'pad'
  | 'scatterAdd'
  | 'shape'
  | 'sizeOf'
  | 'range'
  | 'allReduce'
> = {
  // Of one process.
  allReduce: (call) => [call.input(0).data],
  constant: ({ attributes: { value } }) => [Float64Array.from(value.data as ArrayLike<number | bigint>, Number)],
  reshape: (call) => [call.input(0).data],
  copy: (call) => [call.input(0).data],
  after: (call) => [call.input(0).data],
  head(call) {
    if (scalarOf(call.input(2)) !== 0) throw new Error('head must take no elements');
    return [call.zeros()];
  },
  expand(call) {
    const extents = call.inputs[1];
    if (extents && extents.data.join() !== call.shape().join()) {
      throw new Error(`expand gives [${call.shape().join()}], its operand asks for [${extents.data.join()}]`);
    }
    const { shape, data } = call.input(0);
    return [gather(data, broadcastIndices(shape, call.shape()))];
  },
  transpose(call) {
    const { shape, data } = call.input(0);
    const own = strides(shape);
    const steps = call.attributes.permutation.map((axis) => at(own, axis));
    return [gather(data, linearIndices(call.shape(), steps))];
  },
  concat(call) {
    const whole = call.zeros();
    let start = 0;
    for (const part of call.inputs) {
      const indices = partIndices(call.shape(), part.shape, call.attributes.axis, start);
      for (const [position, index] of indices.entries()) whole[index] = at(part.data, position);
      start += at(part.shape, call.attributes.axis);
    }
    return [whole];
  },
  split(call) {
    const { shape, data } = call.input(0);
    let start = 0;
    return call.shapes.map((part) => {
      const indices = partIndices(shape, part, call.attributes.axis, start);
      start += at(part, call.attributes.axis);
      return gather(data, indices);
    });
  },
  slice(call) {
    const { axes, starts, steps } = call.attributes;
    const { shape, data } = call.input(0);
    const allStarts = shape.map((_, axis) => starts[axes.indexOf(axis)] ?? 0);
    const allSteps = shape.map((_, axis) => steps[axes.indexOf(axis)] ?? 1);
    return [gather(data, sliceIndices(shape, call.shape(), allStarts, allSteps))];
  },
  reverse(call) {
    const { axes } = call.attributes;
    const { shape, data } = call.input(0);
    const starts = shape.map((extent, axis) => (axes.includes(axis) ? extent - 1 : 0));
    const steps = shape.map((_, axis) => (axes.includes(axis) ? -1 : 1));
    return [gather(data, sliceIndices(shape, shape, starts, steps))];
  },
  pad(call) {
    const { shape, data } = call.input(0);
    const padded = call.zeros();
    const ones = shape.map(() => 1);
    const indices = sliceIndices(call.shape(), shape, call.attributes.pads.slice(0, shape.length), ones);
    for (const [position, index] of indices.entries()) padded[index] = at(data, position);
    return [padded];
  },
  scatterAdd(call) {
    const sums = Float64Array.from(call.input(0).data);
    for (const [position, index] of call.input(2).data.entries()) {
      accumulate(sums, index, at(call.input(1).data, position));
    }
    return [sums];
  },
  shape(call) {
    const { start, end } = call.attributes;
    return [Float64Array.from(call.input(0).shape.slice(start, end))];
  },
  sizeOf: (call) => [Float64Array.of(count(concreteShape(call.attributes.shape, call.batchSize)))],
  range: (call) => [Float64Array.from({ length: scalarOf(call.input(0)) }, (_, index) => index)],
};

function scalarOf({ data }: NdArray): number {
  return at(data, 0);
}
