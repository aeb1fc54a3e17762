/** @file Reference kernels of reductions and matrix products. */

import type { OperatorAttributes, OperatorName } from '../../../src/ir/index.js';
import { accumulate, at, broadcastIndices, count, linearIndices, strides } from './array.js';
import type { Call, Kernels } from './kernel.js';

/** For each element of the operand, the element of the output that it is reduced into. */
function targets(call: Call<OperatorName>, axes: readonly number[]): Int32Array {
  const { shape } = call.input(0);
  const kept = shape.map((extent, axis) => (axes.includes(axis) || axes.includes(axis - shape.length) ? 1 : extent));
  const steps = strides(kept).map((stride, axis) => (at(kept, axis) === 1 ? 0 : stride));
  return linearIndices(shape, steps);
}

function sums(call: Call<OperatorName>, { axes }: OperatorAttributes['reduceSum']): Float64Array {
  const result = call.zeros();
  for (const [from, to] of targets(call, axes).entries()) accumulate(result, to, at(call.input(0).data, from));
  return result;
}

export const contraction: Kernels<'reduceSum' | 'reduceMean' | 'reduceMax' | 'argMax' | 'matMul'> = {
  reduceSum: (call) => [sums(call, call.attributes)],
  reduceMean(call) {
    const share = count(call.input(0).shape) / count(call.shape());
    return [sums(call, call.attributes).map((sum) => sum / share)];
  },
  reduceMax(call) {
    const result = call.zeros().fill(Number.NEGATIVE_INFINITY);
    for (const [from, to] of targets(call, call.attributes.axes).entries()) {
      result[to] = Math.max(at(result, to), at(call.input(0).data, from));
    }
    return [result];
  },
  argMax(call) {
    const { axis } = call.attributes;
    const { shape, data } = call.input(0);
    const largest = call.zeros().fill(Number.NEGATIVE_INFINITY);
    const positions = call.zeros();
    const stride = at(strides(shape), axis);
    for (const [from, to] of targets(call, [axis]).entries()) {
      if (at(data, from) <= at(largest, to)) continue;
      largest[to] = at(data, from);
      positions[to] = Math.floor(from / stride) % at(shape, axis);
    }
    return [positions];
  },
  matMul(call) {
    const { transposeA, transposeB } = call.attributes;
    const [a, b] = [call.input(0), call.input(1)];
    const [rows, columns] = call.shape().slice(-2) as [number, number];
    const inner = at(a.shape, a.shape.length - (transposeA ? 2 : 1));
    const outer = call.shape().slice(0, -2);
    const matricesA = broadcastIndices(a.shape.slice(0, -2), outer);
    const matricesB = broadcastIndices(b.shape.slice(0, -2), outer);
    const product = call.zeros();
    for (let matrix = 0; matrix < matricesA.length; matrix++) {
      const startA = at(matricesA, matrix) * rows * inner;
      const startB = at(matricesB, matrix) * inner * columns;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let sum = 0;
          for (let k = 0; k < inner; k++) {
            const atA = startA + (transposeA ? k * rows + row : row * inner + k);
            const atB = startB + (transposeB ? column * inner + k : k * columns + column);
            sum += at(a.data, atA) * at(b.data, atB);
          }
          product[(matrix * rows + row) * columns + column] = sum;
        }
      }
    }
    return [product];
  },
};
