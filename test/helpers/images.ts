/** @file Writes small image files and folders of them. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { someBytes } from '../runtime/data/files.js';

/** Writes an image of pixels that follow no pattern; its format is that of the name. */
export async function writeImage(path: string, width: number, height: number, seed = 1): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const raw = { width, height, channels: 3 } as const;
  // Bytes about one level, so that folders of images differ in their mean.
  const level = (seed * 37) % 200;
  const pixels = someBytes(3 * width * height, seed).map((byte) => level + (byte >> 3));
  await sharp(pixels, { raw }).toFile(path);
}

/** Writes a file that looks like an image by its name only, or one whose end is missing. */
export async function writeBroken(path: string, kind: 'text' | 'cut'): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const whole = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  await writeFile(path, kind === 'text' ? 'not an image' : whole.subarray(0, whole.length / 2));
}

/**
 * Writes train/ and val/ with the classes `cat` and `dog`.
 * @param counts images of each class; training images of a class are both PNG and JPEG, of several sizes
 */
export async function writeImageFolder(folder: string, counts: { train: number; val: number }): Promise<void> {
  let seed = 1;
  for (const [part, count] of Object.entries(counts)) {
    for (const name of ['dog', 'cat']) {
      for (let image = 0; image < count; image++) {
        const [width, height] = [12 + (image % 3) * 4, 12 + (image % 2) * 6];
        const file = `${image}.${image % 2 === 0 ? 'png' : 'jpg'}`;
        await writeImage(join(folder, part, name, file), width, height, seed++);
      }
    }
  }
}
