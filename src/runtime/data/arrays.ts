/** @file A data set of one's own, from arrays in memory. */

import {
  aCount,
  aName,
  anObject,
  aText,
  checkOptions,
  checkValue,
  type Kinds,
  listOf,
  must,
  oneOf,
  show,
} from '../../ir/check.js';
import { RequestError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import { type Task, taskNames } from '../../step/tasks.js';
import { pixelStatistics } from './images.js';
import { type Dataset, extentsOf, type PixelSplit, type Split } from './types.js';

/** Images with their labels. */
export interface LabelledImages {
  /** N × channels × height × width bytes, row-major (NCHW), 0 black and 255 white. */
  readonly images: Uint8Array;
  /** N whole numbers, from 0; with another task than classes K numbers for each image, row by row. */
  readonly labels: ArrayLike<number>;
}

/** What `arrayDataset` makes a data set of. */
export interface ArrayDatasetOptions {
  /** A name for messages and reports. */
  readonly name: string;
  /** What the labels are; `classes` unless told. */
  readonly task?: Task;
  readonly channels: number;
  /** Height and width in pixels. */
  readonly imageSize: number;
  /** Width in pixels where it is not the height. */
  readonly imageWidth?: number;
  readonly train: LabelledImages;
  readonly test: LabelledImages;
  /** By default as many as there are names, or the largest label plus one; of another task, as many as an image has. */
  readonly classes?: number;
  /** Names of the classes, in the order of the labels. */
  readonly classNames?: readonly string[];
  /** By default the training pixels' own. */
  readonly normalization?: Dataset['normalization'];
  /** `none` unless told. */
  readonly augmentation?: Dataset['augmentation'];
}

/** Largest label that a data set in memory holds. */
const maxLabel = 255;

/**
 * A data set of images in memory, to train on as on any other.
 * @throws RequestError when the arrays are not bytes, don't fit each other, or a label is not a class
 */
export function arrayDataset(given: ArrayDatasetOptions): Dataset {
  const options = checkOptions('arrayDataset', given, kinds);
  const { name, task = 'classes', channels, imageSize, imageWidth, augmentation = 'none' } = options;
  if (options.classes !== undefined && task === 'classes')
    checkValue(`${name}: classes`, options.classes, aCount(2, maxLabel + 1));
  const train = toSplit(options.train, options, 'train');
  const test = toSplit(options.test, options, 'test');
  if (train.count === 0) throw new RequestError(`${name}: there are no training images`);
  const { classNames } = options;
  const classes = task === 'classes' ? classCount(train, test, options) : columnCount(train, test, options);
  const normalization = options.normalization ?? pixelStatistics(train, elementCount(extentsOf(options)));
  const names = classNames && { classNames };
  const width = imageWidth !== undefined && imageWidth !== imageSize && { imageWidth };
  const other = task !== 'classes' && { task };
  return { name, ...other, classes, channels, imageSize, ...width, ...names, train, test, normalization, augmentation };
}

/** How many classes there are. @throws RequestError for a label that is none of them */
function classCount(train: Split, test: Split, { name, classes: told, classNames }: ArrayDatasetOptions): number {
  const most = [...train.labels, ...test.labels].reduce((a, b) => Math.max(a, b), 0);
  const classes = told ?? classNames?.length ?? most + 1;
  if (most >= classes) throw new RequestError(`${name}: the label ${most} is not one of ${classes} classes`);
  return classes;
}

/** How many targets an image has. @throws RequestError when there are others than told */
function columnCount(train: Split, test: Split, { name, classes, classNames }: ArrayDatasetOptions): number {
  const columns = (split: Split): number => (split.targets?.length ?? 0) / split.count;
  const found = columns(train);
  const others = [test.count > 0 ? columns(test) : found, classes ?? found, classNames?.length ?? found];
  const wrong = others.find((count) => count !== found);
  if (wrong === undefined) return found;
  throw new RequestError(
    `${name}: a training image has ${found} labels, but there are ${wrong} for a test image, as classes or as classNames`,
  );
}

const kinds: Kinds<ArrayDatasetOptions> = {
  name: must(aName),
  task: oneOf(...taskNames),
  channels: must(aCount(1)),
  imageSize: must(aCount(1)),
  imageWidth: aCount(1),
  train: must({ ...anObject, expects: '{ images, labels }' }),
  test: must({ ...anObject, expects: '{ images, labels }' }),
  classes: aCount(1),
  classNames: listOf(aText),
  normalization: { ...anObject, expects: '{ mean, std } with a number for each channel' },
  augmentation: oneOf('crop-flip', 'crop', 'resized-crop-flip', 'none'),
};

function toSplit(
  { images, labels }: LabelledImages,
  { name, task = 'classes', channels, imageSize, imageWidth }: ArrayDatasetOptions,
  part: string,
): PixelSplit {
  if (!(images instanceof Uint8Array)) {
    const remedy =
      'give bytes from 0 to 255 as a Uint8Array; for numbers of your own scale make batches with createBatch';
    throw new RequestError(`${name}, ${part}: the images are ${show(images)}; ${remedy}`);
  }
  if (typeof labels?.length !== 'number') {
    throw new RequestError(
      `${name}, ${part}: the labels are ${show(labels)}; give a list of ${task === 'classes' ? 'whole ' : ''}numbers`,
    );
  }
  const [height, width] = extentsOf({ imageSize, imageWidth });
  const bytes = channels * height * width;
  if (task !== 'classes') return toTargets(images, labels, bytes, channels, `${name}, ${part}`);
  const count = labels.length;
  if (images.length !== count * bytes) {
    throw new RequestError(
      `${name}, ${part}: ${images.length} bytes of images for ${count} labels; it must be ${count} × ${channels} × ${height} × ${width} = ${count * bytes}`,
    );
  }
  const wrong = Array.from(labels).findIndex((label) => !Number.isInteger(label) || label < 0 || label > maxLabel);
  if (wrong >= 0) {
    throw new RequestError(
      `${name}, ${part}: the label of image ${wrong} is ${labels[wrong]}; it must be a whole number from 0 to ${maxLabel}`,
    );
  }
  return { count, images, storedChannels: channels, labels: Uint8Array.from(labels) };
}

function toTargets(
  images: Uint8Array,
  labels: ArrayLike<number>,
  bytes: number,
  channels: number,
  what: string,
): PixelSplit {
  const count = images.length / bytes;
  if (!Number.isInteger(count) || (count > 0 && (labels.length === 0 || labels.length % count !== 0))) {
    throw new RequestError(
      `${what}: ${images.length} bytes of images of ${bytes} bytes each, and ${labels.length} labels; give as many labels for each image`,
    );
  }
  const wrong = Array.from(labels).findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new RequestError(`${what}: label ${wrong} is ${labels[wrong]}; it must be a finite number`);
  return { count, images, storedChannels: channels, labels: new Uint8Array(count), targets: Float32Array.from(labels) };
}
