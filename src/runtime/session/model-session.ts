/** @file What a loaded model with a state is, whichever way the runtime is reached. */

import type { TensorData } from '../../ir/index.js';
import type { OpenRequest, RunRequest } from './protocol.js';

/** What it takes to load a model. */
export type SessionRequest = Omit<OpenRequest, 'kind' | 'model'> & {
  /** Path of an ONNX file, or its bytes. */
  readonly model: string | Uint8Array;
};

/** How a session reaches the runtime, and what it could not do. */
export interface RuntimeFacts {
  /** The runtime's C API, or Node's binding. */
  readonly api: 'c' | 'binding';
  readonly version: string;
  /** Why the binding is used where the C API might have been. */
  readonly reason?: string;
  /** Whether steps are replayed as a CUDA graph; a reason where they might have been. */
  readonly cudaGraph?: boolean | string;
}

/** What an arena has handed out at most, and what it has taken from the system, in bytes. */
export interface ArenaBytes {
  readonly peakBytes: number;
  readonly reservedBytes: number;
}

/** A node and where it was put. */
export interface PlacedNode {
  readonly name: string;
  /** ONNX's operator. */
  readonly operator: string;
}

/** A loaded model and its state. It blocks its thread while it runs. */
export interface ModelSession {
  readonly facts: RuntimeFacts;
  /** Sets state inputs by name; the buffers are taken over. */
  setState(tensors: readonly (readonly [string, TensorData])[]): void;
  /** A copy of the state. */
  getState(): [string, TensorData][];
  /** Runs the model on `feeds` and the state, whose outputs named in `updates` replace it; gives `results`. */
  run(request: Omit<RunRequest, 'kind'>): Promise<[string, TensorData][]>;
  /** The nodes that run on the host though the session's device is another; null where the runtime can't be asked. */
  readonly onHost: readonly PlacedNode[] | null;
  /** What the arena of the session's device says; null where it can't be asked. */
  arena(): ArenaBytes | null;
  /** Writes the profile, where one was asked for. */
  endProfiling(): void;
  /** Frees the model. */
  close(): Promise<void>;
}
