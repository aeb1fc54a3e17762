/** @file Batch norm in training: statistics, the affine map with ReLU over parts of a concatenation, and gradients. */

import { RequestError } from '../ir/index.js';
import {
  accumulatesOf,
  at,
  type Extents,
  expectExtents,
  flag,
  float,
  operand,
  type Planes,
  planes,
  show,
  tensor,
} from './checks.js';
import type { HostTensor, OwnOperator } from './definition.js';

/** In-place pairs are listed for this many parts of a concatenation; further parts get memory of their own. */
const listedParts = 256;

/** Visits each plane of a tensor [N, C, …]: its channel and the position of its first element. */
function eachPlane({ samples, channels, area }: Planes, visit: (channel: number, start: number) => void): void {
  for (let n = 0; n < samples; n++) {
    for (let channel = 0; channel < channels; channel++) visit(channel, (n * channels + channel) * area);
  }
}

/** Mean and biased variance of each channel over samples and positions, in two passes. */
export const batchStatistics: OwnOperator = {
  name: 'BatchStatistics',
  operands: ['x'],
  outputs: ['mean', 'variance'],
  attributes: {},
  inPlace: [],
  shapes(inputs) {
    const extents = operand(inputs, 0, 'x');
    const { samples, channels, area } = planes(extents, 'x');
    if (samples * area === 0) throw new RequestError(`x has the shape ${show(extents)}; statistics need an element`);
    return [[channels], [channels]];
  },
  reference(inputs, outputs) {
    const { shape, data } = tensor(inputs, 0);
    const of = planes(shape, 'x');
    const count = of.samples * of.area;
    const means = new Float64Array(of.channels);
    eachPlane(of, (channel, start) => {
      let sum = 0;
      for (let place = start; place < start + of.area; place++) sum += at(data, place);
      means[channel] = at(means, channel) + sum / count;
    });
    const variances = new Float64Array(of.channels);
    eachPlane(of, (channel, start) => {
      const mean = at(means, channel);
      let sum = 0;
      for (let place = start; place < start + of.area; place++) sum += (at(data, place) - mean) ** 2;
      variances[channel] = at(variances, channel) + sum / count;
    });
    tensor(outputs, 0).data.set(means);
    tensor(outputs, 1).data.set(variances);
  },
};

/** What batch norm multiplies with, γ/√(v + ε), and the deviation √(v + ε). */
export const normalizer: OwnOperator = {
  name: 'Normalizer',
  operands: ['variance', 'gamma'],
  outputs: ['scale', 'deviation'],
  attributes: { epsilon: 'float' },
  inPlace: [],
  shapes(inputs) {
    const variance = operand(inputs, 0, 'variance');
    expectExtents(operand(inputs, 1, 'gamma'), variance, 'gamma');
    return [variance, variance];
  },
  reference(inputs, outputs, attributes) {
    const epsilon = float(attributes, 'epsilon');
    const gamma = tensor(inputs, 1).data;
    const scale = tensor(outputs, 0).data;
    const deviations = tensor(outputs, 1).data;
    for (const [channel, variance] of tensor(inputs, 0).data.entries()) {
      const deviation = Math.sqrt(variance + epsilon);
      scale[channel] = at(gamma, channel) / deviation;
      deviations[channel] = deviation;
    }
  },
};

/**
 * The extents [N, ΣC_i, …] of parts [N, C_i, …] laid side by side along the channels.
 * @throws RequestError without parts, or when they differ elsewhere than in their channels
 */
function joined(parts: readonly Extents[]): Extents {
  const [first] = parts;
  if (!first) throw new RequestError('there are no parts; at least one must follow the vectors');
  const [samples = 0, , ...rest] = first;
  let channels = 0;
  for (const [index, part] of parts.entries()) {
    const of = planes(part, `part ${index}`);
    expectExtents(part, [samples, of.channels, ...rest], `part ${index}`);
    channels += of.channels;
  }
  return [samples, channels, ...rest];
}

