/** @file How to train: the options that decide the final weights. */

import { z } from 'zod';
import { type Chosen, count, fieldsOf, number, onOff, optional, seed } from '../../choices.js';
import { rateChoices } from './learning-rate.js';

/** What flags, checkpoints and reports say of a run; that a checkpoint has them all is why it resumes to the same bits. */
export const trainChoices = {
  ...rateChoices,
  batchSize: count({
    name: 'batch size',
    flag: '--batch-size <n>',
    help: 'images of a step, of each process where there are several',
  }),
  /** Processes that take each step together; one, where it isn't told. */
  processes: optional(
    count({
      name: 'number of processes',
      flag: '--processes <n>',
      help: 'start so many processes by the MPI that is installed (mpiexec), each with a share of every batch; under an MPI launcher it need not be told',
    }),
  ),
  /** Training images held out for validation. */
  validSize: count(
    {
      name: 'number of images held out for validation',
      flag: '--valid-size <n>',
      help: 'training images held out to choose the best weights, of each class in proportion; 0 holds none out',
    },
    0,
  ),
  /** Epochs without a lower validation error after which the run ends; absent where it doesn't end before its epochs. */
  patience: optional(
    count({
      name: 'patience',
      flag: '--patience <epochs>',
      help: 'end the run after so many epochs without a lower validation error, and test the best weights',
    }),
  ),
  /** Most images to use of each split. */
  limit: optional(
    count({
      name: 'limit of images',
      flag: '--limit <n>',
      help: 'use at most so many training and so many test images',
    }),
  ),
  seed: seed({
    name: 'seed',
    flag: '--seed <n>',
    help: 'seed of weights, order, augmentation and dropout',
  }),
  /** Whether training images are augmented; by default as the data set says. */
  augment: optional(
    onOff({
      name: 'augmentation',
      flag: '--augment',
      help: 'random crops, and flips where they keep labels true',
      negation: 'training images as they are',
    }),
  ),
  /** Whether image files are trained on by random parts of them; they are where they are augmented, unless told. */
  resizedCrop: optional(
    onOff({
      name: 'resized crop',
      flag: '--resized-crop',
      help: 'image files: augment by a random part of 8 to 100 %, scaled',
      negation: 'image files: scale and cut in the middle as for evaluation, and only flip',
    }),
  ),
  /** How far brightness, contrast and saturation of training images may change, as a share. */
  colorJitter: optional(
    number(
      {
        name: 'colour jitter',
        flag: '--color-jitter <x>',
        help: 'change brightness, contrast and saturation of training images by random factors from 1 − x to 1 + x, as in 0.4; 0 changes none',
      },
      'at least 0',
      (value) => value >= 0,
    ),
  ),
  /** How far the hue of training images may move, as a share of the colour circle. */
  hueJitter: optional(
    number(
      {
        name: 'hue jitter',
        flag: '--hue-jitter <x>',
        help: 'move the hue of training images by a random part of the colour circle, −x to x, as in 0.1; 0 moves none',
      },
      'from 0 to 0.5',
      (value) => value >= 0 && value <= 0.5,
    ),
  ),
};

/** How to train. Everything but threads and device decides the final weights. */
export type TrainOptions = Chosen<typeof trainChoices> & {
  /** The data set's source, as the user named it. */
  readonly data: string;
};

/** The options in files. */
export const trainOptionsSchema = z.object({ data: z.string(), ...fieldsOf(trainChoices) }) as z.ZodType<TrainOptions>;

/** What needn't be said. The learning rate goes by the optimizer, the images held out by how many there are. */
export const trainDefaults = { epochs: 300, schedule: 'multistep', warmup: 0, batchSize: 64, seed: 0 } as const;

/** Images of a step, over all processes. */
export function globalBatch({ batchSize, processes = 1 }: Pick<TrainOptions, 'batchSize' | 'processes'>): number {
  return batchSize * processes;
}
