/** @file Batch normalization. */

import { formatShape, sameShape, staticDim } from '../shape.js';
import { type Definitions, float, type Operands, sameAsFirst } from './definition.js';

type Normalization =
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
  | 'channelSums';

/** Requires one value a channel in each of the operands from `first` on. */
function checkChannelVectors(inputs: Operands, channelsOf: number, first: number): void {
  const channels = staticDim(inputs.shape(channelsOf), 1, 'the operand');
  for (let index = first; index < inputs.types.length; index++) {
    inputs.require(sameShape(inputs.shape(index), [channels]), `operand ${index} must have the shape [${channels}]`);
  }
}

/** Requires vectors with one value for each of some channels. */
function checkVectors(inputs: Operands, operands: readonly number[], channels: number): void {
  for (const index of operands) {
    inputs.require(sameShape(inputs.shape(index), [channels]), `operand ${index} must have the shape [${channels}]`);
  }
}

export const normalization = {
  batchNorm: {
    operands: ['x', 'scale', 'shift', 'runningMean', 'runningVariance'],
    composite: true,
    infer(inputs) {
      checkChannelVectors(inputs, 0, 1);
      return sameAsFirst(inputs);
    },
  },
  batchStatistics: {
    operands: ['x'],
    composite: true,
    infer(inputs) {
      const channels = staticDim(inputs.shape(0), 1, 'batchStatistics: the operand');
      return [float([channels]), float([channels])];
    },
  },
  center: {
    operands: ['x', 'mean', 'variance'],
    cheap: true,
    replacesOperand: true,
    composite: true,
    infer(inputs) {
      checkChannelVectors(inputs, 0, 1);
      return sameAsFirst(inputs);
    },
  },
  normalizer: {
    operands: ['variance', 'scale'],
    composite: true,
    infer(inputs) {
      const shape = inputs.ranked(0, 1);
      inputs.require(sameShape(inputs.shape(1), shape), `operand 1 must have the shape ${formatShape(shape)}`);
      return [float(shape), float(shape)];
    },
  },
  normalize: {
    operands: ['x', 'mean', 'variance', 'scale', 'shift'],
    cheap: true,
    infer(inputs) {
      checkChannelVectors(inputs, 0, 1);
      return sameAsFirst(inputs);
    },
  },
  affine: {
    operands: ['x', 'scale', 'shift?'],
    cheap: true,
    composite: true,
    infer(inputs) {
      checkChannelVectors(inputs, 0, 1);
      return sameAsFirst(inputs);
    },
  },
  normalizable: {
    operands: ['x', 'mean', 'variance'],
    view: true,
    cheap: true,
    composite: true,
    infer(inputs) {
      checkChannelVectors(inputs, 0, 1);
      return sameAsFirst(inputs);
    },
  },
  affineRelu: {
    operands: ['scale', 'shift', 'mean', 'x...'],
    cheap: true,
    composite: true,
    // Of one part only: a smaller one is not of the result's type.
    inPlace: () => [[3, 0]],
    infer(inputs) {
      const parts = inputs.types.slice(3).map((_, part) => inputs.image(3 + part));
      const [first] = parts;
      const agree = parts.every(({ n, h, w }) => n === first?.n && h === first.h && w === first.w);
      inputs.require(agree, 'the parts of x must differ in their channels only');
      const channels = parts.reduce((sum, { c }) => sum + c, 0);
      checkVectors(inputs, [0, 1, 2], channels);
      return [float([first?.n ?? 0, channels, first?.h ?? 0, first?.w ?? 0])];
    },
  },
  affineReluGrad: {
    operands: ['outputGradient', 'scale', 'shift', 'mean', 'sumsAndParts...'],
    composite: true,
    inPlace: (_, { accumulates }) => accumulates.map((_, part) => [4 + 2 * part, 2 + part]),
    infer(inputs, { accumulates }) {
      const { n, c, h, w } = inputs.image(0);
      checkVectors(inputs, [1, 2, 3], c);
      const count = accumulates.length;
      inputs.require(inputs.types.length === 4 + 2 * count, `needs a sum and x for each of ${count} parts`);
      const parts = accumulates.map((_, part) => inputs.at(5 + 2 * part));
      for (const part of parts.keys()) {
        const x = inputs.image(5 + 2 * part);
        inputs.require(x.n === n && x.h === h && x.w === w, `part ${part} must have the gradient's positions`);
        const fits = sameShape(inputs.shape(4 + 2 * part), inputs.shape(5 + 2 * part));
        inputs.require(fits, `the sum of part ${part} must have its shape`);
      }
      const channels = parts.reduce((sum, { shape }) => sum + staticDim(shape, 1, 'affineReluGrad: a part'), 0);
      inputs.require(channels === c, `the parts must have ${c} channels together`);
      return [float([c]), float([c]), ...parts];
    },
  },
  centerGrad: {
    operands: ['gradient', 'x', 'mean', 'variance'],
    composite: true,
    inPlace: () => [[0, 0]],
    infer(inputs) {
      inputs.require(sameShape(inputs.shape(0), inputs.shape(1)), 'the gradient must have the shape of x');
      checkChannelVectors(inputs, 1, 2);
      return sameAsFirst(inputs);
    },
  },
  channelSums: {
    operands: ['a', 'b'],
    composite: true,
    infer(inputs) {
      inputs.require(sameShape(inputs.shape(0), inputs.shape(1)), 'both operands must have one shape');
      const sums = float(inputs.shape(0).slice(1, 2));
      return [sums, sums];
    },
  },
} satisfies Definitions<Normalization>;
