/** @file CUDA, with an H100's costs. */

import type { OperatorName } from '../ir/index.js';
import { defaultCosts } from './costs.js';
import { cpu } from './cpu.js';
import { cudaKernels } from './kernels/cuda.js';
import { launchesOf, workspaceOf } from './launches.js';
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
  unequalParts: 'dear',
  normalizers: 'within',
  splitOutputs: Number.POSITIVE_INFINITY,
  registered: cudaKernels,
  kernels: new Set(),
  launches: launchesOf,
  workspace: workspaceOf,
  // For a step captured as a graph, held to measured steps; docs/decisions.md, "What targets cost", tells each number's source.
  costs: {
    name: defaultCosts,
    nodeUs: 1.6,
    rates: {
      view: { bytesPerSecond: Number.POSITIVE_INFINITY },
      elementwise: { bytesPerSecond: 2.8e12 },
      reduction: { bytesPerSecond: 2.8e12 },
      movement: { bytesPerSecond: 2.8e12 },
      pooling: { bytesPerSecond: 2.8e12 },
      pointwise: { bytesPerSecond: 2.2e12, flopsPerSecond: 45e12 },
      convolution: { bytesPerSecond: 0.65e12, flopsPerSecond: 45e12 },
      grouped: { bytesPerSecond: 0.4e12, flopsPerSecond: 10e12 },
      product: { bytesPerSecond: 0.65e12, flopsPerSecond: 45e12 },
      gradient: { bytesPerSecond: 0.48e12, flopsPerSecond: 45e12, launchUs: 15 },
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
