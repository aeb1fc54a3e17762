/** @file Which files are images: by their names, and by their first bytes where the image library reads none. */

import { open } from 'node:fs/promises';

/** Names of files that the image library reads. */
export const imageName = /\.(jpe?g|jfif|png|webp|gif|tiff?|avif)$/i;

/** Names of tables that may list image files. */
export const tableName = /\.(csv|tsv)$/i;

/** What runs took for images that began before the other formats were read. */
export const firstImageName = /\.(jpe?g|png)$/i;

/** The formats, as told to people. */
export const imageKinds = 'JPEG, PNG, WebP, GIF (the first picture), TIFF and AVIF';

/** Names of image files that the image library doesn't read. */
export const otherImageName = /\.(bmp|dib|heic|heif|jp2|j2k|jxl|psd|ico|p[bgpn]m|tga|dng|cr2|nef|arw|dcm|exr|hdr)$/i;

/** Beginnings of files of other formats. */
const beginnings: readonly (readonly [name: string, at: number, bytes: string])[] = [
  ['a BMP', 0, 'BM'],
  ['a HEIC (HEIF)', 4, 'ftyphei'],
  ['a HEIC (HEIF)', 4, 'ftyphev'],
  ['a HEIF', 4, 'ftypm'],
  ['a JPEG 2000', 4, 'jP  '],
  ['a JPEG XL', 4, 'JXL '],
  ['a JPEG XL', 0, '\xff\x0a'],
  ['a Photoshop file', 0, '8BPS'],
  ['an icon', 0, '\0\0\x01\0'],
  ['a DICOM file', 128, 'DICM'],
  ['a PDF', 0, '%PDF'],
  ['a Netpbm image', 0, 'P4\n'],
  ['a Netpbm image', 0, 'P5\n'],
  ['a Netpbm image', 0, 'P6\n'],
  ['a Git LFS pointer instead of the file (git lfs pull brings it)', 0, 'version https://git-lfs'],
];

/** The name of a format that the image library doesn't read, with its article; nothing where it isn't known. */
export async function otherFormat(path: string): Promise<string | undefined> {
  const handle = await open(path, 'r').catch(() => undefined);
  if (!handle) return undefined;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(160), 0, 160, 0);
    const text = buffer.subarray(0, bytesRead).toString('latin1');
    return beginnings.find(([, at, bytes]) => text.startsWith(bytes, at))?.[0];
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}
