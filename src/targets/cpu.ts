/** @file The CPU, where densec is measured most. */

import { defaultCosts } from './costs.js';
import { cpuKernels } from './kernels/cpu.js';
import type { Target } from './target.js';
import { noWorkspace, oneKernel } from './work.js';

export const cpu: Target = {
  name: 'cpu',
  im2col: 'grouped',
  transposedMatMul: true,
  fusedConvolution: true,
  sums: 'at once',
  reluMask: 'factor',
  hostScalars: true,
  poolIndices: true,
  unequalParts: 'free',
  normalizers: 'apart',
  splitOutputs: Number.POSITIVE_INFINITY,
  registered: cpuKernels,
  kernels: new Set(),
  launches: oneKernel,
  workspace: noWorkspace,
  // costs:begin (written by npm run bench:costs)
  costs: {
    name: defaultCosts,
    nodeUs: 6,
    rates: {
      view: { bytesPerSecond: Number.POSITIVE_INFINITY },
      elementwise: { bytesPerSecond: 6.3e10 },
      reduction: { bytesPerSecond: 4e10 },
      movement: { bytesPerSecond: 4e10 },
      pooling: { bytesPerSecond: 2.2e9 },
      pointwise: { bytesPerSecond: 2.8e10, flopsPerSecond: 1.6e11 },
      convolution: { bytesPerSecond: 2.5e9, flopsPerSecond: 1.6e11 },
      grouped: { bytesPerSecond: 4e10, flopsPerSecond: 6.3e10 },
      product: { bytesPerSecond: 1.1e10, flopsPerSecond: 2e11 },
      gradient: { bytesPerSecond: Number.POSITIVE_INFINITY },
    },
  },
  // costs:end
  // docs/decisions.md, "What a training run takes".
  arena: { factor: 1.15, sessionBytes: 195e6 },
};
