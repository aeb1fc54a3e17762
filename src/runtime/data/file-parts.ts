/** @file The parts of a data set of image files: as given, or set apart by a seed. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import { rowOf, targetTensor } from './batches.js';
import { hash, purpose } from './random.js';
import { mostPicked, pickStratified } from './stratify.js';
import type { DatasetOptions, FileSplit, SeedSplit } from './types.js';

/** Share of images without parts that is set aside for the test, unless told. */
const defaultTestShare = 0.1;

/** Files and classes that a message names. */
export const named = 5;

/** The parts of a data set of files. */
export interface FileParts {
  readonly train: FileSplit;
  /** The same as `test` where the same images are for both. */
  readonly validation?: FileSplit | undefined;
  readonly test: FileSplit;
  readonly split?: SeedSplit | undefined;
}

/** A split of files, in the order given. */
export function fileSplit(
  entries: readonly { readonly file: string; readonly label: number; readonly targets?: ArrayLike<number> }[],
): FileSplit {
  const rows = entries.flatMap(({ targets }) => (targets ? [targets] : []));
  return {
    count: entries.length,
    files: entries.map(({ file }) => file),
    labels: Uint16Array.from(entries, ({ label }) => label),
    ...(rows.length > 0 && { targets: targetTensor(rows).data }),
  };
}

/** The classes' files in turn, so that the first of them are of all classes. */
export function inTurn<T extends { readonly label: number }>(entries: readonly T[]): T[] {
  const seen = new Map<number, number>();
  const ranked = entries.map((entry) => {
    const rank = seen.get(entry.label) ?? 0;
    seen.set(entry.label, rank + 1);
    return { entry, rank };
  });
  return ranked.sort((a, b) => a.rank - b.rank || a.entry.label - b.entry.label).map(({ entry }) => entry);
}

/** The parts as they are given, and what messages call them. */
interface Words {
  readonly place: string;
  readonly folder: string;
  readonly validation: string;
  readonly test: string;
}

/**
 * The parts of a data set from those that are given: without test images, the validation images are for the test too;
 * without both, or where a share is asked for, training images are set aside for it.
 * @throws RequestError when a share is asked for though there are test images
 */
export function assemble(
  { train, validation, test }: Omit<FileParts, 'test' | 'split'> & { readonly test?: FileSplit | undefined },
  words: Words,
  options: Pick<DatasetOptions, 'testShare' | 'seed' | 'known'>,
): FileParts & { readonly notes: readonly string[] } {
  const { testShare, known } = options;
  if (test) {
    if (testShare === undefined || known) return { train, validation, test, notes: [] };
    throw new RequestError(
      `${words.place} has test images of its own (${words.test}), so --test-share ${testShare} can't be met; leave it out`,
    );
  }
  if (validation && testShare === undefined && known?.split === undefined) {
    const note = `${words.place} has no test images: those for validation (${words.validation}) are for the final test too; --test-share sets others apart`;
    return { train, validation, test: validation, notes: [note] };
  }
  const { note, ...parts } = divide(train, words, options);
  return { validation, ...parts, notes: [note] };
}

/**
 * Divides images that came without parts: a share of each class, chosen by the seed, is set aside for the test.
 * @throws RequestError for a share that is none; FailureError when the images are too few
 */
function divide(
  all: FileSplit,
  { place, folder }: Pick<Words, 'place' | 'folder'>,
  options: Pick<DatasetOptions, 'testShare' | 'seed' | 'known'>,
): Pick<Required<FileParts>, 'train' | 'test' | 'split'> & { readonly note: string } {
  const { testShare = defaultTestShare, seed = 0 } = options.known?.split ?? options;
  if (!(testShare >= 0 && testShare < 1)) {
    throw new RequestError(`the share of test images is ${testShare}; it must be at least 0 and below 1`);
  }
  const count = Math.min(Math.round(testShare * all.count), mostPicked(all.labels));
  if (testShare > 0 && count === 0) {
    throw new FailureError(
      `${place}: ${all.count} images are too few to set ${percent(testShare)} aside for the test with one${all.targets ? '' : ' of each class'} left; give more, a larger --test-share, or 0 for no test`,
    );
  }
  const { picked, rest } = pickStratified(all.labels, count, hash(purpose.test, seed));
  const note =
    count === 0
      ? `${place} has no images set apart for the test, and none are`
      : `${place} has no images set apart for the test: ${count} of its ${all.count} are now (${percent(testShare)}${all.targets ? '' : ' of each class'}, by the seed ${seed}; --test-share)`;
  return {
    train: select(all, rest),
    test: select(all, picked),
    split: { testShare, seed, images: hashOfNames(all, folder) },
    note,
  };
}

/** All images for the evaluation, or the test images of the run whose weights are evaluated where these are its images. */
export function forEvaluation(
  all: FileSplit,
  place: string,
  { known }: Pick<DatasetOptions, 'known'>,
  folder = place,
): { readonly test: FileSplit; readonly note: string } {
  const split = known?.split;
  if (split?.images === hashOfNames(all, folder) && split.testShare > 0) {
    const { test } = divide(all, { place, folder }, { known });
    const note = `${place}: evaluating the ${test.count} of ${all.count} images that were set apart for the test of these weights`;
    return { test, note };
  }
  return { test: all, note: `${place} has no images set apart for the test: evaluating all ${all.count}` };
}

/** An empty split. */
export const noFiles: FileSplit = { count: 0, files: [], labels: new Uint16Array(0) };

/** Names for a message: the first few, and how many there are. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, named).join(', ');
  return names.length > named ? `${shown} … (${names.length} in all)` : shown;
}

/** Some images of a split, by their indices. */
export function select({ files, labels, targets, count }: FileSplit, indices: ArrayLike<number>): FileSplit {
  return fileSplit(
    Array.from(indices, (index) => ({
      ...{ file: files[index] as string, label: labels[index] as number },
      ...(targets && { targets: rowOf(targets, count, index) }),
    })),
  );
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}

function hashOfNames({ files, labels, targets }: FileSplit, folder: string): string {
  const base = join(folder, '/');
  const names = files.map((file) => (file.startsWith(base) ? file.slice(base.length) : file).replaceAll('\\', '/'));
  const named = createHash('sha256').update(labels).update(names.join('\n'));
  return (targets ? named.update(targets) : named).digest('hex');
}
