/** @file Data sets as a network needs them: its channels, its image size, its classes. */

import { describeLoss, type LossOptions, taskOf } from '../../builders/losses/index.js';
import { RequestError } from '../../ir/index.js';
import type { Task } from '../../step/tasks.js';
import { checkLabels } from './batches.js';
import { type Dataset, type DatasetOptions, loadDataset } from './dataset.js';
import { listed } from './file-parts.js';
import { extentsOf } from './types.js';

/**
 * Loads a data set with the channels that a network takes.
 * @param channels of the network; as the data set likes where undefined
 * @throws RequestError for other than 1 or 3 channels
 */
export function loadDatasetFor(
  source: string,
  channels: number | undefined,
  options: Omit<DatasetOptions, 'channels'> = {},
): Promise<Dataset> {
  if (channels !== undefined && channels !== 1 && channels !== 3) {
    throw new RequestError(
      `the network takes ${channels} channels; data sets have 1 or 3: build it with --channels 1 or 3`,
    );
  }
  return loadDataset(source, { ...options, channels });
}

/** What a network takes and tells. */
export interface NetworkInput {
  /** (C, H, W). */
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly loss: LossOptions;
}

/**
 * Checks that a data set's images and labels fit a network.
 * @throws RequestError when the images have another size; FailureError for a label the network has no class for
 */
export function checkDataset(dataset: Dataset, { inputShape, classes, loss }: NetworkInput, source: string): void {
  const { channels, task = 'classes' } = dataset;
  checkTask(task, loss, source);
  const [height, width] = extentsOf(dataset);
  const shape = [channels, height, width];
  if (shape.join() !== inputShape.join()) {
    throw new RequestError(
      `${source} has images of [${shape.join(', ')}], the network takes [${inputShape.join(', ')}]; build it with --image-size ${height === width ? height : `${height}x${width}`} --channels ${channels}`,
    );
  }
  if (task !== 'classes') {
    checkTargets(dataset, classes, source);
    return;
  }
  checkLabels(dataset.train, classes, `${source} (training)`);
  checkLabels(dataset.test, classes, `${source} (test)`);
}

/** @throws RequestError when a data set tells something else of its images than a network is trained to */
function checkTask(task: Task, loss: LossOptions, source: string): void {
  const asked = taskOf(loss);
  if (asked === task) return;
  const remedy =
    asked === 'classes'
      ? `train with a loss of ${task} (--loss)`
      : 'give a CSV file with columns of them, or another --loss';
  throw new RequestError(
    `${source} has ${task} for its images, the network is trained to tell ${asked} (${describeLoss(loss)}); ${remedy}`,
  );
}

function checkTargets(
  { classes: found, classNames, task = 'classes' }: Dataset,
  classes: number,
  source: string,
): void {
  if (found === classes) return;
  throw new RequestError(
    `${source} has ${found} ${task} for each image${classNames ? ` (${listed(classNames)})` : ''}, the network tells ${classes}; build it with --classes ${found}, or choose other columns with --targets`,
  );
}

/** @throws RequestError when all training images are of one class: any network would tell them apart */
export function requireTwoClasses({ train, classNames, task = 'classes' }: Dataset, source: string): void {
  if (task !== 'classes') return;
  const [only] = train.labels;
  if (only === undefined || train.labels.some((label: number) => label !== only)) return;
  throw new RequestError(
    `${source}: the ${train.count} training images are all of one class (${classNames?.[only] ?? only}); a network tells at least two classes apart: give images of another one too`,
  );
}
