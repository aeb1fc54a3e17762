/** @file Reads the profile that the runtime writes: which kernels ran, in order, for how long, on what shapes. */

import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { FailureError } from '../../ir/index.js';
import { fileFailure } from '../files/atomic-file.js';

/** A tensor that a kernel read or wrote. */
export interface KernelTensor {
  /** The runtime's name of the element type: `float`, `int64`, `bool`, … */
  readonly type: string;
  readonly shape: readonly number[];
}

/** One execution of a node. */
export interface KernelEvent {
  /** The node's name; the runtime's own where it made the node. */
  readonly name: string;
  /** ONNX's operator. */
  readonly operator: string;
  /** The runtime's index of the node, which optimizations may have changed. */
  readonly index: number;
  /** Microseconds from the beginning of the profile to when the kernel began. */
  readonly start: number;
  /** Microseconds that the kernel ran. */
  readonly duration: number;
  readonly provider: string;
  readonly inputs: readonly KernelTensor[];
  readonly outputs: readonly KernelTensor[];
}

/** One run of a model. */
export interface ProfiledRun {
  /** Microseconds from its call to its return. */
  readonly duration: number;
  /** In the order in which they ran. */
  readonly kernels: readonly KernelEvent[];
}

const tensors = z.array(z.record(z.string(), z.array(z.number())));

const eventSchema = z.object({
  cat: z.string(),
  name: z.string(),
  ts: z.number(),
  dur: z.number(),
  args: z
    .object({
      op_name: z.string(),
      node_index: z.string(),
      provider: z.string(),
      input_type_shape: tensors,
      output_type_shape: tensors,
    })
    .partial()
    .optional(),
});

type ProfileEvent = z.infer<typeof eventSchema>;

const kernelSuffix = '_kernel_time';

/**
 * The runs of a profile, in order.
 * @param text contents of the file
 * @param path named in errors
 * @throws FailureError when it is no profile
 */
export function parseProfile(text: string, path: string): ProfiledRun[] {
  const events = parseEvents(text, path);
  const runs = events.filter(({ cat, name }) => cat === 'Session' && name === 'model_run').sort((a, b) => a.ts - b.ts);
  const kernels = events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith(kernelSuffix))
    .map(kernelEvent)
    .sort((a, b) => a.start - b.start);
  return runs.map(({ ts, dur }) => ({
    duration: dur,
    kernels: kernels.filter(({ start }) => start >= ts && start <= ts + dur),
  }));
}

/**
 * Reads the profile that a session wrote under a prefix.
 * @throws FailureError when there is none or it is broken
 */
export async function readProfile(prefix: string): Promise<ProfiledRun[]> {
  const directory = dirname(prefix);
  const files = await readdir(directory).catch((error: unknown) => {
    throw fileFailure('read', directory, error);
  });
  const file = files.find((name) => name.startsWith(basename(prefix)) && name.endsWith('.json'));
  if (file === undefined) throw new FailureError(`the runtime wrote no profile ${prefix}*.json; is the disk full?`);
  const path = join(directory, file);
  return parseProfile(await readFile(path, 'utf8'), path);
}

function parseEvents(text: string, path: string): ProfileEvent[] {
  try {
    return z.array(eventSchema).parse(JSON.parse(text));
  } catch (error) {
    throw new FailureError(`${path} is not a profile of onnxruntime: ${(error as Error).message}`, { cause: error });
  }
}

function kernelEvent({ name, ts, dur, args = {} }: ProfileEvent): KernelEvent {
  return {
    name: name.slice(0, -kernelSuffix.length),
    operator: args.op_name ?? '',
    index: Number(args.node_index),
    start: ts,
    duration: dur,
    provider: args.provider ?? '',
    inputs: (args.input_type_shape ?? []).flatMap(kernelTensors),
    outputs: (args.output_type_shape ?? []).flatMap(kernelTensors),
  };
}

function kernelTensors(types: Readonly<Record<string, readonly number[]>>): KernelTensor[] {
  return Object.entries(types).map(([type, shape]) => ({ type, shape }));
}
