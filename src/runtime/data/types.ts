/** @file What a data set is once loaded, and what a format has to provide. */

import type { Task } from '../../step/tasks.js';

/** Labelled images of one size in memory, as bytes. */
export interface PixelSplit {
  readonly count: number;
  /** count × storedChannels × size × size bytes, row-major (NCHW). */
  readonly images: Uint8Array;
  /**
   * Channels that `images` has: those of the data set, or 1 for grey images that a batch repeats. The repeat is left
   * to the batch because it would triple the memory.
   */
  readonly storedChannels: number;
  /** `count` labels. */
  readonly labels: Labels;
  readonly targets?: Targets;
}

/** Labelled image files, decoded anew for each batch. */
export interface FileSplit {
  readonly count: number;
  /** `count` paths. */
  readonly files: readonly string[];
  /** `count` labels. */
  readonly labels: Labels;
  readonly targets?: Targets;
}

/**
 * K numbers for each image, row by row, where a data set's task is another than classes: for each label 0 or 1, or what a
 * regression is to tell. All labels are 0 then.
 */
type Targets = Float32Array | undefined;

/** The images of one part of a data set. */
export type Split = PixelSplit | FileSplit;

/** Labels from 0 on; the wider one where 256 classes are not enough. */
export type Labels = Uint8Array | Uint16Array;

/** For each channel, on the scale where black is 0 and white is 1. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * The random changes that keep labels true: `crop` takes the image's size out of the image with 4 black pixels around
 * it; `flip` swaps left and right half of the time (a flipped digit is no digit); `resized-crop-flip` is ImageNet's, a
 * part of 8 to 100 % of the image, scaled, and a flip.
 */
export type Augmentation = 'crop-flip' | 'crop' | 'resized-crop-flip' | 'none';

/** How validation images are chosen among the training images; `random` in runs that began before `stratified` came. */
export type HoldOut = 'stratified' | 'random';

/** How images that came without parts were divided into training and test images. */
export interface SeedSplit {
  readonly testShare: number;
  readonly seed: number;
  /** Hash of the names and labels of all of them. */
  readonly images: string;
}

/** Height and width in pixels of a data set's images. */
export function extentsOf({ imageSize, imageWidth }: Pick<Dataset, 'imageSize' | 'imageWidth'>): [number, number] {
  return [imageSize, imageWidth ?? imageSize];
}

/** A data set with its training and test images. */
export interface Dataset {
  readonly name: string;
  /** What is told of the images; `classes` where absent. */
  readonly task?: Task | undefined;
  /** The largest label found, plus one; the number of classes where it is known. Of other tasks, the number of targets. */
  readonly classes: number;
  /** Channels of a batch, so of the network's input. */
  readonly channels: number;
  /** Height in pixels, and width where `imageWidth` is absent; border included. */
  readonly imageSize: number;
  /** Width in pixels where it is not the height. */
  readonly imageWidth?: number | undefined;
  /** Black pixels that were put around every image, on each side; none where absent. */
  readonly border?: number | undefined;
  /** What the shorter side of an image file is scaled to before the middle is cut out. */
  readonly resize?: number | undefined;
  /** Names of the classes, in the order of the labels, where they are known; or of the targets. */
  readonly classNames?: readonly string[] | undefined;
  readonly train: Split;
  /** Validation images of the data set's own; where absent, training images are held out. */
  readonly validation?: Split | undefined;
  readonly test: Split;
  /** How training and test images were told apart, where the data set doesn't say. */
  readonly split?: SeedSplit | undefined;
  /** The folder that files are told apart in, where that goes by all of their names and not by folder and name. */
  readonly root?: string | undefined;
  /** How training images are held out; `stratified` where absent. */
  readonly holdOut?: HoldOut | undefined;
  readonly normalization: Normalization;
  readonly augmentation: Augmentation;
  /** Whether training augments unless told; it does where absent. */
  readonly augmentByDefault?: boolean | undefined;
  /** Files that were left out since they can't be read, relative to the source. */
  readonly skipped?: readonly string[] | undefined;
  /** What people should know of how the data was read. */
  readonly notes?: readonly string[] | undefined;
}

/** What the caller may choose about a data set. */
export interface DatasetOptions {
  /** What is to be told of the images; `classes` unless told. Others come from CSV files. */
  readonly task?: Task | undefined;
  /** The columns of a CSV file that hold the labels or values; found by their names and contents unless told. */
  readonly targets?: readonly string[] | undefined;
  /** Channels the network takes. Grey images are repeated to 3 unless this is 1. */
  readonly channels?: 1 | 3 | undefined;
  /** Height and width that image files are brought to (32 unless told); other formats have a size of their own. */
  readonly imageSize?: number | undefined;
  /** Width where it is not the height. */
  readonly imageWidth?: number | undefined;
  /** Most images of each split: the first ones, of image files those of each class in turn. */
  readonly limit?: number | undefined;
  /** Share of the images set aside for the test where the data has no parts: 0 to below 1, 0.1 unless told. */
  readonly testShare?: number | undefined;
  /** Of that choice; 0 unless told. */
  readonly seed?: number | undefined;
  /** Leaves out image files that can't be read, instead of refusing them all. */
  readonly skipCorrupt?: boolean | undefined;
  /** What is known from a former run on the same data: nothing is measured or checked again. */
  readonly known?: KnownData | undefined;
  /** `test` leaves the training images unread where they can be. */
  readonly parts?: 'all' | 'test' | undefined;
  /** Threads that read image files. */
  readonly workers?: number | undefined;
  /** Told how many of the image files have been read. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What a former run has found out about its data. */
export interface KnownData {
  readonly normalization?: Normalization | undefined;
  /** Files it left out; absent where none have been looked for. */
  readonly skipped?: readonly string[] | undefined;
  /** The classes in the order of their labels, for test images that come without training images. */
  readonly classNames?: readonly string[] | undefined;
  /** How the images were divided. */
  readonly split?: SeedSplit | undefined;
  /** How folders were looked through: 1 in runs that began before links were followed and more formats read. */
  readonly rules?: 1 | 2 | undefined;
}

/** A way in which data sets are stored in a folder, or a file. */
export interface DatasetFormat {
  /** The files that `find` looks for, as told to people. */
  readonly lookedFor: string;
  /** The folder (`directory` or one in it) that holds such a data set, or undefined. */
  find(directory: string): string | undefined;
  /** Loads the data set of a folder that `find` returned. */
  load(directory: string, options: DatasetOptions): Promise<Dataset>;
}
