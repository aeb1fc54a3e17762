/** @file Reference kernels of batch normalization and losses. */

import { accumulate, at, count, type NdArray } from './array.js';
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

/** Largest class of a row, the first of equal ones. */
function predicted({ shape, data }: NdArray, sample: number): number {
  const classes = at(shape, 1);
  const row = Array.from(data.subarray(sample * classes, (sample + 1) * classes));
  return row.indexOf(Math.max(...row));
}

export const normalization: Kernels<
  | 'batchNorm'
  | 'batchStatistics'
  | 'center'
  | 'normalizer'
  | 'normalize'
  | 'affine'
  | 'channelSums'
  | 'crossEntropy'
  | 'crossEntropyGrad'
  | 'countErrors'
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
  crossEntropy(call) {
    const [logits, labels] = [call.input(0), call.input(1)];
    const [samples, classes] = logits.shape as readonly [number, number];
    const logProbabilities = call.zeros(1);
    let loss = 0;
    for (let sample = 0; sample < samples; sample++) {
      const row = logits.data.subarray(sample * classes, (sample + 1) * classes);
      const largest = Math.max(...row);
      const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
      for (const [label, logit] of row.entries()) logProbabilities[sample * classes + label] = logit - logSum;
      loss -= at(logProbabilities, sample * classes + at(labels.data, sample)) / samples;
    }
    return [Float64Array.of(loss), logProbabilities];
  },
  crossEntropyGrad(call) {
    const [gradient, logProbabilities, labels] = [call.input(0), call.input(1), call.input(2)];
    const [samples, classes] = logProbabilities.shape as readonly [number, number];
    const scale = at(gradient.data, 0) / samples;
    return [
      logProbabilities.data.map((logProbability, index) => {
        const isLabel = index % classes === at(labels.data, Math.floor(index / classes));
        return (Math.exp(logProbability) - (isLabel ? 1 : 0)) * scale;
      }),
    ];
  },
  countErrors(call) {
    const [logits, labels] = [call.input(0), call.input(1)];
    const wrong = labels.data.filter((label, sample) => predicted(logits, sample) !== label);
    return [Float64Array.of(wrong.length)];
  },
};
