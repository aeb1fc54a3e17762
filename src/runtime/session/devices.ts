/** @file The devices that onnxruntime can run on. */

import { RequestError } from '../../ir/index.js';
import type { TargetName } from '../../targets/index.js';

/** Where a session runs. */
export interface Device {
  readonly target: TargetName;
  /** Which of several devices of a kind. */
  readonly index: number;
}

/** How sessions use CUDA; nothing to other devices. */
export interface CudaOptions {
  /** Whether it may round what it multiplies to TF32, as PyTorch's convolutions do; by default it may. */
  readonly tf32?: boolean | undefined;
  /** Whether steps are captured and replayed as one graph; by default they are. */
  readonly cudaGraph?: boolean | undefined;
}

/** How sessions use a device. */
export interface DeviceOptions extends CudaOptions {
  /** Whether nodes that read floats of a batch may run on the host; by default a session on a device refuses them. */
  readonly allowHostNodes?: boolean | undefined;
}

/** The options of a device among others. */
export function deviceOptionsOf({ tf32, cudaGraph, allowHostNodes }: DeviceOptions): DeviceOptions {
  return { tf32, cudaGraph, allowHostNodes };
}

/** The CPU, the default everywhere. */
export const cpu: Device = { target: 'cpu', index: 0 };

/** A device by the name it has on the command line: `cpu`, `webgpu`, `cuda` or `cuda:1`. @throws RequestError */
export function parseDevice(name: string): Device {
  const match = /^(cpu|webgpu|cuda)(?::(\d+))?$/.exec(name);
  if (!match || (match[2] !== undefined && match[1] !== 'cuda')) {
    throw new RequestError(`there is no device ${name}; choose cpu, webgpu, cuda or cuda:INDEX`);
  }
  return { target: match[1] as TargetName, index: Number(match[2] ?? 0) };
}

/** A device's name on the command line. */
export function deviceName({ target, index }: Device): string {
  return index === 0 ? target : `${target}:${index}`;
}

/**
 * Requires that a model lowered for `target` gives right numbers on a device: the CPU runs all, other devices only
 * what was built for them.
 * @throws RequestError naming the build that would
 */
export function checkTarget(target: TargetName, device: Device): void {
  if (device.target === 'cpu' || device.target === target) return;
  throw new RequestError(
    `the model was built for ${target} and can't be trusted on ${device.target}; build it with --target ${device.target}`,
  );
}
