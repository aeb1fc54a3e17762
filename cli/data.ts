/** @file Options of commands that read a data set, and what goes on meanwhile. */

import { type Command, Option } from 'commander';
import pc from 'picocolors';
import type { Dataset, KnownData } from '../src/runtime/data/dataset.js';
import { loadDatasetFor } from '../src/runtime/data/network-data.js';
import type { Task } from '../src/step/tasks.js';
import { note } from './output.js';
import { names, wholeNumber } from './parse.js';
import { type Progress, startProgress } from './progress.js';

/** Help of --data. */
export const dataHelp =
  'folder with CIFAR-10, CIFAR-100, SVHN or IDX files, or of images: train/CLASS/*, val/ and test/ likewise, or CLASS/* alone; a CSV file of files and labels (with --loss bce several, with --loss mse, l1 or huber numbers); an .npz file of numpy, or a folder of .npy files (x_train, y_train, x_test, y_test); or mnist';

/** How data is read. */
export interface DataFlags {
  readonly dataWorkers?: number;
  readonly skipCorrupt?: boolean;
  readonly targets?: readonly string[];
}

/** Adds --targets, --data-workers and --skip-corrupt. */
export function addDataOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--data-workers <n>',
        'threads that prepare batches, 0 for none; results are the same (default: cores - 1, 1 to 4)',
      ).argParser(wholeNumber(0)),
    )
    .addOption(
      new Option(
        '--targets <a,b>',
        'columns of the CSV file with the labels (0 or 1 each, or one that lists them) of --loss bce, or the numbers of --loss mse, l1 or huber (default: the column called label, target or y; else all that hold such)',
      ).argParser(names),
    )
    .option('--skip-corrupt', "leave out image files that can't be read, instead of refusing the folder");
}

/** What decides how a data set is read. */
interface ReadOptions extends DataFlags {
  readonly task?: Task | undefined;
  readonly imageSize?: number | undefined;
  readonly imageWidth?: number | undefined;
  readonly limit?: number | undefined;
  readonly known?: KnownData | undefined;
  readonly parts?: 'all' | 'test';
  readonly testShare?: number | undefined;
  readonly seed?: number | undefined;
}

/** Reads a data set for a network with so many channels, and tells people what they should know of it. */
export async function readData(source: string, channels: number | undefined, options: ReadOptions): Promise<Dataset> {
  const { imageSize, imageWidth, limit, known, parts, testShare, seed, skipCorrupt, dataWorkers: workers } = options;
  const { task, targets } = options;
  let bar: Progress | undefined;
  const onProgress = (done: number, total: number): void => {
    bar ??= startProgress('reading every image once', total, 'images');
    bar.update(done);
  };
  const load = loadDatasetFor(source, channels, {
    ...{ task, targets, imageSize, imageWidth, limit, known, parts, testShare, seed },
    ...{ skipCorrupt, workers, onProgress },
  });
  const dataset = await load.finally(() => bar?.stop());
  for (const text of dataset.notes ?? []) note(text);
  const { skipped = [] } = dataset;
  if (skipped.length > 0) {
    const shown = skipped.slice(0, namedFiles).join(', ');
    const more = skipped.length > namedFiles ? ' …' : '';
    note(`${pc.yellow('warning:')} left out ${skipped.length} image files that can't be read: ${shown}${more}`);
  }
  return dataset;
}

/** Files that a warning names. */
const namedFiles = 5;
