/** @file Windows that slide over an image: what convolution and pooling share. */

import { RequestError } from '../ir/index.js';
import { ints, pair } from './checks.js';
import type { Attributes } from './definition.js';

/** A sliding window; each pair is (vertical, horizontal), in elements. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  /** Padding at the top, the left, the bottom and the right. */
  readonly pads: readonly [number, number, number, number];
}

/** The window that a node's attributes `strides` and `pads` describe. @throws RequestError */
export function window(attributes: Attributes, kernel: readonly [number, number]): Window {
  return {
    kernel,
    strides: pair(attributes, 'strides', 1),
    pads: ints(attributes, 'pads', 4) as Window['pads'],
  };
}

/** The attribute `kernel_shape`. @throws RequestError */
export function kernelShape(attributes: Attributes): readonly [number, number] {
  return pair(attributes, 'kernel_shape', 1);
}

/**
 * How many positions the window has along each axis of an image.
 * @throws RequestError when the padded image is smaller than the window
 */
export function positions(image: readonly [number, number], { kernel, strides, pads }: Window): [number, number] {
  const along = (axis: 0 | 1): number => {
    const room = image[axis] + pads[axis] + pads[axis === 0 ? 2 : 3] - kernel[axis];
    if (room >= 0) return Math.floor(room / strides[axis]) + 1;
    throw new RequestError(
      `a window of ${kernel.join('×')} does not fit an image of ${image.join('×')} padded by ${pads.join(', ')}`,
    );
  };
  return [along(0), along(1)];
}

/** The first and one past the last of the `count` window positions whose tap `offset` lies within 0 … extent − 1. */
export function inside(offset: number, stride: number, count: number, extent: number): readonly [number, number] {
  const first = offset >= 0 ? 0 : Math.ceil(-offset / stride);
  const last = Math.floor((extent - 1 - offset) / stride);
  return [first, Math.min(count, last + 1)];
}
