/** @file Checkpoints of a training run: its state as safetensors, and where it stood in the metadata. */

import { existsSync } from 'node:fs';
import { copyFile, link, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FailureError, type TensorData } from '../../ir/index.js';
import { dataRecordSchema } from '../data/record.js';
import { fileFailure, makeFolder, removeTemporaries, syncFolder, temporaryIn } from '../files/atomic-file.js';
import { readSafetensors, writeSafetensors } from '../files/safetensors.js';
import type { State } from '../model/state.js';
import { identitySchema, loweringSchema } from './identity.js';
import { trainOptionsSchema } from './options.js';
import { segmentSchema } from './segments.js';

/** Files and folders of a run's folder. */
export const runFiles = {
  bundle: 'bundle',
  /** The bundle before another one takes its place; there for a moment only. */
  formerBundle: 'bundle.before',
  results: 'results.csv',
  metrics: 'metrics.csv',
  best: 'best.safetensors',
  last: 'last.safetensors',
  curves: 'curves.svg',
  report: 'report.html',
  /** Earlier checkpoints, where more than the last are kept. */
  checkpoints: 'checkpoints',
} as const;

/** Names of kept checkpoints: they sort by step. */
const keptName = /^step-\d{9}\.safetensors$/;

/** Empties a run's folder of a former run's files: nothing of it can be taken for the new one's. */
export async function prepareRun(directory: string): Promise<void> {
  try {
    const { bundle: _, ...files } = runFiles;
    for (const file of Object.values(files)) await rm(join(directory, file), { recursive: true, force: true });
  } catch (error) {
    throw fileFailure('write', directory, error);
  }
  await removeTemporaries(directory);
}

const optionalNumber = z.number().optional();

/** A number that a validation came to: not always a finite one. */
const measured = z.custom<number>((value) => typeof value === 'number');

/** Raised whenever an older checkpoint would be misread. */
const progressVersion = 2;

const progressSchema = z.object({
  formatVersion: z.literal(progressVersion),
  /** What decides the weights: the options of the run's last segment. */
  options: trainOptionsSchema,
  /** Segments before it, with other options; none in checkpoints from before there were any. */
  earlier: z.array(segmentSchema).default([]),
  /** How often to save, which a resumed run may change. */
  saving: z.object({ every: optionalNumber, keep: z.number() }),
  /** Where it ran: with other threads or another device the last bits of sums may differ. */
  running: z.object({ device: z.string(), threads: z.number() }),
  /** Absent where a program made the batches. */
  data: dataRecordSchema.optional(),
  /** Hash of the training model. */
  model: z.string(),
  /** What another training model must have in common with that; absent in checkpoints from before it was kept. */
  identity: identitySchema.optional(),
  /** How the training model was compiled; absent likewise. */
  lowering: loweringSchema.optional(),
  /** Where the run went on with another training model: the epoch, the batches of it that were done, and what changed. */
  relowered: z.array(z.object({ epoch: z.number(), batch: z.number(), change: z.string() })).default([]),
  /** The epoch in progress and the batches of it that are done, both from 0. */
  epoch: z.number(),
  batch: z.number(),
  /** Batches since the run began. */
  step: z.number(),
  /** Sums over the images of the epoch in progress. */
  lossSum: z.number(),
  errorSum: z.number(),
  imageCount: z.number(),
  /** Sum of the gradients' norms over the epoch's updates, where gradients are clipped. */
  normSum: z.number().default(0),
  /** Those updates. */
  normCount: z.number().default(0),
  seconds: z.number(),
  epochs: z.array(
    z.object({
      epoch: z.number(),
      learningRate: z.number(),
      trainLoss: z.number(),
      trainError: z.number(),
      validLoss: measured.optional(),
      validError: measured.optional(),
      validMetrics: z.record(z.string(), measured).optional(),
      gradientNorm: optionalNumber,
      seconds: z.number(),
      batches: optionalNumber,
    }),
  ),
  /** The epoch of the best weights, and by what they were chosen: the task's score, less being better. */
  best: z.object({ epoch: z.number(), error: measured }).optional(),
});

/** Where a run stands. */
export type Progress = z.infer<typeof progressSchema>;

/** How often a run saves its state. */
export type Saving = Progress['saving'];

const key = 'densec.progress';

/** A new run's progress. */
export function newProgress(
  begin: Pick<Progress, 'options' | 'saving' | 'running' | 'model' | 'identity' | 'lowering' | 'data'>,
): Progress {
  const counts = {
    epoch: 0,
    batch: 0,
    step: 0,
    lossSum: 0,
    errorSum: 0,
    imageCount: 0,
    normSum: 0,
    normCount: 0,
    seconds: 0,
  };
  return { formatVersion: progressVersion, ...begin, ...counts, earlier: [], relowered: [], epochs: [] };
}

