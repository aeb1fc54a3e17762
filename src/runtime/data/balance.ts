/** @file Weights that make up for classes and labels of which there are few images. */

import { RequestError } from '../../ir/errors.js';
import { listed } from './file-parts.js';
import type { Dataset } from './types.js';

/**
 * A weight for each class, N / (K·n) for the n of N images that it has; 1 where it has none. Each class then weighs alike.
 * @param indices of the training images that count
 * @throws RequestError when the data has other targets than classes
 */
export function balancedWeights(
  { train, task = 'classes', name }: Pick<Dataset, 'train' | 'task' | 'name'>,
  indices: ArrayLike<number>,
  classes: number,
): number[] {
  if (task !== 'classes') {
    throw new RequestError(`${name} has ${task} for its images, so their classes can't be balanced`);
  }
  const counts = new Float64Array(classes);
  for (const index of Array.from(indices)) {
    const label = train.labels[index] as number;
    if (label < classes) counts[label] = (counts[label] as number) + 1;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return Array.from(counts, (count) => (count === 0 ? 1 : total / (classes * count)));
}

/**
 * For each label, the images without it over those with it, so that both weigh alike.
 * @param indices of the training images that count
 * @throws RequestError when the data has no labels, or one is never or always there
 */
export function balancedPositives(
  { train, task = 'classes', name, classNames }: Pick<Dataset, 'train' | 'task' | 'name' | 'classNames'>,
  indices: ArrayLike<number>,
  labels: number,
): number[] {
  const { targets, count } = train;
  if (task !== 'labels' || !targets) {
    throw new RequestError(`${name} has ${task} for its images, so there are no labels to balance`);
  }
  const columns = targets.length / count;
  const rows = Array.from(indices);
  const present = Array.from({ length: labels }, (_, label) =>
    rows.reduce((sum, row) => sum + (label < columns ? (targets[row * columns + label] as number) : 0), 0),
  );
  const never = present.flatMap((sum, label) =>
    sum > 0 && sum < rows.length ? [] : [classNames?.[label] ?? `${label}`],
  );
  if (never.length > 0) {
    throw new RequestError(
      `${name}: no training image, or every one, has the label ${listed(never)}; give numbers instead of balanced`,
    );
  }
  return present.map((sum) => (rows.length - sum) / sum);
}
