/** @file What a measuring process is asked, and what it answers: one request and one answer a process. */

import type { Device, DeviceOptions } from '../session/devices.js';
import type { ArenaBytes, RuntimeFacts } from '../session/model-session.js';
import type { SessionChoice } from '../session/session-choice.js';

/** Steps of a bundle's training model from its initial state, on a batch of noise. */
export interface StepsRequest extends DeviceOptions {
  readonly kind: 'steps';
  /** Folder of the bundle. */
  readonly bundle: string;
  readonly batchSize: number;
  readonly steps: number;
  readonly seed: number;
  readonly device: Device;
  readonly threads: number;
  readonly session: SessionChoice;
  /** Where the runtime's profile is to be written, as the beginning of a path. Profiling costs time. */
  readonly profilePrefix?: string;
}

/** What a measuring process saw. */
export interface StepsMeasurement {
  /** Milliseconds of each step; the first ones pay for memory that later ones find. */
  readonly stepMs: readonly number[];
  /** Milliseconds to load the model. */
  readonly sessionMs: number;
  /** Bytes by which the process grew in the steps; null where the system can't tell. */
  readonly peakGrowthBytes: number | null;
  readonly losses: readonly number[];
  /** What the arena handed out at most; null where it can't be asked. */
  readonly arena: ArenaBytes | null;
  readonly runtime: RuntimeFacts;
  /** Most bytes in use on the card above those before, where it ran on one; null where the card can't be asked. */
  readonly cardPeakBytes?: number | null;
}

/** The best rates that small graphs reach on this machine. */
export interface CeilingsRequest {
  readonly kind: 'ceilings';
  readonly device: Device;
  readonly threads: number;
}

/** What a machine can do, measured. */
export interface Ceilings {
  /** Bytes read and written a second by an elementwise operator on tensors far larger than any cache. */
  readonly bytesPerSecond: number;
  /** Floating point operations a second of a matrix product. */
  readonly flopsPerSecond: number;
}

export type ChildRequest = StepsRequest | CeilingsRequest;

export type ChildReply = { readonly value: StepsMeasurement | Ceilings } | { readonly error: string };
