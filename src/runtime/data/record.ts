/** @file What a run remembers of its data, so that it goes on with the same images and the same numbers. */

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { relative } from 'node:path';
import { z } from 'zod';
import { FailureError } from '../../ir/errors.js';
import type { Dataset, KnownData, Split } from './types.js';

/** What a checkpoint says of the data set. */
export const dataRecordSchema = z.object({
  /** The normalization in use, and the files that were left out. */
  normalization: z.object({ mean: z.array(z.number()), std: z.array(z.number()) }),
  skipped: z.array(z.string()),
  /** Of the images and their labels. */
  fingerprint: z.string(),
  /** Of the pixels, or of some files' sizes; absent in checkpoints that don't know it. */
  content: z.string().optional(),
  /**
   * How the data was read: 2 since validation images are held out by class, folders of their own for them are used,
   * links are followed and more formats read; absent in checkpoints from before.
   */
  rules: z.literal(2).optional(),
  /** How images without parts were divided. */
  split: z.object({ testShare: z.number(), seed: z.number(), images: z.string() }).optional(),
  /** The names of the targets, where the task is another than classes. */
  targets: z.array(z.string()).optional(),
});

/** What a checkpoint says of the data set. */
export type DataRecord = z.infer<typeof dataRecordSchema>;

/** What to remember of a data set. */
export function recordDataset(dataset: Dataset): DataRecord {
  const { normalization, skipped = [], split, task = 'classes', classNames } = dataset;
  const { mean, std } = normalization;
  return {
    normalization: { mean: [...mean], std: [...std] },
    skipped: [...skipped],
    fingerprint: fingerprint(dataset),
    content: contentHash(dataset),
    rules: 2,
    ...(split && { split }),
    ...(task !== 'classes' && classNames && { targets: [...classNames] }),
  };
}

/** What a data set is read with so that it is the one of a record. */
export function knownFrom(record: DataRecord | undefined): KnownData | undefined {
  if (!record) return undefined;
  const { targets, normalization, skipped, split, rules = 1 } = record;
  return { normalization, skipped, split, rules, classNames: targets };
}

/** A data set as the run of a record uses it: one from before holds out by chance, whatever folders there are. */
export function asRecorded(dataset: Dataset, record: DataRecord | undefined): Dataset {
  if (record === undefined || record.rules === 2) return dataset;
  return { ...dataset, validation: undefined, holdOut: 'random' };
}

/** @throws FailureError when a data set has other images or labels than a run began with */
export function checkSameData(record: DataRecord | undefined, dataset: Dataset): void {
  if (record === undefined) return;
  const { content = contentHash(dataset) } = record;
  if (record.fingerprint === fingerprint(dataset) && content === contentHash(dataset)) return;
  throw new FailureError(
    `${dataset.name}: the images or labels are not those that the run began with ` +
      `(now ${dataset.train.count} for training, ${dataset.test.count} to test); restore them, or begin a new run`,
  );
}

/** A hash of which images a data set has and how they are labelled. */
export function fingerprint(dataset: Dataset): string {
  const hash = createHash('sha256');
  for (const split of splitsOf(dataset)) {
    hash.update(`${split.count} `).update(split.labels);
    if (split.targets) hash.update(split.targets);
    // Names without their folder: a data set may move.
    if ('files' in split) hash.update(split.files.map((file) => nameOf(file, dataset)).join('\n'));
  }
  return hash.digest('hex');
}

function nameOf(file: string, { root }: Dataset): string {
  if (root === undefined) return file.split(/[\\/]/).slice(-2).join('/');
  return relative(root, file).replaceAll('\\', '/');
}

/** The images of a data set, each once: where there is but one folder beside train/, it is for both uses. */
function splitsOf({ train, validation, test }: Dataset): Split[] {
  return validation === undefined || validation === test ? [train, test] : [train, test, validation];
}

/** Files whose sizes are looked at: enough to tell one data set from another, few enough for slow disks. */
const measuredFiles = 1000;

/** A hash of all pixels in memory, or of the sizes of files all over the data set. */
function contentHash(dataset: Dataset): string {
  const hash = createHash('sha256');
  for (const split of splitsOf(dataset)) {
    if ('images' in split) {
      hash.update(split.images);
      continue;
    }
    const step = Math.max(1, Math.ceil(split.count / measuredFiles));
    for (let at = 0; at < split.count; at += step) {
      // A file that is gone is told when it is read.
      hash.update(`${statSync(split.files[at] as string, { throwIfNoEntry: false })?.size} `);
    }
  }
  return hash.digest('hex');
}
