/** @file The messages between the main thread and a session's worker. */

import type { TensorData } from '../../ir/index.js';
import type { Device, DeviceOptions } from './devices.js';
import type { ProcessLink } from './mpi/meeting.js';
import type { SessionChoice } from './session-choice.js';

/** What to see of what the runtime does with a model. */
export interface Inspection {
  /** Profiles the runs: the profile is written here, with a time and `.json` behind it, when the session is closed. */
  readonly profilePrefix?: string;
  /** Path to which the runtime writes the model after its optimizations. */
  readonly optimizedModel?: string;
  /** Optimizers that the runtime leaves out, by its names for them. */
  readonly disabledOptimizers?: readonly string[];
}

/** Loads a model from a file. */
export interface OpenRequest extends SessionChoice, Inspection, DeviceOptions {
  readonly kind: 'open';
  readonly model: string;
  readonly device: Device;
  readonly threads: number;
  /** The processes that take each step together, where there are several. */
  readonly link?: ProcessLink | undefined;
}

/** One run of the model. */
export interface RunRequest {
  readonly kind: 'run';
  readonly feeds: readonly (readonly [string, TensorData])[];
  /** Outputs to send back. */
  readonly results: readonly string[];
  /** Outputs that replace state. */
  readonly updates: readonly { readonly output: string; readonly input: string }[];
}

/** What is asked of a worker. */
export type Request =
  | OpenRequest
  | RunRequest
  | { readonly kind: 'setState'; readonly tensors: readonly (readonly [string, TensorData])[] }
  | { readonly kind: 'getState' }
  | { readonly kind: 'arena' }
  | { readonly kind: 'close' };

/** The answer to the request of the same id. */
export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
  /** Whether the error is that the request can't be met as asked. */
  readonly isRequest?: boolean;
}
