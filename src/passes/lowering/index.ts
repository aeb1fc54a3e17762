/** @file The table of lowering rules: one for each composite operator. */

import type { OperatorName } from '../../ir/index.js';
import { conv2dAdd, conv2dInputGrad, conv2dWeightGrad, im2col } from './convolution.js';
import { dropoutMask } from './dropout.js';
import {
  affine,
  affineRelu,
  affineReluGrad,
  batchStatistics,
  center,
  centerGrad,
  channelSums,
  countErrors,
  crossEntropy,
  crossEntropyGrad,
  normalizable,
  normalizer,
  reluGrad,
  sizeOf,
} from './normalization.js';
import { after } from './order.js';
import { averageByProduct, averagePool2dGrad, maxPool2dGrad } from './pooling.js';
import type { LoweringRule } from './rule.js';

/** Rules by operator. Batch norm and dropout themselves are gone once a mode is chosen. */
export const loweringRules: { readonly [K in OperatorName]?: LoweringRule<K> } = {
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
export { expandBatch, splitBySlices } from './movement.js';
export {
  floatScalar,
  innerAxes,
  type LoweringContext,
  type LoweringRule,
} from './rule.js';
export { averageByProduct };
