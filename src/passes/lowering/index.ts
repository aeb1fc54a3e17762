/** @file The table of lowering rules: one for each composite operator. */

import type { CompositeName } from '../../ir/index.js';
import { conv2dAdd, conv2dInputGrad, conv2dWeightGrad, im2col } from './convolution.js';
import { dropoutMask } from './dropout.js';
import { binaryCrossEntropy, binaryCrossEntropyGrad, countErrors, crossEntropy, crossEntropyGrad } from './losses.js';
import {
  affine,
  affineRelu,
  affineReluGrad,
  batchStatistics,
  center,
  centerGrad,
  channelSums,
  normalizable,
  normalizer,
  reluGrad,
  sizeOf,
} from './normalization.js';
import { after } from './order.js';
import { averageByProduct, averagePool2dGrad, maxPool2dGrad } from './pooling.js';
import type { LoweringRule } from './rule.js';

/** The operators that lowering replaces: all composite ones but batch norm and dropout, gone once a mode is chosen. */
export type LoweredName = Exclude<CompositeName, 'batchNorm' | 'dropout'>;

/** A rule for each of them; a missing one fails the type check. */
export type LoweringRules = { readonly [K in LoweredName]: LoweringRule<K> };

export const loweringRules: LoweringRules = {
  reluGrad,
  batchStatistics,
  center,
  normalizer,
  affine,
  affineRelu,
  affineReluGrad,
  normalizable,
  centerGrad,
  channelSums,
  crossEntropy,
  crossEntropyGrad,
  binaryCrossEntropy,
  binaryCrossEntropyGrad,
  countErrors,
  sizeOf,
  dropoutMask,
  after,
  conv2dAdd,
  conv2dInputGrad,
  conv2dWeightGrad,
  im2col,
  maxPool2dGrad,
  averagePool2dGrad,
};

export { swapLastAxes } from './convolution.js';
export { sigmoid } from './losses.js';
export { expandBatch, splitBySlices } from './movement.js';
export {
  floatScalar,
  innerAxes,
  type LoweringContext,
  type LoweringRule,
} from './rule.js';
export { averageByProduct };
