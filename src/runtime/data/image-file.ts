/** @file Image files as bytes of one size: JPEG, PNG and whatever else libvips (the library sharp) reads. */

import { stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from '../files/atomic-file.js';
import { imageLibrary, sharp } from './image-library.js';
import { imageKinds, otherFormat } from './image-names.js';

/** Most pixels of an image that is decoded: more is a mistake or an attack, and takes GB. The image library's own limit. */
const mostPixels = 0x3fff ** 2;

/** A part of an image, in pixels. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

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
  /** Chooses the part of an image of this size that is scaled to the format, instead of its middle. */
  readonly region?: ((width: number, height: number) => Region) | undefined;
}

/**
 * An image of a file: upright, on black where it is transparent, scaled to cover the format and cropped in the middle.
 * @returns channels × height × width bytes, row-major
 * @throws FailureError naming the file when it is missing, no image, or damaged
 */
export async function readImage(path: string, format: ImageFormat): Promise<Uint8Array> {
  const { channels, border = 0 } = format;
  const [height, width] = [format.height - 2 * border, format.width - 2 * border];
  const status = await stat(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  if (status.isDirectory()) throw new FailureError(`${path} is a folder; give image files`);
  if (status.size === 0) throw unreadable(path, 'the file is empty');
  imageLibrary();
  try {
    // Damage in the middle of a file fails as damage at its beginning does; libvips would go on with grey by default.
    let image = sharp(path, { failOn: 'warning', limitInputPixels: false }).autoOrient();
    const stored = (await image.metadata()).autoOrient;
    if (stored.width * stored.height > mostPixels) throw tooLarge(path, stored);
    image = scaledAndCut(image, stored, { ...format, width, height });
    if (border > 0)
      image = image.extend({ top: border, bottom: border, left: border, right: border, background: 'black' });
    const flat = image.flatten({ background: 'black' }).toColourspace(channels === 1 ? 'b-w' : 'srgb');
    const { data, info } = await flat.raw().toBuffer({ resolveWithObject: true });
    return toPlanes(data, info.channels, channels);
  } catch (error) {
    if (error instanceof FailureError) throw error;
    throw unreadable(path, await reasonOf(path, error as Error), error);
  }
}

/**
 * Why a file is no image, without the library's names for its parts and options. The library keeps one text of errors
 * for all its threads, and an image that ends beside this one wipes it: then only the damage is known.
 */
async function reasonOf(path: string, { message }: Error): Promise<string> {
  const format = await otherFormat(path);
  if (format !== undefined) return `it is ${format}, and what is read is ${imageKinds}`;
  const damaged = 'the file is damaged or cut off';
  const [first = damaged] = message
    .split('\n')
    .filter((line) => line !== '' && !line.includes('failOn'))
    // Of many lines of an AVIF's, the last one tells.
    .sort((a, b) => Number(a.includes('bad seek')) - Number(b.includes('bad seek')));
  if (/premature end|unexpected end|bad seek|read error|unable to parse/i.test(first)) {
    return `${damaged} (${plain(first)})`;
  }
  return first.includes('unsupported image format') ? `what is read is ${imageKinds}` : plain(first);
}

function plain(message: string): string {
  return message.replace(/^Input file has corrupt header: /, '').replace(/^(VipsJpeg|vipspng|webp|gifload): /, '');
}

function tooLarge(path: string, { width, height }: { readonly width: number; readonly height: number }): FailureError {
  const [pixels, most] = [width * height, mostPixels].map((count) => count.toLocaleString('en'));
  return new FailureError(
    `${path} has ${width} × ${height} = ${pixels} pixels, and at most ${most} are decoded; scale it down or leave it out`,
  );
}

function unreadable(path: string, reason = '', cause?: unknown): FailureError {
  return new FailureError(`${path} can't be read as an image: ${reason}; replace the file or leave it out`, { cause });
}

/** Scales and cuts an image of the size `stored` to height × width. */
function scaledAndCut(image: Sharp, stored: { width: number; height: number }, format: ImageFormat): Sharp {
  const { width, height, resize = 0, region } = format;
  if (region) return image.extract(region(stored.width, stored.height)).resize(width, height, scaling);
  const scale = Math.max(resize / Math.min(stored.width, stored.height), width / stored.width, height / stored.height);
  const size = { width: Math.round(stored.width * scale), height: Math.round(stored.height * scale) };
  const [left, top] = [Math.floor((size.width - width) / 2), Math.floor((size.height - height) / 2)];
  const whole = scale === 1 ? image : image.resize(size.width, size.height, scaling);
  return size.width === width && size.height === height ? whole : whole.extract({ left, top, width, height });
}

/** Bilinear with antialiasing, as torchvision scales image files. */
const scaling = { fit: 'fill', kernel: 'linear' } as const;

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
