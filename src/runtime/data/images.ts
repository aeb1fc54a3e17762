/** @file Work on image bytes that every format of data set shares: shared memory, black borders, mean and spread. */

import type { Normalization, PixelSplit } from './types.js';

/** Zeroed bytes that data workers read without a copy of their own. */
export function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** The bytes where all threads can read them: as they are if they are there already, else a copy. */
export function shared(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer instanceof SharedArrayBuffer) return bytes;
  const copy = sharedBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/**
 * Adds a black border to square images.
 * @param images planes of size × size bytes, one after the other
 * @param border width in pixels on each side
 * @returns as many planes of (size + 2·border)² bytes
 */
export function padImages(images: Uint8Array, size: number, border: number): Uint8Array {
  const padded = size + 2 * border;
  const planes = images.length / (size * size);
  const result = sharedBytes(planes * padded * padded);
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < size; y++) {
      const from = (plane * size + y) * size;
      const to = (plane * padded + y + border) * padded + border;
      result.set(images.subarray(from, from + size), to);
    }
  }
  return result;
}

/**
 * Mean and standard deviation of the pixels of each stored channel, on the scale from 0 to 1. The spread of a channel
 * whose pixels are all equal is given as 1, so that dividing by it is safe.
 * @param planeSize bytes of one channel of one image
 */
export function pixelStatistics(split: PixelSplit, planeSize: number): Normalization {
  const histograms = Array.from({ length: split.storedChannels }, (_, channel) =>
    channelHistogram(split, planeSize, channel),
  );
  return histogramStatistics(histograms);
}

/**
 * Mean and standard deviation of each channel from how often each of the 256 values occurs in it; as above. Sums over
 * counts are exact, whatever the number of pixels and the order they were counted in.
 */
export function histogramStatistics(histograms: readonly Float64Array[]): Normalization {
  const mean: number[] = [];
  const std: number[] = [];
  for (const histogram of histograms) {
    const pixels = weightedSum(histogram, () => 1);
    const average = weightedSum(histogram, (value) => value) / pixels;
    const variance = weightedSum(histogram, (value) => (value - average) ** 2) / pixels;
    mean.push(average / 255);
    std.push(variance > 0 ? Math.sqrt(variance) / 255 : 1);
  }
  return { mean, std };
}

/** Counts the values of a plane's bytes. */
export function countValues(histogram: Float64Array, bytes: Uint8Array, begin: number, end: number): void {
  for (let at = begin; at < end; at++) {
    const value = bytes[at] as number;
    histogram[value] = (histogram[value] as number) + 1;
  }
}

function channelHistogram(split: PixelSplit, planeSize: number, channel: number): Float64Array {
  const { count, images, storedChannels } = split;
  const histogram = new Float64Array(256);
  for (let image = 0; image < count; image++) {
    const begin = (image * storedChannels + channel) * planeSize;
    countValues(histogram, images, begin, begin + planeSize);
  }
  return histogram;
}

function weightedSum(histogram: Float64Array, weight: (value: number) => number): number {
  return histogram.reduce((sum, pixels, value) => sum + pixels * weight(value), 0);
}
