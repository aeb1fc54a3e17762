/** @file What data workers do, in a thread of their own or in the main one. */

import { DensecError, InternalError } from '../../ir/errors.js';
import { type Augment, type Batch, type BatchFormat, makeBatch } from './batches.js';
import { type FileEntry, type Inspection, inspectFiles, makeFileBatch } from './file-batches.js';
import type { PixelSplit } from './types.js';

/** The parts of a data set. */
export type SplitName = 'train' | 'validation' | 'test';

/** What a worker is given once. */
export interface WorkerData {
  readonly format: BatchFormat;
  /** Images in memory that all threads share. */
  readonly pixels: Partial<Readonly<Record<SplitName, PixelSplit>>>;
}

/** A piece of work. */
export type Job =
  | {
      readonly kind: 'pixels';
      readonly split: SplitName;
      readonly indices: Uint32Array;
      readonly augment?: Augment | undefined;
    }
  | { readonly kind: 'files'; readonly entries: readonly FileEntry[]; readonly augment?: Augment | undefined }
  | { readonly kind: 'inspect'; readonly files: readonly string[] };

/** What a piece of work gives. */
export type JobResult<J extends Job> = J extends { kind: 'inspect' } ? Inspection : Batch;

/** A message to a worker. */
export type JobRequest = { readonly id: number; readonly job: Job } | 'close';

/** Its answer. Expected errors travel as their message, since a thread's errors lose their class. */
export type JobReply =
  | { readonly id: number; readonly result: Batch | Inspection }
  | { readonly id: number; readonly failure: string }
  | { readonly id: number; readonly bug: string };

/** Does a piece of work. @throws FailureError when a file can't be read */
export async function performJob({ format, pixels }: WorkerData, job: Job): Promise<Batch | Inspection> {
  switch (job.kind) {
    case 'pixels': {
      const split = pixels[job.split];
      if (!split) throw new InternalError(`the ${job.split} images are not in memory`);
      return makeBatch(format, split, job.indices, { augment: job.augment });
    }
    case 'files':
      return makeFileBatch(format, job.entries, job.augment);
    case 'inspect':
      return inspectFiles(format, job.files);
  }
}

/** Does a piece of work and makes an answer of what comes of it. */
export async function answerJob(data: WorkerData, id: number, job: Job): Promise<JobReply> {
  try {
    return { id, result: await performJob(data, job) };
  } catch (error) {
    if (error instanceof DensecError) return { id, failure: error.message };
    return { id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
