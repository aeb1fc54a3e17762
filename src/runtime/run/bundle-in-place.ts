/** @file The bundle in a run's folder, and another one in its place: at any moment one of the two is there, whole. */

import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Compiled } from '../../compile.js';
import { FailureError } from '../../ir/index.js';
import { type Bundle, copyBundle, openBundle, trainingHash, writeBundle } from '../bundle/bundle.js';
import { fileFailure, syncFolder, temporaryIn } from '../files/atomic-file.js';
import { readState } from '../model/state.js';
import { type Progress, readProgress, runFiles } from './checkpoint.js';
import { bundleIdentity, compiledIdentity, describeLowering, identityDifference, loweringOf } from './identity.js';

/** Where a run's bundle is: between two renames it has the name of the former one. */
function bundleFolder(save: string): string {
  const [folder, former] = [join(save, runFiles.bundle), join(save, runFiles.formerBundle)];
  return !existsSync(folder) && existsSync(former) ? former : folder;
}

/** Ends what a killed process began of replacing a run's bundle. @throws FailureError when it can't be */
export async function restoreBundle(save: string): Promise<void> {
  const [folder, former] = [join(save, runFiles.bundle), join(save, runFiles.formerBundle)];
  if (!existsSync(former)) return;
  try {
    if (existsSync(folder)) await rm(former, { recursive: true, force: true });
    else await rename(former, folder);
  } catch (error) {
    throw fileFailure('write', folder, error);
  }
}

/**
 * Writes a bundle's network, compiled otherwise, under a temporary name into the folder of a run, with the bundle's
 * initial state.
 * @throws FailureError when it can't be read or written
 */
async function placeBundle(bundle: Bundle, lowered: Compiled | Bundle, save: string): Promise<Bundle> {
  const folder = temporaryIn(save);
  return 'manifest' in lowered ? copyBundle(lowered, folder) : writeLowered(bundle, lowered, folder);
}

/** Writes a bundle's network, compiled otherwise, with the bundle's initial state. @throws as `writeBundle` */
export async function writeLowered(bundle: Bundle, lowered: Compiled, folder: string): Promise<Bundle> {
  const { manifest } = bundle;
  const config = manifest.network && { config: manifest.network };
  const initial = await readState(bundle.initial, bundle);
  return writeBundle(folder, manifest, { ...lowered, initial }, { ...config, seed: manifest.seed });
}

/** Puts a bundle in the place of a run's. @throws FailureError when the disk refuses; the former one is there then */
export async function installBundle(from: string, save: string): Promise<void> {
  const [folder, former] = [join(save, runFiles.bundle), join(save, runFiles.formerBundle)];
  try {
    await rename(folder, former);
    await rename(from, folder).catch(async (error: unknown) => {
      await rename(former, folder);
      throw error;
    });
    await syncFolder(save);
    await rm(former, { recursive: true, force: true });
  } catch (error) {
    throw fileFailure('write', folder, error);
  }
}

/** The run that a folder holds: where it stands, and its bundle. */
export interface OpenedRun {
  readonly progress: Progress;
  readonly bundle: Bundle;
}

/**
 * The run that a folder holds. Its bundle may have been compiled otherwise than the checkpoint's model.
 * @throws FailureError when there is none, or its checkpoint is of another network, optimizer or state
 */
export async function openRun(save: string, from?: string, directory = bundleFolder(save)): Promise<OpenedRun> {
  const progress = await readProgress(save, from);
  const bundle = await openBundle(directory);
  if (hashOf(bundle) === progress.model) {
    // What a checkpoint of an earlier version doesn't say, the bundle does.
    const { identity = bundleIdentity(bundle), lowering = loweringOf(bundle) } = progress;
    return { progress: { ...progress, identity, lowering }, bundle };
  }
  const difference = differenceFrom({ progress }, bundle);
  if (difference === undefined) return { progress, bundle };
  throw new FailureError(
    `the checkpoint in ${save} is of another run than ${bundle.directory}: ${difference}; resume it with the bundle it was made with`,
  );
}

/** In what something compiled differs from a run, in words; undefined where the run can go on with it. */
export function differenceFrom(
  { progress: { model, identity } }: Pick<OpenedRun, 'progress'>,
  lowered: Compiled | Bundle,
): string | undefined {
  if (hashOf(lowered) === model) return undefined;
  const now = 'manifest' in lowered ? bundleIdentity(lowered) : compiledIdentity(lowered);
  return identity && now ? identityDifference(identity, now) : 'another model, of a bundle without a forward graph';
}

/** @throws FailureError where a run can't go on with what was compiled */
export function checkIdentity(run: OpenedRun, lowered: Compiled | Bundle, save: string): void {
  const difference = differenceFrom(run, lowered);
  if (difference === undefined) return;
  throw new FailureError(
    `the run in ${save} is another one: ${difference}; resume it as it began, or begin a new run in another folder with its weights (init ${join(save, runFiles.last)})`,
  );
}

/** Puts what was compiled otherwise beside the run's bundle; nothing where that is the same. */
export async function placeLowered(
  run: OpenedRun,
  lowered: Compiled | Bundle,
  save: string,
): Promise<Bundle | undefined> {
  checkIdentity(run, lowered, save);
  return hashOf(lowered) === hashOf(run.bundle) ? undefined : placeBundle(run.bundle, lowered, save);
}

/** A run's progress with the training model that it goes on with; the same where it has that. */
export function relowered(progress: Progress, bundle: Bundle): Progress {
  const { epoch, batch, lowering } = progress;
  if (hashOf(bundle) === progress.model) return progress;
  const change = describeLowering(lowering, loweringOf(bundle));
  return { ...progress, relowered: [...progress.relowered, { epoch, batch, change }] };
}

/** The hash of a training model, made once. */
function hashOf(model: Compiled | Bundle): string {
  if ('manifest' in model) return model.manifest.models.training.sha256;
  const hash = hashes.get(model) ?? trainingHash(model);
  hashes.set(model, hash);
  return hash;
}

const hashes = new WeakMap<Compiled, string>();
