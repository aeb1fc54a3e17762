/** @file The flags of densec train that both a new run and a resumed one read, and what they mean. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { DenseNetOptions } from '../src/builders/index.js';
import type { Dataset } from '../src/runtime/data/dataset.js';
import { missingLibrary } from '../src/runtime/session/cuda/libraries.js';
import { parseDevice } from '../src/runtime/session/devices.js';
import type { Processes } from '../src/runtime/session/mpi/processes.js';
import type { SessionOptions } from '../src/runtime/session/session.js';
import type { DataFlags } from './data.js';
import { note } from './output.js';
import { deviceOf, type ProcessFlags } from './processes.js';
import { type BuildFlags, type RunFlags, sessionOptions } from './shared.js';

/** Values of the flags, as commander has them. */
export interface TrainFlags extends BuildFlags, DataFlags, RunFlags, ProcessFlags {
  readonly data?: string;
  readonly save: string;
  readonly init?: string;
  readonly validShare?: number;
  readonly testShare?: number;
  readonly limit?: number;
  readonly seed: number;
  readonly checkpointEvery?: number;
  readonly keep?: number;
  readonly printFreq: number;
  readonly resume?: boolean;
  readonly resumeFrom?: string;
  readonly force?: boolean;
  readonly syncBatchNorm?: boolean;
  readonly dryRun?: boolean;
  readonly link: number;
  readonly allowOvercommit?: boolean;
  readonly json?: boolean;
}

/** Whether a flag is on the command line, by the name that commander has for its value; others have their defaults. */
export type Given = (name: string) => boolean;

/** Session options from flags; several processes share the cores of their host. */
export function sessionFlags(flags: TrainFlags, team: Processes | undefined): SessionOptions {
  const options = { ...sessionOptions(flags), device: deviceOf(flags.device, team) };
  if (!team || options.threads !== undefined) return options;
  return { ...options, threads: Math.max(1, Math.floor(availableParallelism() / team.onHost)) };
}

/** A data set's source wherever the command is given later: an absolute path, or the name of a package. */
export function place(data: string): string {
  return data === 'mnist' ? data : resolve(data);
}

/** What the data set says of a network whose flags leave it open. */
export function dataFallback(dataset: Dataset, flags: TrainFlags): DenseNetOptions {
  const { imageSize, imageWidth, channels, classes, task = 'classes' } = dataset;
  const own = { imageSize, imageWidth, channels };
  // No architecture's thousand classes are labels or values.
  if (task !== 'classes') return flags.arch === undefined ? { ...own, classes } : { classes };
  return flags.arch === undefined ? { ...own, classes: Math.max(2, classes) } : {};
}

/** Flags with the target and the kernels that a device asks for, where nothing else was asked. */
export function forDevice(flags: TrainFlags, given: Given): TrainFlags {
  const { target: device } = parseDevice(flags.device);
  if (device === 'cpu' || given('target')) return flags;
  if (device !== 'cuda' || given('kernels')) return { ...flags, target: device };
  const missing = missingLibrary();
  if (missing !== undefined) note(`built with --kernels plain, since ${missing}`);
  return { ...flags, target: device, kernels: missing === undefined ? 'cudnn' : 'plain' };
}
