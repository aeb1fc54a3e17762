/**
 * @file Reference kernels of convolution and pooling. A convolution is a sum of products over triples (position in x,
 * tap of the weight, position in y); its two gradients sum over the very same triples.
 */

import type { Convolution, Pair, Window } from '../../../src/ir/index.js';
import { accumulate, at, type NdArray } from './array.js';
import type { Call, Kernels } from './kernel.js';

interface Geometry extends Convolution {
  /** (N, C, H, W) */
  readonly x: readonly number[];
  /** (O, C / groups, kH, kW) */
  readonly weight: readonly number[];
  /** (N, O, H′, W′) */
  readonly y: readonly number[];
}

type Extents = readonly [number, number, number, number];

/** Visits every tap of a window that lies inside the image, for one output position: its row, column and number. */
function visitTaps(
  image: Pair,
  { kernel, stride, pads }: Window,
  row: number,
  column: number,
  visit: (row: number, column: number, tap: number) => void,
): void {
  for (let i = 0; i < kernel[0]; i++) {
    const y = row * stride[0] + i - pads[0];
    if (y < 0 || y >= image[0]) continue;
    for (let j = 0; j < kernel[1]; j++) {
      const x = column * stride[1] + j - pads[1];
      if (x >= 0 && x < image[1]) visit(y, x, i * kernel[1] + j);
    }
  }
}

/** Visits every product of a convolution. */
function visitProducts(geometry: Geometry, visit: (x: number, weight: number, y: number) => void): void {
  const { groups, stride, pads } = geometry;
  const [samples, channels, height, width] = geometry.x as Extents;
  const [, perGroup, kernelHeight, kernelWidth] = geometry.weight as Extents;
  const [, filters, outHeight, outWidth] = geometry.y as Extents;
  const window = { kernel: [kernelHeight, kernelWidth] as const, stride, pads };
  const taps = kernelHeight * kernelWidth;
  for (let n = 0; n < samples; n++) {
    for (let filter = 0; filter < filters; filter++) {
      const firstChannel = Math.floor(filter / (filters / groups)) * perGroup;
      for (let row = 0; row < outHeight; row++) {
        for (let column = 0; column < outWidth; column++) {
          const output = ((n * filters + filter) * outHeight + row) * outWidth + column;
          for (let channel = 0; channel < perGroup; channel++) {
            const plane = (n * channels + firstChannel + channel) * height;
            const taps0 = (filter * perGroup + channel) * taps;
            visitTaps([height, width], window, row, column, (y, x, tap) =>
              visit((plane + y) * width + x, taps0 + tap, output),
            );
          }
        }
      }
    }
  }
}

/** Visits every element of every pooling window: its flat position in x, its tap and the window's position in y. */
function visitWindows(
  xShape: readonly number[],
  yShape: readonly number[],
  window: Window,
  visit: (x: number, tap: number, y: number) => void,
): void {
  const [, channels, height, width] = xShape as Extents;
  const [samples, , outHeight, outWidth] = yShape as Extents;
  for (let plane = 0; plane < samples * channels; plane++) {
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++) {
        const output = (plane * outHeight + row) * outWidth + column;
        visitTaps([height, width], window, row, column, (y, x, tap) =>
          visit((plane * height + y) * width + x, tap, output),
        );
      }
    }
  }
}

/** Largest element of each window and its flat position in x; the first of equal ones. */
function largest(x: NdArray, yShape: readonly number[], window: Window): readonly Float64Array[] {
  const size = yShape.reduce((product, extent) => product * extent, 1);
  const values = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  const positions = new Float64Array(size).fill(-1);
  visitWindows(x.shape, yShape, window, (from, _, to) => {
    if (at(x.data, from) <= at(values, to)) return;
    values[to] = at(x.data, from);
    positions[to] = from;
  });
  return [values, positions];
}

function area({ kernel }: Window): number {
  return kernel[0] * kernel[1];
}

function unfold(call: Call<'im2col'>): readonly Float64Array[] {
  const columns = call.zeros();
  const { shape, data } = call.input(0);
  const [, channels] = shape as Extents;
  const [samples, , outHeight, outWidth] = call.shape() as Extents;
  const positions = outHeight * outWidth;
  const taps = area(call.attributes);
  visitWindows(shape, [samples, channels, outHeight, outWidth], call.attributes, (x, tap, y) => {
    const plane = Math.floor(y / positions);
    const place = call.attributes.mirrored ? taps - 1 - tap : tap;
    columns[(plane * taps + place) * positions + (y % positions)] = at(data, x);
  });
  return [columns];
}

