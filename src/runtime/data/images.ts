/** @file Work on image bytes that every format of data set shares: black borders, and the mean and spread of pixels. */

import type { Dataset, Split } from './types.js';

/**
 * Adds a black border to square images.
 * @param images planes of size × size bytes, one after the other
 * @param border width in pixels on each side
 * @returns as many planes of (size + 2·border)² bytes
 */
export function padImages(images: Uint8Array, size: number, border: number): Uint8Array {
  const padded = size + 2 * border;
  const planes = images.length / (size * size);
  const result = new Uint8Array(planes * padded * padded);
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
export function pixelStatistics(split: Split, planeSize: number): Dataset['normalization'] {
  const mean: number[] = [];
  const std: number[] = [];
  for (let channel = 0; channel < split.storedChannels; channel++) {
    // Sums over a histogram of the 256 values are exact, whatever the number of pixels.
    const histogram = channelHistogram(split, planeSize, channel);
    const pixels = split.count * planeSize;
    const average = weightedSum(histogram, (value) => value) / pixels;
    const variance = weightedSum(histogram, (value) => (value - average) ** 2) / pixels;
    mean.push(average / 255);
    std.push(variance > 0 ? Math.sqrt(variance) / 255 : 1);
  }
  return { mean, std };
}

function channelHistogram(split: Split, planeSize: number, channel: number): Float64Array {
  const { count, images, storedChannels } = split;
  const histogram = new Float64Array(256);
  for (let image = 0; image < count; image++) {
    const begin = (image * storedChannels + channel) * planeSize;
    for (let at = begin; at < begin + planeSize; at++) {
      const value = images[at] as number;
      histogram[value] = (histogram[value] as number) + 1;
    }
  }
  return histogram;
}

function weightedSum(histogram: Float64Array, weight: (value: number) => number): number {
  return histogram.reduce((sum, pixels, value) => sum + pixels * weight(value), 0);
}
