/** @file Gradients of convolutions against the float64 evaluator, and against differences of a convolution. */

import { describe, expect, test } from 'vitest';
import { convolution } from '../helpers/evaluate/convolution.js';
import { Call } from '../helpers/evaluate/kernel.js';
import { randomSource } from '../helpers/random.js';
import { array, compute, derivatives, randomTensor, relativeError, row } from './tensors.js';

interface Case {
  readonly name: string;
  /** [N, C, H, W] */
  readonly x: readonly [number, number, number, number];
  readonly filters: number;
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
  readonly group?: number;
}

const cases: readonly Case[] = [
  { name: '3×3, padded', x: [2, 4, 6, 5], filters: 3, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { name: '1×1', x: [3, 5, 4, 4], filters: 2, kernel: [1, 1] },
  { name: 'stride 2, 7×7', x: [2, 2, 8, 9], filters: 2, kernel: [7, 7], strides: [2, 2], pads: [3, 3, 3, 3] },
  {
    name: 'unequal strides, windows and pads',
    x: [1, 2, 9, 8],
    filters: 3,
    kernel: [2, 3],
    strides: [3, 2],
    pads: [0, 2, 1, 1],
  },
  { name: 'a stride that leaves the last rows unread', x: [1, 1, 8, 8], filters: 1, kernel: [2, 2], strides: [3, 3] },
  { name: 'groups', x: [2, 6, 5, 5], filters: 9, kernel: [3, 3], pads: [1, 1, 1, 1], group: 3 },
  { name: 'one channel a group', x: [2, 4, 5, 5], filters: 4, kernel: [3, 3], pads: [1, 1, 1, 1], group: 4 },
  { name: 'one image, one channel, one filter', x: [1, 1, 3, 3], filters: 1, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { name: 'a window wider than the image', x: [2, 2, 2, 1], filters: 2, kernel: [3, 3], pads: [1, 1, 1, 1] },
  { name: 'strides beyond the window', x: [2, 2, 7, 7], filters: 2, kernel: [1, 1], strides: [2, 2] },
];

function prepare({ name, x, filters, kernel, strides = [1, 1], pads = [0, 0, 0, 0], group = 1 }: Case) {
  const random = randomSource(`convolution ${name}`);
  const extent = (axis: 0 | 1): number =>
    Math.floor((x[2 + axis] as number) + (pads[axis] as number) + (pads[2 + axis] as number) - kernel[axis]);
  const y = [x[0], filters, Math.floor(extent(0) / strides[0]) + 1, Math.floor(extent(1) / strides[1]) + 1];
  const w = [filters, x[1] / group, ...kernel];
  return {
    images: randomTensor(x, random),
    weight: randomTensor(w, random),
    gradient: randomTensor(y, random),
    attributes: { strides, pads, group },
    evaluator: { groups: group, stride: strides, pads: pads as never, kernel } as never,
  };
}

const dtypes = { inputs: [], outputs: [] };

describe.each(cases)('$name', (testCase) => {
  const { images, weight, gradient, attributes, evaluator } = prepare(testCase);

  test('the gradient of the image', () => {
    const [dx] = compute('ConvInputGrad', [gradient, weight], { ...attributes, input_extents: testCase.x.slice(2) });
    const call = new Call<'conv2dInputGrad'>([array(gradient), array(weight)], evaluator, [testCase.x], dtypes, 1);
    const [expected] = convolution.conv2dInputGrad(call);
    expect(dx?.shape).toEqual(testCase.x);
    expect(relativeError(dx?.data ?? [], expected ?? [])).toBeLessThan(2e-7);
  });

  test('the gradient of the weight', () => {
    const [dw] = compute('ConvWeightGrad', [images, gradient], { ...attributes, kernel_shape: testCase.kernel });
    const call = new Call<'conv2dWeightGrad'>([array(images), array(gradient)], evaluator, [weight.shape], dtypes, 1);
    const [expected] = convolution.conv2dWeightGrad(call);
    expect(dw?.shape).toEqual(weight.shape);
    expect(relativeError(dw?.data ?? [], expected ?? [])).toBeLessThan(2e-7);
  });

  test('both against differences of the sum of a convolution', () => {
    const loss = (x: Float64Array, w: Float64Array): number => {
      const inputs = [
        { shape: images.shape, data: x },
        { shape: weight.shape, data: w },
      ];
      const [y] = convolution.conv2d(new Call<'conv2d'>(inputs, evaluator, [gradient.shape], dtypes, 1));
      return (y ?? new Float64Array()).reduce((sum, value, index) => sum + value * (gradient.data[index] as number), 0);
    };
    const [x, w] = [Float64Array.from(images.data), Float64Array.from(weight.data)];
    const [dx] = compute('ConvInputGrad', [gradient, weight], { ...attributes, input_extents: testCase.x.slice(2) });
    const [dw] = compute('ConvWeightGrad', [images, gradient], { ...attributes, kernel_shape: testCase.kernel });
    const byX = derivatives((moved) => loss(moved, w), x);
    const byW = derivatives((moved) => loss(x, moved), w);
    expect(relativeError(dx?.data ?? [], byX)).toBeLessThan(1e-6);
    expect(relativeError(dw?.data ?? [], byW)).toBeLessThan(1e-6);
  });
});

describe('what does not fit is refused', () => {
  const attributes = { strides: [1, 1], pads: [1, 1, 1, 1], group: 1 };
  const inputGrad = (dy: number[], w: number[], more: object = {}) =>
    row('ConvInputGrad').shapes([dy, w], { ...attributes, input_extents: [8, 8], ...more });

  test('extents, groups, attributes and operands', () => {
    expect(inputGrad([2, 4, 8, 8], [4, 3, 3, 3])).toEqual([[2, 3, 8, 8]]);
    expect(() => inputGrad([2, 4, 7, 8], [4, 3, 3, 3])).toThrow(
      'dy has the shape [2, 4, 7, 8]; the other operands ask for [2, 4, 8, 8]',
    );
    expect(() => inputGrad([2, 4, 8, 8], [4, 3, 3, 3], { group: 3 })).toThrow('4 filters, which 3 groups');
    expect(() => inputGrad([2, 4, 8, 8], [4, 3, 3, 3], { strides: [0, 1] })).toThrow(
      'strides is [0,1]; it must be 2 whole numbers of at least 1',
    );
    expect(() => inputGrad([2, 4, 8, 8], [4, 3, 3, 3], { pads: 1 })).toThrow('pads is 1');
    expect(() => inputGrad([2, 4, 8], [4, 3, 3, 3])).toThrow('four axes');
    expect(() => row('ConvInputGrad').shapes([[2, 4, 8, 8]], attributes)).toThrow('operand 1, w, is missing');
    expect(() => inputGrad([2, 4, 8, 8], [4, 3, 13, 3])).toThrow('does not fit an image of 8×8');
    expect(() =>
      row('ConvWeightGrad').shapes(
        [
          [2, 5, 8, 8],
          [2, 4, 8, 8],
        ],
        { ...attributes, group: 2, kernel_shape: [3, 3] },
      ),
    ).toThrow('5 channels, which 2 groups');
  });
});
