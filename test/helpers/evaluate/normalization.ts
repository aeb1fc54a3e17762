/** @file Reference kernels of batch normalization. */

import { accumulate, at, count } from './array.js';
import type { Kernels } from './kernel.js';

/** The channel (axis 1) of an element. */
function channelOf(shape: readonly number[]): (index: number) => number {
  const inner = count(shape.slice(2));
  const channels = at(shape, 1);
  return (index) => Math.floor(index / inner) % channels;
}

/** Sum of `term` over the elements of each channel. */
function sumByChannel(shape: readonly number[], term: (index: number, channel: number) => number): Float64Array {
  const channel = channelOf(shape);
  const sums = new Float64Array(at(shape, 1));
  for (let index = 0; index < count(shape); index++) accumulate(sums, channel(index), term(index, channel(index)));
  return sums;
}

const element = at;

/** Calls back for each element of a concatenation of parts (N, C, …): the part, positions in it and in the whole, the channel. */
function forEachElement(
  [samples = 0, channels = 0, ...extents]: readonly number[],
  parts: readonly Float64Array[],
  visit: (part: Float64Array, at: number, to: number, channel: number) => void,
): void {
  const positions = count(extents);
  for (let sample = 0; sample < samples; sample++) {
    let first = 0;
    for (const part of parts) {
      const size = part.length / samples;
      for (let offset = 0; offset < size; offset++) {
        const channel = first + Math.floor(offset / positions);
        const to = (sample * channels + first) * positions + offset;
        visit(part, sample * size + offset, to, channel);
      }
      first += size / positions;
    }
  }
}

export const normalization: Kernels<
  | 'batchNorm'
  | 'batchStatistics'
  | 'center'
  | 'normalizer'
  | 'normalize'
  | 'affine'
  | 'normalizable'
  | 'affineRelu'
  | 'affineReluGrad'
  | 'centerGrad'
  | 'channelSums'
> = {
  batchNorm() {
    throw new Error('batchNorm has no value until a mode is chosen');
  },
  batchStatistics(call) {
    const { shape, data } = call.input(0);
    const share = at(shape, 1) / count(shape);
    const mean = sumByChannel(shape, (index) => at(data, index) * share);
    const variance = sumByChannel(shape, (index, channel) => (at(data, index) - at(mean, channel)) ** 2 * share);
    return [mean, variance];
  },
  normalize(call) {
    const { epsilon } = call.attributes;
    const [x, mean, variance, scale, shift] = call.inputs.map(({ data }) => data) as Float64Array[];
    if (!x || !mean || !variance || !scale || !shift) throw new Error('normalize takes five operands');
    const channel = channelOf(call.shape());
    return [
      x.map((value, index) => {
        const c = channel(index);
        return ((value - at(mean, c)) / Math.sqrt(at(variance, c) + epsilon)) * at(scale, c) + at(shift, c);
      }),
    ];
  },
  center(call) {
    const [x, mean] = [call.input(0), call.input(1)];
    const channel = channelOf(x.shape);
    return [x.data.map((value, index) => value - at(mean.data, channel(index)))];
  },
  normalizer(call) {
    const [variance, scale] = [call.input(0), call.input(1)];
    const deviation = variance.data.map((value) => Math.sqrt(value + call.attributes.epsilon));
    return [scale.data.map((value, channel) => value / at(deviation, channel)), deviation];
  },
  affine(call) {
    const [x, scale, shift] = [call.input(0), call.input(1), call.inputs[2]];
    const channel = channelOf(x.shape);
    return [
      x.data.map((value, index) => {
        const c = channel(index);
        return value * at(scale.data, c) + (shift ? at(shift.data, c) : 0);
      }),
    ];
  },
  normalizable: (call) => [call.input(0).data],
  affineRelu(call) {
    const [scale, shift, mean, ...parts] = call.inputs.map(({ data }) => data) as Float64Array[];
    if (!scale || !shift || !mean) throw new Error('affineRelu takes three vectors');
    const result = call.zeros(0);
    forEachElement(call.shape(), parts, (part, at, to, c) => {
      const value = (element(part, at) - element(mean, c)) * element(scale, c) + element(shift, c);
      result[to] = call.attributes.relu ? Math.max(0, value) : value;
    });
    return [result];
  },
  affineReluGrad(call) {
    const [gradient, scale, shift, mean, ...pairs] = call.inputs.map(({ data }) => data) as Float64Array[];
    if (!gradient || !scale || !shift || !mean) throw new Error('affineReluGrad takes a gradient and three vectors');
    const { relu, accumulates } = call.attributes;
    const parts = accumulates.map((_, part) => pairs[2 * part + 1] as Float64Array);
    const results = accumulates.map((adds, part) =>
      adds ? Float64Array.from(pairs[2 * part] as Float64Array) : call.zeros(2 + part),
    );
    const [atScale, atShift] = [call.zeros(0), call.zeros(1)];
    forEachElement(call.input(0).shape, parts, (part, at, to, c) => {
      const centered = element(part, at) - element(mean, c);
      if (relu && centered * element(scale, c) + element(shift, c) <= 0) return;
      accumulate(atScale, c, element(gradient, to) * centered);
      accumulate(atShift, c, element(gradient, to));
      const result = results[parts.indexOf(part)] as Float64Array;
      accumulate(result, at, element(gradient, to) * element(scale, c));
    });
    return [atScale, atShift, ...results];
  },
  centerGrad(call) {
    const [gradient, x, mean, variance] = [call.input(0), call.input(1), call.input(2), call.input(3)];
    const channel = channelOf(x.shape);
    const share = at(x.shape, 1) / count(x.shape);
    const centered = x.data.map((value, index) => value - at(mean.data, channel(index)));
    const sums = sumByChannel(x.shape, (index) => at(gradient.data, index) * share);
    const products = sumByChannel(x.shape, (index) => at(gradient.data, index) * at(centered, index) * share);
    return [
      gradient.data.map((value, index) => {
        const c = channel(index);
        const slope = at(products, c) / (at(variance.data, c) + call.attributes.epsilon);
        return value - at(sums, c) - at(centered, index) * slope;
      }),
    ];
  },
  channelSums(call) {
    const [a, b] = [call.input(0), call.input(1)];
    const positions = count(a.shape.slice(2));
    const sums = [call.zeros(0), call.zeros(1)] as const;
    for (const [index, value] of a.data.entries()) {
      const channel = Math.floor(index / positions) % at(a.shape, 1);
      accumulate(sums[0], channel, value * at(b.data, index));
      accumulate(sums[1], channel, value);
    }
    return sums;
  },
};
