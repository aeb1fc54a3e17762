/** @file Checkpoints of a training run: its state as safetensors, and where it stood in the metadata. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FailureError, type TensorData } from '../ir/index.js';
import { makeFolder } from './atomic-file.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';
import type { State } from './state.js';

/** Files of a run's folder. */
export const runFiles = {
  bundle: 'bundle',
  results: 'results.csv',
  best: 'best.safetensors',
  last: 'last.safetensors',
  curves: 'curves.svg',
  report: 'report.html',
} as const;

/** Makes a run's folder, without a former run's files: nothing of it can be taken for the new one's. */
export async function prepareRun(directory: string): Promise<void> {
  await makeFolder(directory);
  const { bundle: _, ...files } = runFiles;
  for (const file of Object.values(files)) await rm(join(directory, file), { force: true });
}

const optionalNumber = z.number().optional();

const progressSchema = z.object({
  formatVersion: z.literal(1),
  /** What must be the same for a resumed run to end in the same weights. */
  options: z.object({
    data: z.string(),
    epochs: z.number(),
    batchSize: z.number(),
    learningRate: z.number(),
    schedule: z.enum(['multistep', 'cosine', 'constant']),
    validSize: z.number(),
    limit: optionalNumber,
    seed: z.number(),
  }),
  /** Hash of the training model. */
  model: z.string(),
  /** The epoch in progress and the batches of it that are done, both from 0. */
  epoch: z.number(),
  batch: z.number(),
  /** Steps since the run began. */
  step: z.number(),
  /** Sums over the images of the epoch in progress. */
  lossSum: z.number(),
  errorSum: z.number(),
  imageCount: z.number(),
  seconds: z.number(),
  epochs: z.array(
    z.object({
      epoch: z.number(),
      learningRate: z.number(),
      trainLoss: z.number(),
      trainError: z.number(),
      validLoss: optionalNumber,
      validError: optionalNumber,
      seconds: z.number(),
    }),
  ),
  best: z.object({ epoch: z.number(), error: z.number() }).optional(),
});

/** Where a run stands. */
export type Progress = z.infer<typeof progressSchema>;

const key = 'densec.progress';

/** Writes a checkpoint: it appears whole or not at all. @throws FailureError when the disk refuses */
export async function writeCheckpoint(path: string, state: State, progress: Progress): Promise<void> {
  await writeSafetensors(path, state as ReadonlyMap<string, TensorData>, { [key]: JSON.stringify(progress) });
}

/**
 * The checkpoint that a run's folder holds.
 * @throws FailureError when there is none or it can't be read
 */
export async function readProgress(directory: string): Promise<Progress> {
  const path = join(directory, runFiles.last);
  const { metadata } = await readSafetensors(path);
  const text = metadata[key];
  if (text === undefined) {
    throw new FailureError(`${path} holds weights but no training run; resume in the folder of a densec train`);
  }
  const parsed = progressSchema.safeParse(parseProgress(text, path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FailureError(
    `${path} was written by another version of densec (${issue?.path.join('.')}: ${issue?.message}); resume with that one`,
  );
}

function parseProgress(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FailureError(`${path} is damaged (its progress is not JSON: ${(error as Error).message}); begin again`, {
      cause: error,
    });
  }
}
