/** @file Gradients of pooling against the float64 evaluator; ties and padding as PyTorch has them. */

import { describe, expect, test } from 'vitest';
import { convolution } from '../helpers/evaluate/convolution.js';
import { Call } from '../helpers/evaluate/kernel.js';
import { randomSource } from '../helpers/random.js';
import { array, compute, derivatives, hostTensor, randomTensor, relativeError } from './tensors.js';

const cases = [
  { name: '2×2, stride 2', x: [2, 3, 8, 6], y: [4, 3], kernel: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] },
  { name: '3×3, stride 2, padded', x: [2, 2, 8, 7], y: [4, 4], kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  { name: 'the whole image', x: [3, 2, 4, 4], y: [1, 1], kernel: [4, 4], strides: [1, 1], pads: [0, 0, 0, 0] },
  { name: 'overlapping, unequal', x: [1, 1, 5, 7], y: [4, 3], kernel: [2, 3], strides: [1, 3], pads: [0, 1, 0, 1] },
  { name: 'windows with gaps', x: [1, 2, 7, 7], y: [2, 2], kernel: [2, 2], strides: [4, 4], pads: [0, 0, 0, 0] },
] as const;

const dtypes = { inputs: [], outputs: [] };

describe.each(cases)('$name', ({ name, x, y, kernel, strides, pads }) => {
  const random = randomSource(`pooling ${name}`);
  const shape = [x[0], x[1], ...y];
  const dy = randomTensor(shape, random);
  const attributes = { kernel_shape: kernel, strides, pads };
  const window = { kernel, stride: strides, pads } as never;

  test('average', () => {
    const extents = { input_extents: x.slice(2) };
    const [dx] = compute('AveragePoolGrad', [dy], { ...attributes, ...extents, count_include_pad: 1 });
    const call = new Call<'averagePool2dGrad'>([array(dy)], window, [x], dtypes, 1);
    expect(dx?.shape).toEqual(x);
    expect(relativeError(dx?.data ?? [], convolution.averagePool2dGrad(call)[0] ?? [])).toBeLessThan(1e-7);
  });

  test('average of what is not padding', () => {
    const extents = { input_extents: x.slice(2) };
    const [dx] = compute('AveragePoolGrad', [dy], { ...attributes, ...extents, count_include_pad: 0 });
    const pool = (values: Float64Array): Float64Array => {
      const call = new Call<'averagePool2d'>([{ shape: x, data: values }], window, [shape], dtypes, 1);
      return convolution.averagePool2d(call)[0] ?? new Float64Array();
    };
    const shares = pool(new Float64Array(x.reduce<number>((product, extent) => product * extent, 1)).fill(1));
    const loss = (values: Float64Array): number =>
      pool(values).reduce(
        (sum, mean, index) => sum + (mean / (shares[index] as number)) * (dy.data[index] as number),
        0,
      );
    const zeros = new Float64Array(dx?.data.length ?? 0);
    expect(relativeError(dx?.data ?? [], derivatives(loss, zeros))).toBeLessThan(1e-6);
  });

  test('largest', () => {
    const values = randomTensor(x, random, 'distinct');
    const [dx] = compute('MaxPoolGrad', [dy, values], attributes);
    const [, winners = new Float64Array()] = convolution.maxPool2d(
      new Call<'maxPool2d'>([array(values)], window, [shape, shape], dtypes, 1),
    );
    const call = new Call<'maxPool2dGrad'>([array(dy), { shape, data: winners }], window, [x], dtypes, 1);
    expect(relativeError(dx?.data ?? [], convolution.maxPool2dGrad(call)[0] ?? [])).toBeLessThan(1e-7);
  });
});

describe('ties', () => {
  const attributes = { kernel_shape: [2, 2], strides: [1, 1], pads: [1, 1, 0, 0] };
  const dy = hostTensor([1, 1, 2, 2], [1, 2, 3, 4]);
  const gradient = (x: readonly number[]): number[] => [
    ...(compute('MaxPoolGrad', [dy, hostTensor([1, 1, 2, 2], x)], attributes)[0]?.data ?? []),
  ];

  test('the first of equal values takes the gradient', () => {
    // Windows: {0}, {0, 1}, {0, 2}, {0, 1, 2, 3}.
    expect(gradient([5, 5, 5, 5])).toEqual([10, 0, 0, 0]);
    expect(gradient([1, 2, 2, 1])).toEqual([1, 6, 3, 0]);
  });

  test('padding never wins, not even over −∞', () => {
    expect(gradient([-3, -2, -2, -1])).toEqual([1, 2, 3, 4]);
    expect(gradient(Array(4).fill(Number.NEGATIVE_INFINITY))).toEqual([10, 0, 0, 0]);
  });

  test('what is not a number wins', () => {
    expect(gradient([1, Number.NaN, 7, 2])).toEqual([1, 6, 3, 0]);
  });
});
