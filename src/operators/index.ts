/** @file The table of operators of our own: ONNX domain `densec`, version 1. Tensors are float32, images NCHW. */

import { allReduce } from './collective.js';
import { convInputGrad, convWeightGrad } from './convolution.js';
import type { OwnOperator } from './definition.js';
import { concat, split } from './movement.js';
import { affineRelu, affineReluGrad, batchStatistics, centerGrad, normalizer, reluGrad } from './normalization.js';
import { averagePoolGrad, maxPoolGrad } from './pooling.js';

export { allReduce } from './collective.js';
export type { Attributes, HostTensor, OwnOperator } from './definition.js';

const rows = [
  convInputGrad,
  convWeightGrad,
  batchStatistics,
  normalizer,
  affineRelu,
  affineReluGrad,
  centerGrad,
  reluGrad,
  concat,
  split,
  averagePoolGrad,
  maxPoolGrad,
  allReduce,
];

/** Every operator of our own by its name. */
export const ownOperators: Readonly<Record<string, OwnOperator>> = Object.fromEntries(
  rows.map((row) => [row.name, row]),
);
