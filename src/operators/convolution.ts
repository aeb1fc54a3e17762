/** @file The two gradients of a convolution y = conv(x, w), NCHW, grouped, without dilation. */

import { RequestError } from '../ir/index.js';
import { at, expectExtents, images, int, operand, pair, show, tensor } from './checks.js';
import type { Attributes, OwnOperator } from './definition.js';
import { inside, kernelShape, positions, type Window, window } from './windows.js';

/** Everything a convolution's gradient depends on. */
export interface ConvolutionGeometry {
  /** [N, C, H, W] */
  readonly x: readonly [number, number, number, number];
  /** [O, C / group, kh, kw] */
  readonly w: readonly [number, number, number, number];
  /** [N, O, h, w] */
  readonly y: readonly [number, number, number, number];
  readonly group: number;
  readonly window: Window;
}

/**
 * The geometry of ConvInputGrad.
 * @throws RequestError when the shapes of the gradient and the weight don't fit the attributes
 */
function inputGradGeometry(inputs: readonly (readonly number[])[], attributes: Attributes): ConvolutionGeometry {
  const y = images(operand(inputs, 0, 'dy'), 'dy');
  const w = images(operand(inputs, 1, 'w'), 'w');
  const group = int(attributes, 'group');
  const extents = pair(attributes, 'input_extents', 1);
  return checked({
    x: [y[0], w[1] * group, ...extents],
    w,
    y,
    group,
    window: window(attributes, [w[2], w[3]]),
  });
}

/**
 * The geometry of ConvWeightGrad.
 * @throws RequestError when the shapes of the image and the gradient don't fit the attributes
 */
function weightGradGeometry(inputs: readonly (readonly number[])[], attributes: Attributes): ConvolutionGeometry {
  const x = images(operand(inputs, 0, 'x'), 'x');
  const y = images(operand(inputs, 1, 'dy'), 'dy');
  const group = int(attributes, 'group');
  const kernel = kernelShape(attributes);
  if (group < 1 || x[1] % group !== 0) {
    throw new RequestError(`x has ${x[1]} channels, which ${group} groups don't divide`);
  }
  return checked({ x, w: [y[1], x[1] / group, ...kernel], y, group, window: window(attributes, kernel) });
}

function checked(geometry: ConvolutionGeometry): ConvolutionGeometry {
  const { x, w, y, group } = geometry;
  if (group < 1 || w[0] % group !== 0) {
    throw new RequestError(`a weight of the shape ${show(w)} has ${w[0]} filters, which ${group} groups don't divide`);
  }
  expectExtents(y, [x[0], w[0], ...positions([x[2], x[3]], geometry.window)], 'dy');
  return geometry;
}

/** The extents of a geometry by their names. */
function extentsOf({ x, w, y, group, window: { strides, pads } }: ConvolutionGeometry) {
  const [samples, channels, height, width] = x;
  const [filters, perGroup, kernelHeight, kernelWidth] = w;
  const [, , rows, columns] = y;
  const filtersPerGroup = filters / group;
  return {
    ...{ samples, channels, height, width, filters, perGroup, filtersPerGroup, kernelHeight, kernelWidth },
    ...{ rows, columns, strides, pads },
  };
}

const convolutionAttributes = { strides: 'ints', pads: 'ints', group: 'int' } as const;

/** dx of y = conv(x, w). */
export const convInputGrad: OwnOperator = {
  name: 'ConvInputGrad',
  operands: ['dy', 'w'],
  outputs: ['dx'],
  attributes: { ...convolutionAttributes, input_extents: 'ints' },
  inPlace: [],
  shapes: (inputs, attributes) => [inputGradGeometry(inputs, attributes).x],
  reference(inputs, outputs, attributes) {
    const dy = tensor(inputs, 0).data;
    const w = tensor(inputs, 1).data;
    const dx = tensor(outputs, 0).data;
    const geometry = inputGradGeometry(
      inputs.map(({ shape }) => shape),
      attributes,
    );
    const {
      samples,
      channels,
      height,
      width,
      filters,
      perGroup,
      filtersPerGroup,
      kernelHeight,
      kernelWidth,
      rows,
      columns,
      strides,
      pads,
    } = extentsOf(geometry);
    const plane = new Float64Array(height * width);
    for (let n = 0; n < samples; n++) {
      for (let channel = 0; channel < channels; channel++) {
        plane.fill(0);
        const group = Math.floor(channel / perGroup);
        for (let filter = group * filtersPerGroup; filter < (group + 1) * filtersPerGroup; filter++) {
          const dyPlane = (n * filters + filter) * rows * columns;
          const taps = (filter * perGroup + (channel % perGroup)) * kernelHeight * kernelWidth;
          for (let i = 0; i < kernelHeight; i++) {
            const [top, bottom] = inside(i - pads[0], strides[0], rows, height);
            for (let j = 0; j < kernelWidth; j++) {
              const [left, right] = inside(j - pads[1], strides[1], columns, width);
              const weight = at(w, taps + i * kernelWidth + j);
              for (let row = top; row < bottom; row++) {
                const from = dyPlane + row * columns;
                const to = (row * strides[0] + i - pads[0]) * width + j - pads[1];
                for (let column = left; column < right; column++) {
                  const place = to + column * strides[1];
                  plane[place] = at(plane, place) + weight * at(dy, from + column);
                }
              }
            }
          }
        }
        dx.set(plane, (n * channels + channel) * height * width);
      }
    }
  },
};

/** dw of y = conv(x, w). */
export const convWeightGrad: OwnOperator = {
  name: 'ConvWeightGrad',
  operands: ['x', 'dy'],
  outputs: ['dw'],
  attributes: { ...convolutionAttributes, kernel_shape: 'ints' },
  inPlace: [],
  shapes: (inputs, attributes) => [weightGradGeometry(inputs, attributes).w],
  reference(inputs, outputs, attributes) {
    const x = tensor(inputs, 0).data;
    const dy = tensor(inputs, 1).data;
    const dw = tensor(outputs, 0).data;
    const geometry = weightGradGeometry(
      inputs.map(({ shape }) => shape),
      attributes,
    );
    const {
      samples,
      channels,
      height,
      width,
      filters,
      perGroup,
      filtersPerGroup,
      kernelHeight,
      kernelWidth,
      rows,
      columns,
      strides,
      pads,
    } = extentsOf(geometry);
    const taps = kernelHeight * kernelWidth;
    for (let filter = 0; filter < filters; filter++) {
      const firstChannel = Math.floor(filter / filtersPerGroup) * perGroup;
      for (let within = 0; within < perGroup; within++) {
        for (let tap = 0; tap < taps; tap++) {
          const i = Math.floor(tap / kernelWidth) - pads[0];
          const j = (tap % kernelWidth) - pads[1];
          const [top, bottom] = inside(i, strides[0], rows, height);
          const [left, right] = inside(j, strides[1], columns, width);
          let sum = 0;
          for (let n = 0; n < samples; n++) {
            const xPlane = (n * channels + firstChannel + within) * height * width;
            const dyPlane = (n * filters + filter) * rows * columns;
            for (let row = top; row < bottom; row++) {
              const from = dyPlane + row * columns;
              const other = xPlane + (row * strides[0] + i) * width + j;
              for (let column = left; column < right; column++) {
                sum += at(dy, from + column) * at(x, other + column * strides[1]);
              }
            }
          }
          dw[(filter * perGroup + within) * taps + tap] = sum;
        }
      }
    }
  },
};
