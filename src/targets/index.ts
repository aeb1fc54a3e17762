/** @file The targets by name. */

import { RequestError } from '../ir/index.js';
import { cpu } from './cpu.js';
import { cuda, cudnnKernels } from './cuda.js';
import type { KernelsName, Target, TargetName } from './target.js';
import { webgpu } from './webgpu.js';

/** The targets by name, with ONNX's operators only. */
export const targets: Readonly<Record<TargetName, Target>> = { cpu, cuda, webgpu };

/** What asks the least of a runtime, for models that go anywhere. */
export const portable: Target = webgpu;

/**
 * A target by name, with the kernels that a graph for it may ask for.
 * @param costs another table of costs than the target's own
 * @throws RequestError where the target has no kernels of ours
 */
export function targetOf(name: TargetName, kernels: KernelsName = 'plain', costs = targets[name].costs): Target {
  const target = { ...targets[name], costs };
  if (kernels === 'plain') return target;
  if (name !== 'cuda') {
    throw new RequestError(
      `kernels cudnn are for the target cuda, not ${name}; add --target cuda, or leave --kernels out`,
    );
  }
  return { ...target, kernels: cudnnKernels };
}

export { nodeMicroseconds, stepMicroseconds } from './cost.js';
export { checkCosts, costsSchema, defaultCosts } from './costs.js';
export type { Costs, KernelKind, KernelsName, Rate, Target, TargetName, Work } from './target.js';
export { workOf } from './work.js';
