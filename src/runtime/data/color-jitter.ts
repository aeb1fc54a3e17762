/** @file Random changes of brightness, contrast, saturation and hue, as torchvision's ColorJitter makes them. */

import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { shiftHue } from './hue.js';

/** What is blended with what: an image with black, with its mean grey, or with its own grey. */
type Blend = 'brightness' | 'contrast' | 'saturation';

const blends: readonly Blend[] = ['brightness', 'contrast', 'saturation'];

/** How far colours may change; what is absent or 0 stays. */
export interface ColorJitter {
  /** Brightness, contrast and saturation change by factors from 1 − this to 1 + this. */
  readonly strength?: number | undefined;
  /** The hue moves by −this to this of the colour circle. */
  readonly hue?: number | undefined;
}

/** Shares of red, green and blue in grey (ITU-R 601). */
const shares = [0.299, 0.587, 0.114] as const;

/** Whether anything may change. */
export function changesColors({ strength = 0, hue = 0 }: ColorJitter): boolean {
  return strength > 0 || hue > 0;
}

/**
 * Changes brightness, contrast and, of colour images, saturation and hue in a random order. Each of the first three by a
 * random factor from max(0, 1 − strength) to 1 + strength: factor · image + (1 − factor) · other, where other is black, the
 * mean grey of the image, or the grey of each pixel; the hue by a random part of the circle. Bytes are rounded down
 * after each, as torchvision's are.
 * @param bytes of the image, plane after plane, 3 planes or 1; changed in place
 * @param random the image's random bits
 */
export function jitterColors(
  bytes: Uint8Array,
  channels: number,
  { strength = 0, hue = 0 }: ColorJitter,
  random: number,
): void {
  const generator = xoroshiro128plus(random);
  const order: (Blend | 'hue')[] = [...(strength > 0 ? blends : []), ...(hue > 0 ? (['hue'] as const) : [])];
  for (let last = order.length - 1; last > 0; last--) {
    const other = uniformInt(generator, 0, last);
    [order[last], order[other]] = [order[other] as Blend, order[last] as Blend];
  }
  const least = Math.max(0, 1 - strength);
  for (const change of order) {
    const share = uniformInt(generator, 0, 2 ** 30 - 1) / (2 ** 30 - 1);
    if (change !== 'hue') blend(bytes, channels, change, least + share * (1 + strength - least));
    else if (channels === 3) shiftHue(bytes, hue * (2 * share - 1));
  }
}

function blend(bytes: Uint8Array, channels: number, change: Blend, factor: number): void {
  if (change === 'saturation' && channels !== 3) return;
  const plane = bytes.length / channels;
  const mean = change === 'contrast' ? meanGrey(bytes, channels, plane) : 0;
  for (let at = 0; at < plane; at++) {
    const other = change === 'saturation' ? greyAt(bytes, channels, plane, at) : mean;
    for (let index = at; index < bytes.length; index += plane) {
      const value = factor * (bytes[index] as number) + (1 - factor) * other;
      bytes[index] = Math.max(0, Math.min(255, value));
    }
  }
}

function meanGrey(bytes: Uint8Array, channels: number, plane: number): number {
  let sum = 0;
  for (let at = 0; at < plane; at++) sum += greyAt(bytes, channels, plane, at);
  return sum / plane;
}

function greyAt(bytes: Uint8Array, channels: number, plane: number, at: number): number {
  if (channels !== 3) return bytes[at] as number;
  const [red, green, blue] = shares;
  const sum =
    red * (bytes[at] as number) + green * (bytes[at + plane] as number) + blue * (bytes[at + 2 * plane] as number);
  return Math.floor(sum + 1e-6);
}
