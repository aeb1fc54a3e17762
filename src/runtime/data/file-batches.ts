/** @file Batches of image files: each is decoded, scaled, perhaps augmented, and normalized. */

import { FailureError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import {
  type Augment,
  type Batch,
  type BatchFormat,
  createBatch,
  labelsOf,
  makeBatch,
  normalizationTable,
  rowOf,
  targetTensor,
} from './batches.js';
import { changesColors, jitterColors } from './color-jitter.js';
import { type ImageFormat, readImage } from './image-file.js';
import { countValues } from './images.js';
import { hash, purpose, randomFlip, randomRegion } from './random.js';
import { extentsOf, type FileSplit, type Split } from './types.js';

/** One image file of a batch. */
export interface FileEntry {
  readonly file: string;
  readonly label: number;
  readonly targets?: Float32Array | undefined;
  /** Its index in the split, on which augmentation depends. */
  readonly index: number;
}

/**
 * Decodes a batch of image files.
 * @param augment asks for the data set's augmentation, which depends on seed, epoch and an image's index alone
 * @throws FailureError naming the first file that can't be read
 */
export async function makeFileBatch(
  format: BatchFormat,
  entries: readonly FileEntry[],
  augment: Augment | undefined,
): Promise<Batch> {
  const { channels } = format;
  const extents = extentsOf(format);
  const plane = elementCount(extents);
  const images = new Float32Array(entries.length * channels * plane);
  const table = normalizationTable(format);
  const used = format.augmentation === 'resized-crop-flip' && !augment?.colorsOnly ? augment : undefined;
  for (const [entry, { file, index }] of entries.entries()) {
    const random = used && hash(purpose.augmentation, used.seed, used.epoch, index);
    const bytes = await readImage(file, imageFormat(format, augment?.wholeImages ? undefined : random));
    const flip = random !== undefined && randomFlip(random);
    if (augment?.colors && changesColors(augment.colors)) {
      jitterColors(bytes, channels, augment.colors, hash(purpose.color, augment.seed, augment.epoch, index));
    }
    for (let channel = 0; channel < channels; channel++) {
      const target = images.subarray((entry * channels + channel) * plane, (entry * channels + channel + 1) * plane);
      normalize(target, bytes.subarray(channel * plane), table.subarray(channel * 256), flip ? extents[1] : 0);
    }
  }
  const targets = entries.flatMap((entry) => (entry.targets ? [entry.targets] : []));
  const labels = targets.length > 0 ? targetTensor(targets) : entries.map(({ label }) => label);
  return createBatch([channels, ...extents], images, labels);
}

/** The files of some images of a split. @throws InternalError when it has no image of an index */
export function fileEntries(split: FileSplit, indices: ArrayLike<number>): FileEntry[] {
  const labels = labelsOf(split, indices);
  return labels.map((label, at) => {
    const index = indices[at] as number;
    const { targets, count } = split;
    const row = targets && { targets: rowOf(targets, count, index).slice() };
    return { file: split.files[index] as string, label, index, ...row };
  });
}

/**
 * Makes the tensors of a batch, of images in memory or in files.
 * @param indices which images of the split, one for each entry of the batch
 * @param options.augment asks for the data set's augmentation, which depends on seed, epoch and an image's index alone
 * @throws FailureError naming the first file that can't be read; InternalError when the split has no image of an index
 */
export async function loadBatch(
  format: BatchFormat,
  split: Split,
  indices: ArrayLike<number>,
  { augment }: { readonly augment?: Augment | undefined } = {},
): Promise<Batch> {
  return 'files' in split
    ? makeFileBatch(format, fileEntries(split, indices), augment)
    : makeBatch(format, split, indices, { augment });
}

/** What a look at image files finds. */
export interface Inspection {
  /** Files that can't be read, by their place among those looked at. */
  readonly broken: readonly { readonly at: number; readonly reason: string }[];
  /** For each channel, how often each of the 256 values occurs in the others. */
  readonly histograms: readonly Float64Array[];
}

/** Decodes image files as evaluation does, and tells which can't be. */
export async function inspectFiles(
  format: Omit<BatchFormat, 'normalization'>,
  files: readonly string[],
): Promise<Inspection> {
  const plane = elementCount(extentsOf(format));
  const histograms = Array.from({ length: format.channels }, () => new Float64Array(256));
  const broken: { at: number; reason: string }[] = [];
  for (const [at, file] of files.entries()) {
    try {
      const bytes = await readImage(file, imageFormat(format, undefined));
      histograms.forEach((histogram, channel) => {
        countValues(histogram, bytes, channel * plane, (channel + 1) * plane);
      });
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      broken.push({ at, reason: error.message });
    }
  }
  return { broken, histograms };
}

function imageFormat(format: Omit<BatchFormat, 'normalization'>, random: number | undefined): ImageFormat {
  const { channels, resize, border } = format;
  const [height, width] = extentsOf(format);
  const region =
    random === undefined ? undefined : (w: number, h: number) => randomRegion(random, w, h, width / height);
  return { channels: channels as 1 | 3, height, width, resize, border, region };
}

/** Replaces bytes by their values, with left and right swapped within rows of `flipWidth` where it is not 0. */
function normalize(target: Float32Array, bytes: Uint8Array, values: Float32Array, flipWidth: number): void {
  for (let at = 0; at < target.length; at++) {
    const from = flipWidth === 0 ? at : at - 2 * (at % flipWidth) + flipWidth - 1;
    target[at] = values[bytes[from] as number] as number;
  }
}
