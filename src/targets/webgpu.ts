/** @file WebGPU, which gives wrong numbers for the one-hot convolution, has no fused product and binds few buffers a shader. */

import { defaultCosts } from './costs.js';
import { cpu } from './cpu.js';
import { webgpuKernels } from './kernels/webgpu.js';
import type { Target } from './target.js';
import { noWorkspace, oneKernel } from './work.js';

export const webgpu: Target = {
  name: 'webgpu',
  im2col: 'slices',
  transposedMatMul: false,
  fusedConvolution: false,
  sums: 'at once',
  reluMask: 'factor',
  hostScalars: true,
  poolIndices: false,
  unequalParts: 'free',
  normalizers: 'apart',
  splitOutputs: 8,
  registered: webgpuKernels,
  kernels: new Set(),
  launches: oneKernel,
  workspace: noWorkspace,
  // Nothing has been measured but that nodes are dear; the rates are guesses for a small card.
  costs: {
    name: defaultCosts,
    nodeUs: 50,
    rates: {
      view: { bytesPerSecond: Number.POSITIVE_INFINITY },
      elementwise: { bytesPerSecond: 1e11 },
      reduction: { bytesPerSecond: 5e10 },
      movement: { bytesPerSecond: 1e11 },
      pooling: { bytesPerSecond: 1e11 },
      pointwise: { bytesPerSecond: 1e11, flopsPerSecond: 1e12 },
      convolution: { bytesPerSecond: 1e11, flopsPerSecond: 1e12 },
      grouped: { bytesPerSecond: 5e10, flopsPerSecond: 5e11 },
      product: { bytesPerSecond: 1e11, flopsPerSecond: 1e12 },
      gradient: { bytesPerSecond: 1e11, flopsPerSecond: 1e12 },
    },
  },
  arena: cpu.arena,
};
