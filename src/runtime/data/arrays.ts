/** @file A data set of one's own, from arrays in memory. */

import { aCount, aName, anObject, aText, checkOptions, type Kinds, listOf, must, oneOf, show } from '../../ir/check.js';
import { RequestError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import { pixelStatistics } from './images.js';
import { type Dataset, extentsOf, type PixelSplit } from './types.js';

/** Images with their labels. */
export interface LabelledImages {
  /** N × channels × height × width bytes, row-major (NCHW), 0 black and 255 white. */
  readonly images: Uint8Array;
  /** N whole numbers, from 0. */
  readonly labels: ArrayLike<number>;
}

/** What `arrayDataset` makes a data set of. */
export interface ArrayDatasetOptions {
  /** A name for messages and reports. */
  readonly name: string;
  readonly channels: number;
  /** Height and width in pixels. */
  readonly imageSize: number;
  /** Width in pixels where it is not the height. */
  readonly imageWidth?: number;
  readonly train: LabelledImages;
  readonly test: LabelledImages;
  /** By default as many as there are names, or the largest label plus one. */
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
  const { name, channels, imageSize, imageWidth, augmentation = 'none' } = options;
  const train = toSplit(options.train, options, 'train');
  const test = toSplit(options.test, options, 'test');
  if (train.count === 0) throw new RequestError(`${name}: there are no training images`);
  const most = [...train.labels, ...test.labels].reduce((a, b) => Math.max(a, b), 0);
  const { classNames, classes = classNames?.length ?? most + 1 } = options;
  if (most >= classes) throw new RequestError(`${name}: the label ${most} is not one of ${classes} classes`);
  const normalization = options.normalization ?? pixelStatistics(train, elementCount(extentsOf(options)));
  const names = classNames && { classNames };
  const width = imageWidth !== undefined && imageWidth !== imageSize && { imageWidth };
  return { name, classes, channels, imageSize, ...width, ...names, train, test, normalization, augmentation };
}

const kinds: Kinds<ArrayDatasetOptions> = {
  name: must(aName),
  channels: must(aCount(1)),
  imageSize: must(aCount(1)),
  imageWidth: aCount(1),
  train: must({ ...anObject, expects: '{ images, labels }' }),
  test: must({ ...anObject, expects: '{ images, labels }' }),
  classes: aCount(2, maxLabel + 1),
  classNames: listOf(aText),
  normalization: { ...anObject, expects: '{ mean, std } with a number for each channel' },
  augmentation: oneOf('crop-flip', 'crop', 'resized-crop-flip', 'none'),
};

function toSplit(
  { images, labels }: LabelledImages,
  { name, channels, imageSize, imageWidth }: ArrayDatasetOptions,
  part: string,
): PixelSplit {
  if (!(images instanceof Uint8Array)) {
    const remedy =
      'give bytes from 0 to 255 as a Uint8Array; for numbers of your own scale make batches with createBatch';
    throw new RequestError(`${name}, ${part}: the images are ${show(images)}; ${remedy}`);
  }
  if (typeof labels?.length !== 'number') {
    throw new RequestError(`${name}, ${part}: the labels are ${show(labels)}; give a list of whole numbers`);
  }
  const [height, width] = extentsOf({ imageSize, imageWidth });
  const bytes = channels * height * width;
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