/**
 * Replaces a run's last checkpoint: the new one appears whole or not at all. Where more than one is kept, it gets a
 * second name among the kept ones, and the oldest beyond `saving.keep` go.
 * @param more metadata of the weights
 * @returns the checkpoint's path
 * @throws FailureError when the disk refuses; the checkpoints before are intact then
 */
export async function writeCheckpoint(
  directory: string,
  state: State,
  progress: Progress,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const last = join(directory, runFiles.last);
  const metadata = { ...more, [key]: JSON.stringify(progress, encodeNonFinite) };
  await writeSafetensors(last, state as ReadonlyMap<string, TensorData>, metadata);
  if (progress.saving.keep <= 1) return last;
  const folder = join(directory, runFiles.checkpoints);
  try {
    await makeFolder(folder);
    await addName(last, folder, `step-${String(progress.step).padStart(9, '0')}.safetensors`);
    for (const name of (await keptCheckpoints(directory)).slice(0, -progress.saving.keep)) await rm(name);
  } catch (error) {
    throw fileFailure('write', folder, error);
  }
  return last;
}

/** The kept checkpoints of a run's folder, oldest first. */
async function keptCheckpoints(directory: string): Promise<readonly string[]> {
  const folder = join(directory, runFiles.checkpoints);
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => keptName.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** Gives a file a second name, whole or not at all. */
async function addName(path: string, folder: string, name: string): Promise<void> {
  const temporary = temporaryIn(folder);
  // Not every file system has hard links.
  await link(path, temporary).catch(() => copyFile(path, temporary));
  await rename(temporary, join(folder, name));
  // Renaming a link over another name of the same file does nothing and leaves the link.
  await rm(temporary, { force: true });
  await syncFolder(folder);
}

/** Removes what a killed run was writing. Nothing may be writing there. @throws FailureError when it can't be */
export async function tidyRun(directory: string): Promise<void> {
  await removeTemporaries(directory);
  if ((await keptCheckpoints(directory)).length > 0) await removeTemporaries(join(directory, runFiles.checkpoints));
}

/**
 * Where the run of a folder stands, by its last checkpoint.
 * @param from another checkpoint than the last
 * @throws FailureError when there is none or it can't be read
 */
export async function readProgress(directory: string, from = join(directory, runFiles.last)): Promise<Progress> {
  const { metadata } = await readSafetensors(from).catch(async (error: unknown) => {
    const explained = await withOthers(error, directory, from);
    if (explained !== error || existsSync(from) || !existsSync(directory)) throw explained;
    throw new FailureError(
      `${directory} holds no run to go on with: there is no ${from}; begin it again, with --force if the folder is not empty`,
      { cause: error },
    );
  });
  const text = metadata[key];
  if (text === undefined) {
    throw new FailureError(`${from} holds weights but no training run; resume in the folder of a densec train`);
  }
  return parseProgress(text, from);
}

function parseProgress(text: string, path: string): Progress {
  let json: unknown;
  try {
    json = JSON.parse(text, decodeNonFinite);
  } catch (error) {
    throw new FailureError(`${path} is damaged: its progress is no JSON (${(error as Error).message})`);
  }
  const version = (json as { formatVersion?: unknown } | null)?.formatVersion;
  if (version !== progressVersion) {
    throw new FailureError(
      `${path} has checkpoint format ${version}, this densec reads ${progressVersion}; resume with the version that wrote it, or start anew with --force`,
    );
  }
  const parsed = progressSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FailureError(`${path} is damaged: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** Names other checkpoints that one could resume from. */
async function withOthers(error: unknown, directory: string, path: string): Promise<unknown> {
  if (!(error instanceof FailureError)) return error;
  const newest = (await keptCheckpoints(directory)).filter((name) => name !== path).at(-1);
  if (newest === undefined) return error;
  return new FailureError(`${error.message}; go on from an earlier checkpoint with --resume-from ${newest}`, {
    cause: error,
  });
}

// JSON knows no NaN and no infinity, but the loss of a validation may be one.
function encodeNonFinite(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? { notFinite: String(value) } : value;
}

function decodeNonFinite(_: string, value: unknown): unknown {
  const { notFinite } = (value ?? {}) as { notFinite?: unknown };
  return typeof notFinite === 'string' ? Number(notFinite) : value;
}
