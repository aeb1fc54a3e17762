/** @file The least bytes and operations of kernels, against cases computed by hand. */

import { describe, expect, it } from 'vitest';
import { kernelCost } from '../../../src/runtime/measure/kernel-cost.js';

const float = (...shape: number[]) => ({ type: 'float', shape });
const int64 = (...shape: number[]) => ({ type: 'int64', shape });

describe('kernelCost', () => {
  it.each([
    // 2·(2·8·4·4) outputs, each a sum of 3·3·3 products; (96 + 216 + 256) floats.
    ['Conv', [float(2, 3, 4, 4), float(8, 3, 3, 3)], [float(2, 8, 4, 4)], 2 * 256 * 27, 4 * (96 + 216 + 256)],
    // Two groups: the weight's second extent is the channels of one.
    ['Conv', [float(1, 4, 2, 2), float(4, 2, 1, 1)], [float(1, 4, 2, 2)], 2 * 16 * 2, 4 * (16 + 8 + 16)],
    // Each of the 1·3·2·2 inputs goes into 5·2·2 products.
    ['ConvTranspose', [float(1, 3, 2, 2), float(3, 5, 2, 2)], [float(1, 5, 4, 4)], 2 * 12 * 20, 4 * (12 + 60 + 80)],
    ['MatMul', [float(3, 4), float(4, 5)], [float(3, 5)], 2 * 15 * 4, 4 * (12 + 20 + 15)],
    // The same product with the first operand transposed, and in a batch.
    ['FusedMatMul', [float(4, 3), float(4, 5)], [float(3, 5)], 2 * 15 * 4, 4 * (12 + 20 + 15)],
    ['FusedMatMul', [float(7, 3, 4), float(7, 5, 4)], [float(7, 3, 5)], 2 * 7 * 15 * 4, 4 * 7 * (12 + 20 + 15)],
    ['Gemm', [float(2, 6), float(6, 10), float(10)], [float(2, 10)], 2 * 20 * 6, 4 * (12 + 60 + 10 + 20)],
    ['Add', [float(2, 3), float(3)], [float(2, 3)], 6, 4 * (6 + 3 + 6)],
    ['Sum', [float(5), float(5), float(5)], [float(5)], 10, 4 * 20],
    ['Relu', [float(10)], [float(10)], 10, 80],
    ['ReduceMean', [float(2, 3, 4)], [float(3)], 24, 4 * (24 + 3)],
    ['ReduceSumSquare', [float(6)], [float(1)], 12, 4 * 7],
    [
      'BatchNormalization',
      [float(1, 2, 3, 3), float(2), float(2), float(2), float(2)],
      [float(1, 2, 3, 3)],
      36,
      4 * (18 + 8 + 18),
    ],
    ['Concat', [float(1, 2), float(1, 3)], [float(1, 5)], 0, 4 * 10],
    ['Cast', [{ type: 'bool', shape: [8] }], [float(8)], 0, 8 + 32],
    // A slice reads what it gives out, not all of its operand.
    ['Slice', [float(100), int64(1), int64(1)], [float(10)], 0, 4 * 20 + 16],
    ['Reshape', [float(100), int64(2)], [float(10, 10)], 0, 0],
    ['Shape', [float(100)], [int64(1)], 0, 0],
  ])('%s', (operator, inputs, outputs, flops, bytes) => {
    expect(kernelCost({ operator, inputs, outputs })).toEqual({ flops, bytes });
  });

  it('costs nothing where nothing was recorded', () => {
    expect(kernelCost({ operator: 'Conv', inputs: [], outputs: [] })).toEqual({ flops: 0, bytes: 0 });
  });
});