function expectVectors(inputs: readonly Extents[], first: number, names: readonly string[], channels: number): void {
  for (const [offset, name] of names.entries()) expectExtents(operand(inputs, first + offset, name), [channels], name);
}

/** act(scale · (x − mean) + shift) of parts that are joined along the channels. */
export const affineRelu: OwnOperator = {
  name: 'AffineRelu',
  operands: ['scale', 'shift', 'mean', 'x...'],
  outputs: ['z'],
  attributes: { relu: 'int' },
  // With several parts the shapes differ, so only a lone part is written over.
  inPlace: [[3, 0]],
  shapes(inputs, attributes) {
    flag(attributes, 'relu');
    const z = joined(inputs.slice(3));
    expectVectors(inputs, 0, ['scale', 'shift', 'mean'], planes(z, 'z').channels);
    return [z];
  },
  reference(inputs, outputs, attributes) {
    const relu = flag(attributes, 'relu');
    const [scale, shift, mean] = vectors(inputs, 0);
    const z = tensor(outputs, 0);
    const whole = planes(z.shape, 'z');
    let firstChannel = 0;
    for (const { shape, data } of inputs.slice(3)) {
      const of = planes(shape, 'x');
      for (let n = 0; n < of.samples; n++) {
        for (let within = 0; within < of.channels; within++) {
          const channel = firstChannel + within;
          const from = (n * of.channels + within) * of.area;
          const to = (n * whole.channels + channel) * of.area;
          const [a, b, m] = [at(scale, channel), at(shift, channel), at(mean, channel)];
          for (let place = 0; place < of.area; place++) {
            const value = a * (at(data, from + place) - m) + b;
            z.data[to + place] = relu && value < 0 ? 0 : value;
          }
        }
      }
      firstChannel += of.channels;
    }
  },
};

/**
 * Gradients of AffineRelu: those of scale and shift, and for each part the product scale · m · dz, added to the
 * gradient s_i that the part has from its other readers where `accumulates` says so.
 */
export const affineReluGrad: OwnOperator = {
  name: 'AffineReluGrad',
  operands: ['dz', 'scale', 'shift', 'mean', 'pairs...'],
  outputs: ['dscale', 'dshift', 'gradients...'],
  attributes: { relu: 'int', accumulates: 'ints' },
  inPlace: Array.from({ length: listedParts }, (_, part) => [4 + 2 * part, 2 + part] as const),
  shapes(inputs, attributes) {
    flag(attributes, 'relu');
    const dz = operand(inputs, 0, 'dz');
    const operands = inputs.slice(4);
    const accumulates = accumulatesOf(attributes);
    if (operands.length !== 2 * accumulates.length) {
      throw new RequestError(
        `${accumulates.length} parts by the attribute accumulates, but ${operands.length} operands after the vectors; each part has two`,
      );
    }
    const parts = operands.filter((_, index) => index % 2 === 1);
    for (const [part, extents] of parts.entries())
      expectExtents(operand(operands, 2 * part, 's'), extents, `s_${part}`);
    expectExtents(dz, joined(parts), 'dz');
    const { channels } = planes(dz, 'dz');
    expectVectors(inputs, 1, ['scale', 'shift', 'mean'], channels);
    return [[channels], [channels], ...parts];
  },
  reference(inputs, outputs, attributes) {
    const relu = flag(attributes, 'relu');
    const dz = tensor(inputs, 0);
    const [scale, shift, mean] = vectors(inputs, 1);
    const whole = planes(dz.shape, 'dz');
    const scaleSums = new Float64Array(whole.channels);
    const shiftSums = new Float64Array(whole.channels);
    let firstChannel = 0;
    for (const [part, accumulates] of accumulatesOf(attributes).entries()) {
      const sum = tensor(inputs, 4 + 2 * part).data;
      const x = tensor(inputs, 5 + 2 * part);
      const gradient = tensor(outputs, 2 + part).data;
      const of = planes(x.shape, 'x');
      for (let n = 0; n < of.samples; n++) {
        for (let within = 0; within < of.channels; within++) {
          const channel = firstChannel + within;
          const own = (n * of.channels + within) * of.area;
          const from = (n * whole.channels + channel) * of.area;
          const [a, b, m] = [at(scale, channel), at(shift, channel), at(mean, channel)];
          let [scaleSum, shiftSum] = [0, 0];
          for (let place = 0; place < of.area; place++) {
            const centered = at(x.data, own + place) - m;
            const passes = !relu || a * centered + b > 0;
            const passed = passes ? at(dz.data, from + place) : 0;
            scaleSum += passed * centered;
            shiftSum += passed;
            gradient[own + place] = (accumulates ? at(sum, own + place) : 0) + a * passed;
          }
          scaleSums[channel] = at(scaleSums, channel) + scaleSum;
          shiftSums[channel] = at(shiftSums, channel) + shiftSum;
        }
      }
      firstChannel += of.channels;
    }
    tensor(outputs, 0).data.set(scaleSums);
    tensor(outputs, 1).data.set(shiftSums);
  },
};

