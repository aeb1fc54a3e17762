/** @file What a run remembers of its data, so that it goes on with the same images and the same numbers. */

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { z } from 'zod';
import { FailureError } from '../../ir/errors.js';
import type { Dataset } from './types.js';

/** What a checkpoint says of the data set. */
export const dataRecordSchema = z.object({
  /** The normalization in use, and the files that were left out. */
  normalization: z.object({ mean: z.array(z.number()), std: z.array(z.number()) }),
  skipped: z.array(z.string()),
  /** Of the images and their labels. */
  fingerprint: z.string(),
  /** Of the pixels, or of some files' sizes; absent in checkpoints that don't know it. */
  content: z.string().optional(),
});

/** What a checkpoint says of the data set. */
export type DataRecord = z.infer<typeof dataRecordSchema>;

/** What to remember of a data set. */
export function recordDataset(dataset: Dataset): DataRecord {
  const { normalization, skipped = [] } = dataset;
  const { mean, std } = normalization;
  return {
    normalization: { mean: [...mean], std: [...std] },
    skipped: [...skipped],
    fingerprint: fingerprint(dataset),
    content: contentHash(dataset),
  };
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
export function fingerprint({ train, test }: Dataset): string {
  const hash = createHash('sha256');
  for (const split of [train, test]) {
    hash.update(`${split.count} `).update(split.labels);
    // Names without their folder: a data set may move.
    if ('files' in split) hash.update(split.files.map((file) => file.split(/[\\/]/).slice(-2).join('/')).join('\n'));
  }
  return hash.digest('hex');
}

/** Files whose sizes are looked at: enough to tell one data set from another, few enough for slow disks. */
const measuredFiles = 1000;

/** A hash of all pixels in memory, or of the sizes of files all over the data set. */
function contentHash({ train, test }: Dataset): string {
  const hash = createHash('sha256');
  for (const split of [train, test]) {
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
