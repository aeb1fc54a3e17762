/** @file What a data set is once loaded, and what a format has to provide. */

/** Labelled images of one size, as bytes. */
export interface Split {
  readonly count: number;
  /** count × storedChannels × size × size bytes, row-major (NCHW). */
  readonly images: Uint8Array;
  /**
   * Channels that `images` has: those of the data set, or 1 for grey images that a batch repeats. The repeat is left
   * to the batch because it would triple the memory.
   */
  readonly storedChannels: number;
  /** `count` labels. */
  readonly labels: Uint8Array;
}

/** A data set with its training and test images. */
export interface Dataset {
  readonly name: string;
  /** The largest label found, plus one; for CIFAR the number of classes by definition. */
  readonly classes: number;
  /** Channels of a batch, so of the network's input. */
  readonly channels: number;
  /** Height and width in pixels, border included. */
  readonly imageSize: number;
  /** Black pixels that were put around every image, on each side; none where absent. */
  readonly border?: number | undefined;
  /** Names of the classes, in the order of the labels, where they are known. */
  readonly classNames?: readonly string[] | undefined;
  readonly train: Split;
  readonly test: Split;
  /** For each channel, on the scale where black is 0 and white is 1. */
  readonly normalization: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** The augmentation that keeps labels true: a flipped digit is no digit. */
  readonly augmentation: 'crop-flip' | 'crop' | 'none';
}

/** What the caller may choose about a data set. */
export interface DatasetOptions {
  /** Channels the network takes. Grey images are repeated to 3 unless this is 1. */
  readonly channels?: 1 | 3;
}

/** A way in which data sets are stored in a folder. */
export interface DatasetFormat {
  /** The files that `find` looks for, as told to people. */
  readonly lookedFor: string;
  /** The folder (`directory` or one in it) that holds such a data set, or undefined. */
  find(directory: string): string | undefined;
  /** Loads the data set of a folder that `find` returned. */
  load(directory: string, options: DatasetOptions): Promise<Dataset>;
}
