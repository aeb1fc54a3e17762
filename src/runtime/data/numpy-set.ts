/** @file Data sets of numpy's arrays: an .npz file, or a folder of .npy files, under the names in use. */

import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FailureError, RequestError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import type { Task } from '../../step/tasks.js';
import { fileFailure } from '../files/atomic-file.js';
import { padImages, pixelStatistics, sharedBytes } from './images.js';
import { type NpyArray, parseNpy } from './npy.js';
import type { Dataset, DatasetFormat, DatasetOptions, Labels, PixelSplit } from './types.js';
import { ZipFile } from './zip-file.js';

/** Names of the arrays of each part: keras' and medmnist's, and those one would guess. */
const names = {
  train: [
    ['x_train', 'y_train'],
    ['train_images', 'train_labels'],
    ['X_train', 'y_train'],
  ],
  validation: [
    ['x_val', 'y_val'],
    ['val_images', 'val_labels'],
    ['x_valid', 'y_valid'],
    ['X_val', 'y_val'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['test_images', 'test_labels'],
    ['X_test', 'y_test'],
  ],
} as const;

type PartName = keyof typeof names;

const arrayEnd = '.npy';
const archiveEnd = /\.npz$/i;

const lookedFor =
  'numpy: an .npz file, or .npy files, with x_train, y_train, x_test, y_test or train_images, train_labels, val_images …';

/** Images of this size get a border, as MNIST's do. */
const [mnistSize, mnistBorder] = [28, 2];

/** Where arrays are, by name. */
interface Source {
  readonly place: string;
  readonly names: readonly string[];
  read(name: string): Promise<NpyArray>;
  close(): Promise<void>;
}

/** A folder with one .npz file, or with .npy files under the names in use. */
export const numpyFormat: DatasetFormat = {
  lookedFor,
  find(directory) {
    if (
      Object.values(names)
        .flat()
        .some(([images]) => existsSync(join(directory, images + arrayEnd)))
    )
      return directory;
    const archives = readdirSync(directory).filter((name) => archiveEnd.test(name));
    return archives.length === 1 ? join(directory, archives[0] as string) : undefined;
  },
  load: loadNumpy,
};

/** Whether a file is numpy's archive of arrays. */
export function isNumpyArchive(path: string): boolean {
  return archiveEnd.test(path);
}

/**
 * @param place an .npz file, or a folder with .npy files
 * @throws FailureError when arrays are missing or damaged, hold anything but numbers or don't fit each other
 * @throws RequestError when one channel is asked for of images in colour
 */
export async function loadNumpy(place: string, options: DatasetOptions): Promise<Dataset> {
  const source = isNumpyArchive(place) ? await openArchive(place) : openFolder(place);
  try {
    return await datasetOf(source, options);
  } finally {
    await source.close();
  }
}

async function datasetOf(source: Source, options: DatasetOptions): Promise<Dataset> {
  const { place } = source;
  const { task = 'classes', known } = options;
  const testOnly = options.parts === 'test' && known?.normalization !== undefined;
  const given = (part: PartName): readonly [string, string] | undefined =>
    names[part].find(([images]) => source.names.includes(images));
  const [trainNames, validationNames] = testOnly ? [] : [given('train'), given('validation')];
  const testNames = given('test') ?? given('validation');
  if (!testNames || !(trainNames || testOnly)) {
    throw new FailureError(
      `${place} has the arrays ${source.names.join(', ') || 'none'}, and no ${trainNames || testOnly ? 'test' : 'training'} images are among them; call the arrays x_train, y_train, x_test and y_test (x_val, y_val too, if you like)`,
    );
  }
  const test = await loadPart(source, testNames, task, options.limit);
  const validation =
    validationNames === undefined
      ? undefined
      : validationNames[0] === testNames[0]
        ? test
        : await loadPart(source, validationNames, task, options.limit);
  const train = trainNames ? await loadPart(source, trainNames, task, options.limit) : noImages(test);
  for (const part of [test, validation]) requireAlike(place, train, part);
  const { height, width, border, storedChannels, targets } = test;
  const channels = options.channels ?? 3;
  if (storedChannels > channels) {
    throw new RequestError(
      `${place}: the images have ${storedChannels} channels but the network takes ${channels}; build it with --channels ${storedChannels}`,
    );
  }
  const notes =
    validation === test
      ? [`${place} has no test images: those for validation (${testNames[0]}) are for the final test too`]
      : [];
  const all = [train, test, ...(validation ? [validation] : [])];
  const most = all.flatMap(({ labels }) => [...labels]).reduce((largest, label) => Math.max(largest, label), 0);
  return {
    name: basename(place).replace(archiveEnd, ''),
    ...(task !== 'classes' && { task }),
    classes: targets ? targets.length / test.count : most + 1,
    ...{ channels, imageSize: height },
    ...(width !== height && { imageWidth: width }),
    ...(border > 0 && { border }),
    ...{ train, test, notes },
    ...(validation && { validation }),
    normalization: known?.normalization ?? repeated(pixelStatistics(train, height * width), channels),
    // Nothing in the file tells digits, which must not be flipped, from clothes.
    augmentation: 'crop',
    augmentByDefault: false,
  };
}

/** One part, and the shape of its images. */
interface Part extends PixelSplit {
  readonly height: number;
  readonly width: number;
  readonly border: number;
}

async function loadPart(
  source: Source,
  [imagesName, labelsName]: readonly [string, string],
  task: Task,
  limit = Number.POSITIVE_INFINITY,
): Promise<Part> {
  const named = (name: string): string => `${source.place}: ${name}`;
  if (!source.names.includes(labelsName)) {
    throw new FailureError(`${named(imagesName)} has no labels beside it; add ${labelsName}`);
  }
  const images = await source.read(imagesName);
  const { count: total, channels, height, width, isLast } = imageShape(images, named(imagesName));
  const labels = await source.read(labelsName);
  if (labels.shape[0] !== total) {
    throw new FailureError(
      `${named(imagesName)} has ${total} images but ${labelsName} ${labels.shape[0] ?? 0} labels; save arrays of one data set`,
    );
  }
  const count = Math.min(total, limit);
  const answers =
    task === 'classes'
      ? { labels: classesOf(labels, count, named(labelsName)) }
      : targetsOf(labels, count, task, named(labelsName));
  const planes = toPlanes(images.data as Uint8Array, count, channels, height * width, isLast);
  const border = height === mnistSize && width === mnistSize ? mnistBorder : 0;
  return {
    ...{ count, ...answers, storedChannels: channels, border },
    ...{ height: height + 2 * border, width: width + 2 * border },
    images: border > 0 ? padImages(planes, height, border) : planes,
  };
}

/** @throws FailureError for what are no images of bytes */
function imageShape(
  { type, shape }: NpyArray,
  name: string,
): { count: number; channels: number; height: number; width: number; isLast: boolean } {
  if (type !== 'u1') {
    throw new FailureError(
      `${name} holds ${type === 'b1' ? 'truth values' : `numbers of the type ${type}`}, and images are bytes from 0 to 255: convert them, as by (255 * x).astype(numpy.uint8) where they go from 0 to 1`,
    );
  }
  const [count = 0, a = 0, b = 0, c] = shape;
  const isColors = (extent: number | undefined): boolean => extent === 1 || extent === 3;
  const isImages = shape.length === 3 || (shape.length === 4 && (isColors(c) || isColors(a)));
  if (!isImages || elementCount(shape) === 0) {
    throw new FailureError(
      `${name} is ${shape.join('×') || 'a single number'}; images are N×height×width, or N×height×width×channels or N×channels×height×width with 1 or 3 channels`,
    );
  }
  if (c === undefined) return { count, channels: 1, height: a, width: b, isLast: true };
  const isLast = isColors(c);
  return isLast
    ? { count, channels: c, height: a, width: b, isLast }
    : { count, channels: a, height: b, width: c, isLast };
}

/** The first images, plane after plane. */
function toPlanes(data: Uint8Array, count: number, channels: number, plane: number, isLast: boolean): Uint8Array {
  const result = sharedBytes(count * channels * plane);
  if (!isLast || channels === 1) {
    result.set(data.subarray(0, result.length));
    return result;
  }
  for (let image = 0; image < count; image++) {
    const begin = image * channels * plane;
    for (let channel = 0; channel < channels; channel++) {
      for (let at = 0; at < plane; at++) {
        result[begin + channel * plane + at] = data[begin + at * channels + channel] as number;
      }
    }
  }
  return result;
}

/** The largest class that is kept of an image. */
const mostLabel = 65_535;

function classesOf({ shape, data }: NpyArray, count: number, name: string): Labels {
  if (shape.slice(1).some((extent) => extent !== 1)) {
    throw new FailureError(
      `${name} is ${shape.join('×')}, and a class is one number an image: save y.argmax(1) where there is a 1 for the class, or train with --loss bce on several labels`,
    );
  }
  const values = Array.from({ length: count }, (_, image) => Number(data[image]));
  const wrong = values.findIndex((value) => !Number.isInteger(value) || value < 0 || value > mostLabel);
  if (wrong >= 0) {
    throw new FailureError(
      `${name}: the label of image ${wrong} is ${values[wrong]}; it must be a whole number from 0 to ${mostLabel}`,
    );
  }
  return values.some((value) => value > 255) ? Uint16Array.from(values) : Uint8Array.from(values);
}

function targetsOf(
  { shape, data }: NpyArray,
  count: number,
  task: Exclude<Task, 'classes'>,
  name: string,
): { labels: Labels; targets: Float32Array } {
  const columns = elementCount(shape.slice(1));
  const targets = Float32Array.from({ length: count * columns }, (_, at) => Number(data[at]));
  const fits = (value: number): boolean => Number.isFinite(value) && (task === 'values' || (value >= 0 && value <= 1));
  const wrong = targets.findIndex((value) => !fits(value));
  if (wrong >= 0 || columns === 0) {
    const range = task === 'labels' ? '0 (absent) or 1 (present)' : 'a finite number';
    throw new FailureError(
      `${name}: a target of image ${Math.floor(wrong / columns)} is ${targets[wrong]}; it must be ${range}`,
    );
  }
  return { labels: new Uint8Array(count), targets };
}

function requireAlike(place: string, train: Part, other: Part | undefined): void {
  if (!other) return;
  const [ours, theirs] = [train, other].map(({ storedChannels, height, width, border, targets, count }) =>
    [storedChannels, height - 2 * border, width - 2 * border, targets && count > 0 ? targets.length / count : ''].join(
      '×',
    ),
  );
  if (train.count === 0 || ours === theirs) return;
  throw new FailureError(
    `${place}: training images are ${ours} and others ${theirs} (channels, height, width, targets); save arrays of one data set`,
  );
}

function noImages({ height, width, border, storedChannels }: Part): Part {
  return { count: 0, images: sharedBytes(0), labels: new Uint8Array(0), storedChannels, height, width, border };
}

function repeated({ mean, std }: Dataset['normalization'], channels: number): Dataset['normalization'] {
  const each = (values: readonly number[]): number[] =>
    Array.from({ length: channels }, (_, channel) => values[channel % values.length] as number);
  return { mean: each(mean), std: each(std) };
}

async function openArchive(place: string): Promise<Source> {
  const zip = await ZipFile.open(place);
  const members = new Map(
    [...zip.members.values()]
      .filter(({ name }) => name.endsWith(arrayEnd))
      .map((member) => [member.name.slice(0, -arrayEnd.length), member]),
  );
  return {
    place,
    names: [...members.keys()],
    async read(name) {
      const member = members.get(name);
      if (!member) throw new FailureError(`${place} has no array ${name}`);
      return parseNpy(await zip.read(member), `${place}: ${name}`);
    },
    close: () => zip.close(),
  };
}

function openFolder(place: string): Source {
  const files = readdirSync(place).filter((name) => name.endsWith(arrayEnd));
  return {
    place,
    names: files.map((name) => name.slice(0, -arrayEnd.length)),
    async read(name) {
      const path = join(place, name + arrayEnd);
      const bytes = await readFile(path).catch((error: unknown) => {
        throw fileFailure('read', path, error);
      });
      return parseNpy(bytes, path);
    },
    close: async () => undefined,
  };
}
