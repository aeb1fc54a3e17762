/** @file The one table of gradient rules: each operator has a rule or a reason why it has none. */

import type { OperatorName } from '../../ir/index.js';
import * as contraction from './contraction.js';
import * as elementwise from './elementwise.js';
import * as losses from './losses.js';
import * as movement from './movement.js';
import * as normalization from './normalization.js';
import type { GradientRule, NoGradient } from './rule.js';

const piecewiseConstant: NoGradient = { none: 'it is piecewise constant' };
const integers: NoGradient = { none: 'its result is made of integers' };
const ofOrder: NoGradient = { none: 'it is put in when the order is pinned, after gradients are derived' };
const ofBackward: NoGradient = { none: 'it occurs in backward passes only, and second derivatives are not derived' };
const replaced: NoGradient = { none: 'choosing the mode replaces it before gradients are derived' };

/** The rule of every operator; a missing one fails the type check. */
export const gradientRules: { readonly [K in OperatorName]: GradientRule<K> | NoGradient } = {
  ...elementwise,
  ...movement,
  ...contraction,
  ...normalization,
  ...losses,

  equal: piecewiseConstant,
  greater: piecewiseConstant,
  hardSigmoid: { none: 'it serves as an indicator of x > 0, which is piecewise constant' },
  cast: piecewiseConstant,
  where: { none: 'it occurs in lowered graphs only' },
  constant: { none: 'it has no operands' },
  sizeOf: { none: 'it has no operands' },
  dropoutMask: { none: 'its operands are integers' },
  shape: integers,
  range: integers,
  argMax: integers,
  countErrors: piecewiseConstant,
  reduceMax: { none: 'it occurs in lowered graphs only' },
  im2col: { none: 'it occurs in lowered graphs only' },
  normalize: { none: 'it serves evaluation; training normalizes by an affine map' },
  fusedConv2d: { none: 'it occurs in lowered graphs only' },
  dropout: replaced,
  batchNorm: replaced,
  after: ofOrder,
  copy: { none: 'outputs are copied after gradients are derived' },
  head: ofOrder,
  minimum: ofOrder,
  clip: { none: 'it occurs in updates only' },
  scatterAdd: ofBackward,
  convTranspose2d: ofBackward,
  conv2dInputGrad: ofBackward,
  conv2dWeightGrad: ofBackward,
  maxPool2dGrad: ofBackward,
  averagePool2dGrad: ofBackward,
  channelSums: ofBackward,
  allReduce: { none: 'it is put in where gradients are complete, after they are derived' },
  affineReluGrad: ofBackward,
  centerGrad: ofBackward,
  reluGrad: ofBackward,
  crossEntropyGrad: ofBackward,
  binaryCrossEntropyGrad: ofBackward,
};

export { BackwardNode, type GradientRule, type NoGradient } from './rule.js';