function convolve(
  attributes: Convolution,
  shape: readonly number[],
  x: NdArray,
  weight: NdArray,
  bias?: NdArray,
  sum?: NdArray,
): Float64Array {
  const y = new Float64Array(shape.reduce((product, extent) => product * extent, 1));
  visitProducts({ ...attributes, x: x.shape, weight: weight.shape, y: shape }, (atX, atWeight, atY) =>
    accumulate(y, atY, at(x.data, atX) * at(weight.data, atWeight)),
  );
  // In the order of the CPU's kernels, so that exact equality here is what to expect there.
  const total = sum ? y.map((value, index) => value + at(sum.data, index)) : y;
  const [, filters, height, width] = shape as Extents;
  return bias
    ? total.map((value, index) => value + at(bias.data, Math.floor(index / (height * width)) % filters))
    : total;
}

export const convolution: Kernels<
  | 'conv2d'
  | 'conv2dAdd'
  | 'fusedConv2d'
  | 'convTranspose2d'
  | 'conv2dInputGrad'
  | 'conv2dWeightGrad'
  | 'im2col'
  | 'maxPool2d'
  | 'maxPool2dGrad'
  | 'averagePool2d'
  | 'averagePool2dGrad'
> = {
  conv2d: (call) => [convolve(call.attributes, call.shape(), call.input(0), call.input(1), call.inputs[2])],
  conv2dAdd(call) {
    const y = convolve(call.attributes, call.shape(), call.input(1), call.input(2));
    return [y.map((value, index) => value + at(call.input(0).data, index))];
  },
  fusedConv2d(call) {
    const { adds, relu } = call.attributes;
    const [x, weight, ...others] = call.inputs as [NdArray, NdArray, ...NdArray[]];
    const sum = adds ? others.pop() : undefined;
    const y = convolve(call.attributes, call.shape(), x, weight, others[0], sum);
    return [relu ? y.map((value) => Math.max(0, value)) : y];
  },
  // The transpose of the convolution that maps its output's shape to its input's.
  convTranspose2d(call) {
    const [y, weight] = [call.input(0), call.input(1)];
    const x = call.zeros();
    visitProducts({ ...call.attributes, x: call.shape(), weight: weight.shape, y: y.shape }, (atX, atWeight, atY) =>
      accumulate(x, atX, at(y.data, atY) * at(weight.data, atWeight)),
    );
    return [x];
  },
  conv2dInputGrad(call) {
    const [gradient, weight] = [call.input(0), call.input(1)];
    const x = call.zeros();
    const geometry = { ...call.attributes, x: call.shape(), weight: weight.shape, y: gradient.shape };
    visitProducts(geometry, (atX, atWeight, atY) =>
      accumulate(x, atX, at(gradient.data, atY) * at(weight.data, atWeight)),
    );
    return [x];
  },
  conv2dWeightGrad(call) {
    const [x, gradient] = [call.input(0), call.input(1)];
    const weight = call.zeros();
    const geometry = { ...call.attributes, x: x.shape, weight: call.shape(), y: gradient.shape };
    visitProducts(geometry, (atX, atWeight, atY) =>
      accumulate(weight, atWeight, at(gradient.data, atY) * at(x.data, atX)),
    );
    return [weight];
  },
  im2col: unfold,
  maxPool2d: (call) => largest(call.input(0), call.shape(), call.attributes),
  maxPool2dGrad(call) {
    const x = call.zeros();
    for (const [index, position] of call.input(1).data.entries())
      accumulate(x, position, at(call.input(0).data, index));
    return [x];
  },
  averagePool2d(call) {
    const { shape, data } = call.input(0);
    const y = call.zeros();
    visitWindows(shape, call.shape(), call.attributes, (atX, _, atY) => accumulate(y, atY, at(data, atX)));
    return [y.map((sum) => sum / area(call.attributes))];
  },
  averagePool2dGrad(call) {
    const { shape, data } = call.input(0);
    const x = call.zeros();
    visitWindows(call.shape(), shape, call.attributes, (atX, _, atY) =>
      accumulate(x, atX, at(data, atY) / area(call.attributes)),
    );
    return [x];
  },
};
