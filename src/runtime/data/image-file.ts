/** @file Image files as bytes of one size: JPEG, PNG and whatever else libvips (the library sharp) reads. */

import { access } from 'node:fs/promises';
import sharp from 'sharp';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from '../atomic-file.js';

/** What an image is made into. */
export interface ImageFormat {
  /** 3 for red, green and blue, 1 for grey. */
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** The shorter side is first scaled to this; by default just so that height and width are covered. */
  readonly resize?: number | undefined;
  /** Black pixels on each side, within height and width; none where absent. */
  readonly border?: number | undefined;
}

/**
 * An image of a file: upright, on black where it is transparent, scaled to cover the format and cropped in the middle.
 * @returns channels × height × width bytes, row-major
 * @throws FailureError naming the file when it is missing, no image, or damaged
 */
export async function readImage(path: string, format: ImageFormat): Promise<Uint8Array> {
  const { channels, resize, border = 0 } = format;
  const [height, width] = [format.height - 2 * border, format.width - 2 * border];
  await access(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  try {
    // Damage in the middle of a file fails as damage at its beginning does; libvips would go on with grey by default.
    let image = sharp(path, { failOn: 'warning' }).autoOrient();
    const stored = (await image.metadata()).autoOrient;
    const shorter = (resize ?? 0) / Math.min(stored.width, stored.height);
    const scale = Math.max(shorter, width / stored.width, height / stored.height);
    const scaled = { width: Math.round(stored.width * scale), height: Math.round(stored.height * scale) };
    if (scale !== 1) image = image.resize(scaled.width, scaled.height, { fit: 'fill' });
    const [left, top] = [Math.floor((scaled.width - width) / 2), Math.floor((scaled.height - height) / 2)];
    if (scaled.width !== width || scaled.height !== height) image = image.extract({ left, top, width, height });
    if (border > 0)
      image = image.extend({ top: border, bottom: border, left: border, right: border, background: 'black' });
    const flat = image.flatten({ background: 'black' }).toColourspace(channels === 1 ? 'b-w' : 'srgb');
    const { data, info } = await flat.raw().toBuffer({ resolveWithObject: true });
    return toPlanes(data, info.channels, channels);
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    throw new FailureError(`${path} can't be read as an image: ${reason}; replace the file or leave it out`, {
      cause: error,
    });
  }
}

/** Pixel after pixel becomes plane after plane; a single plane is repeated. */
function toPlanes(pixels: Uint8Array, stored: number, channels: number): Uint8Array {
  const count = pixels.length / stored;
  const planes = new Uint8Array(count * channels);
  for (let channel = 0; channel < channels; channel++) {
    const from = Math.min(channel, stored - 1);
    for (let pixel = 0; pixel < count; pixel++)
      planes[channel * count + pixel] = pixels[pixel * stored + from] as number;
  }
  return planes;
}
