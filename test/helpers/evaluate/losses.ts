/** @file Reference kernels of the losses, sample by sample from their definitions in PyTorch's documentation. */

import { at, type NdArray } from './array.js';
import type { Kernels } from './kernel.js';

const element = at;

/** What a sample is held to: for each class w·((1 − s)·[it is the label] + s / K). */
function wanted(label: number, classes: number, weights: NdArray | undefined, smoothing: number): number[] {
  return Array.from({ length: classes }, (_, entry) => {
    const share = (entry === label ? 1 - smoothing : 0) + smoothing / classes;
    return (weights ? element(weights.data, entry) : 1) * share;
  });
}

/** What the samples count together. */
function weightOf(labels: NdArray, weights: NdArray | undefined): number {
  return labels.data.reduce((sum, label) => sum + (weights ? element(weights.data, label) : 1), 0);
}

const softplus = (x: number): number => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));

/** Largest class of a row, the first of equal ones. */
function predicted({ shape, data }: NdArray, sample: number): number {
  const classes = element(shape, 1);
  const row = Array.from(data.subarray(sample * classes, (sample + 1) * classes));
  return row.indexOf(Math.max(...row));
}

export const losses: Kernels<
  'crossEntropy' | 'crossEntropyGrad' | 'binaryCrossEntropy' | 'binaryCrossEntropyGrad' | 'countErrors'
> = {
  crossEntropy(call) {
    const [logits, labels, weights] = [call.input(0), call.input(1), call.inputs[2]];
    const [samples, classes] = logits.shape as readonly [number, number];
    const logProbabilities = call.zeros(1);
    let sum = 0;
    for (let sample = 0; sample < samples; sample++) {
      const row = logits.data.subarray(sample * classes, (sample + 1) * classes);
      const largest = Math.max(...row);
      const logSum = largest + Math.log(row.reduce((total, logit) => total + Math.exp(logit - largest), 0));
      const shares = wanted(element(labels.data, sample), classes, weights, call.attributes.smoothing ?? 0);
      for (const [label, logit] of row.entries()) {
        logProbabilities[sample * classes + label] = logit - logSum;
        sum -= (logit - logSum) * element(shares, label);
      }
    }
    return [Float64Array.of(sum / weightOf(labels, weights)), logProbabilities];
  },
  crossEntropyGrad(call) {
    const [gradient, logProbabilities, labels, weights] = [call.input(0), call.input(1), call.input(2), call.inputs[3]];
    const [, classes] = logProbabilities.shape as readonly [number, number];
    const scale = element(gradient.data, 0) / weightOf(labels, weights);
    return [
      logProbabilities.data.map((logProbability, index) => {
        const label = element(labels.data, Math.floor(index / classes));
        const shares = wanted(label, classes, weights, call.attributes.smoothing ?? 0);
        const all = shares.reduce((sum, share) => sum + share, 0);
        return (Math.exp(logProbability) * all - element(shares, index % classes)) * scale;
      }),
    ];
  },
  binaryCrossEntropy(call) {
    const [logits, targets, weights] = [call.input(0), call.input(1), call.inputs[2]];
    const columns = element(logits.shape, 1);
    const sum = logits.data.reduce((total, x, index) => {
      const y = element(targets.data, index);
      const weight = weights ? element(weights.data, index % columns) : 1;
      return total + weight * y * softplus(-x) + (1 - y) * softplus(x);
    }, 0);
    return [Float64Array.of(sum / logits.data.length)];
  },
  binaryCrossEntropyGrad(call) {
    const [gradient, logits, targets, weights] = [call.input(0), call.input(1), call.input(2), call.inputs[3]];
    const columns = element(logits.shape, 1);
    const scale = element(gradient.data, 0) / logits.data.length;
    return [
      logits.data.map((x, index) => {
        const y = element(targets.data, index);
        const weight = weights ? element(weights.data, index % columns) : 1;
        return scale * ((1 - y) / (1 + Math.exp(-x)) - (weight * y) / (1 + Math.exp(x)));
      }),
    ];
  },
  countErrors(call) {
    const [logits, labels] = [call.input(0), call.input(1)];
    const wrong = labels.data.filter((label, sample) => predicted(logits, sample) !== label);
    return [Float64Array.of(wrong.length)];
  },
};