/** The gradient of x − mean(x) and of the variance that x is divided by: what is left of g after both statistics. */
export const centerGrad: OwnOperator = {
  name: 'CenterGrad',
  operands: ['g', 'x', 'mean', 'variance'],
  outputs: ['dx'],
  attributes: { epsilon: 'float' },
  inPlace: [[0, 0]],
  shapes(inputs, attributes) {
    float(attributes, 'epsilon');
    const g = operand(inputs, 0, 'g');
    expectExtents(operand(inputs, 1, 'x'), g, 'x');
    expectVectors(inputs, 2, ['mean', 'variance'], planes(g, 'g').channels);
    return [g];
  },
  reference(inputs, outputs, attributes) {
    const epsilon = float(attributes, 'epsilon');
    const g = tensor(inputs, 0);
    const x = tensor(inputs, 1).data;
    const mean = tensor(inputs, 2).data;
    const variance = tensor(inputs, 3).data;
    const dx = tensor(outputs, 0).data;
    const of = planes(g.shape, 'g');
    const sums = new Float64Array(of.channels);
    const products = new Float64Array(of.channels);
    eachPlane(of, (channel, start) => {
      const center = at(mean, channel);
      let [sum, product] = [0, 0];
      for (let place = start; place < start + of.area; place++) {
        sum += at(g.data, place);
        product += at(g.data, place) * (at(x, place) - center);
      }
      sums[channel] = at(sums, channel) + sum;
      products[channel] = at(products, channel) + product;
    });
    const count = of.samples * of.area;
    eachPlane(of, (channel, start) => {
      const center = at(mean, channel);
      const constant = at(sums, channel) / count;
      const slope = at(products, channel) / count / (at(variance, channel) + epsilon);
      for (let place = start; place < start + of.area; place++) {
        dx[place] = at(g.data, place) - constant - (at(x, place) - center) * slope;
      }
    });
  },
};

/** The gradient of ReLU from its output. */
export const reluGrad: OwnOperator = {
  name: 'ReluGrad',
  operands: ['dy', 'y'],
  outputs: ['dx'],
  attributes: {},
  inPlace: [[0, 0]],
  shapes(inputs) {
    const dy = operand(inputs, 0, 'dy');
    expectExtents(operand(inputs, 1, 'y'), dy, 'y');
    return [dy];
  },
  reference(inputs, outputs) {
    const dy = tensor(inputs, 0).data;
    const y = tensor(inputs, 1).data;
    const dx = tensor(outputs, 0).data;
    for (let place = 0; place < dx.length; place++) dx[place] = at(y, place) > 0 ? at(dy, place) : 0;
  },
};

function vectors(inputs: readonly HostTensor[], first: number): readonly [Float32Array, Float32Array, Float32Array] {
  return [tensor(inputs, first).data, tensor(inputs, first + 1).data, tensor(inputs, first + 2).data];
}
