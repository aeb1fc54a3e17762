/** @file What a network must be told of the data it was trained on: kept with weights and in exported models. */

import { z } from 'zod';
import { FailureError, RequestError } from '../../ir/index.js';
import { taskNames } from '../../step/tasks.js';
import type { Dataset } from './types.js';

const key = 'densec.data';

const schema = z.object({
  /** For each channel, on the scale where black is 0 and white is 1. */
  normalization: z
    .object({ mean: z.array(z.number()).readonly(), std: z.array(z.number().positive()).readonly() })
    .optional(),
  /** What the shorter side of an image file is scaled to before the middle is cut out; by default the network's size. */
  resize: z.number().int().positive().optional(),
  /** Black pixels put around an image file on each side, within the network's size; none where absent. */
  border: z.number().int().positive().optional(),
  /** What the network tells of an image; `classes` where absent. */
  task: z.enum(taskNames).optional(),
  /** Names of the classes, in the order of the labels; or of the labels or values. */
  classNames: z.array(z.string()).readonly().optional(),
  /** How training and test images were told apart, where the data didn't say; not in exported models. */
  split: z.object({ testShare: z.number(), seed: z.number(), images: z.string() }).optional(),
});

/** How images become a network's input, and what its outputs mean. */
export type DataDescription = z.infer<typeof schema>;

/** What a data set says of itself. */
export function describeDataset({ normalization, resize, border, task, classNames, split }: Dataset): DataDescription {
  return {
    normalization,
    ...(resize !== undefined && { resize }),
    ...(border !== undefined && { border }),
    ...(task && { task }),
    ...(classNames && { classNames }),
    ...(split && { split }),
  };
}

/** The description as metadata of a weights file or a model; none where nothing is known. */
export function encodeDescription(description: DataDescription): Record<string, string> {
  return Object.keys(description).length > 0 ? { [key]: JSON.stringify(description) } : {};
}

/**
 * The description that metadata holds, empty where it holds none.
 * @param path named in errors
 * @throws FailureError when it is broken
 */
export function decodeDescription(metadata: Readonly<Record<string, string>>, path: string): DataDescription {
  const text = metadata[key];
  if (text === undefined) return {};
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new FailureError(`${path}: its metadata ${key} can't be read (${(error as Error).message}); write it again`, {
      cause: error,
    });
  }
}

/** A description whose names reach all of a network's classes: those that the data doesn't have go by their numbers. */
export function withAllNames(description: DataDescription, classes: number): DataDescription {
  const { classNames } = description;
  if (!classNames || classNames.length >= classes) return description;
  return { ...description, classNames: Array.from({ length: classes }, (_, label) => classNames[label] ?? `${label}`) };
}

/**
 * Requires that a description fits a network.
 * @param inputShape (C, H, W)
 * @throws RequestError naming both counts when it has another number of channels or classes
 */
export function checkDescription(
  { normalization, classNames }: DataDescription,
  inputShape: readonly number[],
  classes: number,
): void {
  const channels = inputShape[0] ?? 0;
  for (const [what, values] of Object.entries(normalization ?? {})) {
    if (values.length !== channels) {
      throw new RequestError(`the ${what} has ${values.length} numbers, the network takes ${channels} channels`);
    }
  }
  if (classNames && classNames.length !== classes) {
    throw new RequestError(`there are ${classNames.length} class names, the network tells ${classes} classes apart`);
  }
}

/**
 * Requires that a data set's labels mean what they meant to the weights.
 * @throws FailureError naming the first class that has another number
 */
export function checkClassNames({ classNames }: DataDescription, dataset: Dataset, path: string): void {
  if (!classNames || !dataset.classNames) return;
  const [trained, found] = [classNames, dataset.classNames];
  const length = Math.max(trained.length, found.length);
  const wrong = Array.from({ length }, (_, label) => label).find((label) => trained[label] !== found[label]);
  if (wrong === undefined) return;
  throw new FailureError(
    `${path} was trained with '${trained[wrong] ?? 'no'}' as class ${wrong}, ${dataset.name} has '${found[wrong] ?? 'none'}' there; ` +
      'evaluate it on folders of the same classes',
  );
}
