/** @file The gradients of average and max pooling over windows of images [N, C, H, W], without dilation. */

import { at, expectExtents, flag, images, operand, pair, tensor } from './checks.js';
import type { Attributes, OwnOperator } from './definition.js';
import { inside, kernelShape, positions, type Window, window } from './windows.js';

/** Everything a pooling gradient depends on. */
export interface PoolingGeometry {
  /** [N, C, H, W] */
  readonly x: readonly [number, number, number, number];
  /** [N, C, h, w] */
  readonly y: readonly [number, number, number, number];
  readonly window: Window;
}

/** The geometry of AveragePoolGrad. @throws RequestError */
function averagePoolGeometry(inputs: readonly (readonly number[])[], attributes: Attributes): PoolingGeometry {
  const y = images(operand(inputs, 0, 'dy'), 'dy');
  return checked({
    x: [y[0], y[1], ...pair(attributes, 'input_extents', 1)],
    y,
    window: window(attributes, kernelShape(attributes)),
  });
}

/** The geometry of MaxPoolGrad. @throws RequestError */
function maxPoolGeometry(inputs: readonly (readonly number[])[], attributes: Attributes): PoolingGeometry {
  const y = images(operand(inputs, 0, 'dy'), 'dy');
  const x = images(operand(inputs, 1, 'x'), 'x');
  return checked({ x, y, window: window(attributes, kernelShape(attributes)) });
}

function checked(geometry: PoolingGeometry): PoolingGeometry {
  const { x, y } = geometry;
  expectExtents(y, [x[0], x[1], ...positions([x[2], x[3]], geometry.window)], 'dy');
  return geometry;
}

const windowAttributes = { kernel_shape: 'ints', strides: 'ints', pads: 'ints' } as const;

/** The gradient of average pooling: each element gets its share of every window that it lies in. */
export const averagePoolGrad: OwnOperator = {
  name: 'AveragePoolGrad',
  operands: ['dy'],
  outputs: ['dx'],
  attributes: { ...windowAttributes, count_include_pad: 'int', input_extents: 'ints' },
  inPlace: [],
  shapes(inputs, attributes) {
    flag(attributes, 'count_include_pad');
    return [averagePoolGeometry(inputs, attributes).x];
  },
  reference(inputs, outputs, attributes) {
    const dy = tensor(inputs, 0);
    const dx = tensor(outputs, 0).data;
    const countsPadding = flag(attributes, 'count_include_pad');
    const { x, y, window } = averagePoolGeometry([dy.shape], attributes);
    const [samples, channels, height, width] = x;
    const [, , rows, columns] = y;
    const { kernel, strides, pads } = window;
    const plane = new Float64Array(height * width);
    for (let index = 0; index < samples * channels; index++) {
      plane.fill(0);
      for (let row = 0; row < rows; row++) {
        const [top, bottom] = inside(row * strides[0] - pads[0], 1, kernel[0], height);
        for (let column = 0; column < columns; column++) {
          const [left, right] = inside(column * strides[1] - pads[1], 1, kernel[1], width);
          const area = countsPadding ? kernel[0] * kernel[1] : (bottom - top) * (right - left);
          const share = at(dy.data, (index * rows + row) * columns + column) / area;
          for (let i = top; i < bottom; i++) {
            const from = (row * strides[0] - pads[0] + i) * width + column * strides[1] - pads[1];
            for (let place = from + left; place < from + right; place++) plane[place] = at(plane, place) + share;
          }
        }
      }
      dx.set(plane, index * height * width);
    }
  },
};

/** The gradient of max pooling: the first of the largest elements of a window, row by row, takes its gradient. */
export const maxPoolGrad: OwnOperator = {
  name: 'MaxPoolGrad',
  operands: ['dy', 'x'],
  outputs: ['dx'],
  attributes: windowAttributes,
  inPlace: [],
  shapes: (inputs, attributes) => [maxPoolGeometry(inputs, attributes).x],
  reference(inputs, outputs, attributes) {
    const dy = tensor(inputs, 0);
    const values = tensor(inputs, 1);
    const dx = tensor(outputs, 0).data;
    const { x, y, window } = maxPoolGeometry([dy.shape, values.shape], attributes);
    const [samples, channels, height, width] = x;
    const [, , rows, columns] = y;
    const { kernel, strides, pads } = window;
    const plane = new Float64Array(height * width);
    for (let index = 0; index < samples * channels; index++) {
      const start = index * height * width;
      plane.fill(0);
      for (let row = 0; row < rows; row++) {
        const [top, bottom] = inside(row * strides[0] - pads[0], 1, kernel[0], height);
        for (let column = 0; column < columns; column++) {
          const [left, right] = inside(column * strides[1] - pads[1], 1, kernel[1], width);
          let winner = -1;
          let largest = Number.NaN;
          for (let i = top; i < bottom; i++) {
            const from = (row * strides[0] - pads[0] + i) * width + column * strides[1] - pads[1];
            for (let place = from + left; place < from + right; place++) {
              const value = at(values.data, start + place);
              // As in PyTorch, a later element wins only if it is larger, or not a number.
              if (winner >= 0 && !(value > largest) && !Number.isNaN(value)) continue;
              winner = place;
              largest = value;
            }
          }
          if (winner < 0) continue;
          plane[winner] = at(plane, winner) + at(dy.data, (index * rows + row) * columns + column);
        }
      }
      dx.set(plane, start);
    }
  },
};
