/** @file CUDA, with an H100's costs. */

import type { OperatorName } from '../ir/index.js';
import { defaultCosts } from './costs.js';
import { cpu } from './cpu.js';
import { cudaKernels } from './kernels/cuda.js';
import type { Target } from './target.js';

export const cuda: Target = {
  name: 'cuda',
  im2col: 'byChannel',
  transposedMatMul: true,
  fusedConvolution: false,
  sums: 'steps',
  reluMask: 'bool',
  hostScalars: false,
  poolIndices: true,
  splitOutputs: Number.POSITIVE_INFINITY,
  registered: cudaKernels,
  kernels: new Set(),
  // Estimates for a step captured as a graph; docs/decisions.md, "What targets cost".
  costs: {
    name: defaultCosts,
    nodeUs: 5.6,
    rates: {
      view: { bytesPerSecond: Number.POSITIVE_INFINITY },
      elementwise: { bytesPerSecond: 2.2e12 },
      reduction: { bytesPerSecond: 1.5e12 },
      movement: { bytesPerSecond: 1.8e12 },
      pooling: { bytesPerSecond: 1.8e12 },
      pointwise: { bytesPerSecond: 1.5e12, flopsPerSecond: 40e12 },
      convolution: { bytesPerSecond: 1.2e12, flopsPerSecond: 40e12 },
      grouped: { bytesPerSecond: 0.4e12, flopsPerSecond: 10e12 },
      product: { bytesPerSecond: 1.2e12, flopsPerSecond: 40e12 },
    },
  },
  // What the process takes on the host is not known better than for the CPU; what is on the card is not in it.
  arena: cpu.arena,
};

/** Operators of ours: what `--kernels cudnn` adds to the target. */
export const cudnnKernels: ReadonlySet<OperatorName> = new Set<OperatorName>([
  'conv2dInputGrad',
  'conv2dWeightGrad',
  'batchStatistics',
  'normalizer',
  'affineRelu',
  'affineReluGrad',
  'centerGrad',
  'reluGrad',
  'averagePool2dGrad',
  'concat',
  'split',
]);
