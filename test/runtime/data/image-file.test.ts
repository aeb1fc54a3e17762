/** @file Image files become bytes: as they are where they fit, else scaled and cropped; damage is told. */

import { readFileSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readImage } from '../../../src/runtime/data/image-file.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();

/** Writes pixels as a PNG. */
async function png(
  name: string,
  width: number,
  height: number,
  channels: 1 | 3 | 4,
  pixels: number[],
): Promise<string> {
  const raw = { width, height, channels };
  await sharp(Uint8Array.from(pixels), { raw }).png().toFile(path(name));
  return path(name);
}

const planes = async (file: string, format: Parameters<typeof readImage>[1]): Promise<number[]> => [
  ...(await readImage(file, format)),
];

/** Red, green; blue, white. */
const colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];

describe('an image file', () => {
  it('of the right size is taken as it is, plane after plane', async () => {
    const file = await png('colours.png', 2, 2, 3, colours);
    const format = { channels: 3, height: 2, width: 2 } as const;
    const expected = [255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255];
    expect(await planes(file, format)).toEqual(expected);
    expect(await planes(file, { ...format, resize: 2 })).toEqual(expected);
    expect(await planes(file, { ...format, resize: 40 })).not.toEqual(expected);
  });

  it('becomes grey, or grey becomes three equal planes', async () => {
    const grey = await png('grey.png', 2, 1, 1, [10, 200]);
    expect(await planes(grey, { channels: 3, height: 1, width: 2 })).toEqual([10, 200, 10, 200, 10, 200]);
    const even = await png('even.png', 2, 1, 3, [10, 10, 10, 200, 200, 200]);
    expect(await planes(even, { channels: 1, height: 1, width: 2 })).toEqual([10, 200]);
  });

  it('lies on black where it is transparent', async () => {
    const file = await png('clear.png', 2, 1, 4, [200, 100, 50, 0, 200, 100, 50, 255]);
    expect(await planes(file, { channels: 3, height: 1, width: 2 })).toEqual([0, 200, 0, 100, 0, 50]);
  });

  it('is cropped in the middle where it is too long', async () => {
    const file = await png('long.png', 6, 2, 1, [0, 0, 90, 90, 255, 255, 0, 0, 90, 90, 255, 255]);
    expect(await planes(file, { channels: 1, height: 2, width: 2 })).toEqual([90, 90, 90, 90]);
    const tall = await png('tall.png', 1, 3, 1, [0, 90, 255]);
    expect(await planes(tall, { channels: 1, height: 1, width: 1 })).toEqual([90]);
  });

  it('is scaled further than it must be where asked', async () => {
    const frame = Array.from({ length: 64 }, (_, index) => {
      const [x, y] = [index % 8, Math.floor(index / 8)];
      return x >= 2 && x < 6 && y >= 2 && y < 6 ? 100 : 0;
    });
    const file = await png('frame.png', 8, 8, 1, frame);
    const format = { channels: 1, height: 4, width: 4 } as const;
    expect((await planes(file, { ...format, resize: 8 })).every((value) => value === 100)).toBe(true);
    expect((await planes(file, format))[0]).toBeLessThan(20);
  });

  it('shows the part that is chosen, scaled to the format', async () => {
    const file = await png('parts.png', 4, 2, 1, [0, 90, 90, 255, 0, 90, 90, 255]);
    const seen: number[][] = [];
    const region = (width: number, height: number) => {
      seen.push([width, height]);
      return { left: 1, top: 0, width: 2, height: 2 };
    };
    const shown = await planes(file, { channels: 1, height: 3, width: 3, region });
    expect(shown).toEqual(new Array(9).fill(90));
    expect(seen).toEqual([[4, 2]]);
  });

  it('stands upright, whichever way the camera was held', async () => {
    const raw = { width: 2, height: 1, channels: 1 } as const;
    const turned = sharp(Uint8Array.from([0, 255]), { raw }).withMetadata({ orientation: 6 });
    await turned.jpeg({ quality: 100 }).toFile(path('turned.jpg'));
    const [top, bottom] = await planes(path('turned.jpg'), { channels: 1, height: 2, width: 1 });
    expect([top ?? 255, bottom ?? 0]).toEqual([expect.closeTo(0, -1), expect.closeTo(255, -1)]);
  });
});

describe('an image file is refused, and named,', () => {
  const format = { channels: 3, height: 2, width: 2 } as const;

  it('where there is none', async () => {
    await expect(readImage(path('none.png'), format)).rejects.toThrow(/cannot read .*none.png: there is no such file/);
  });

  it('where it is no image', async () => {
    writeFileSync(path('text.jpg'), 'not an image');
    await expect(readImage(path('text.jpg'), format)).rejects.toThrow(/text.jpg can't be read as an image/);
  });

  it('where it is empty, or a folder', async () => {
    writeFileSync(path('empty.jpg'), '');
    await expect(readImage(path('empty.jpg'), format)).rejects.toThrow(
      /empty.jpg can't .*: the file is empty; replace/,
    );
    await expect(readImage(path('.'), format)).rejects.toThrow(/is a folder; give image files/);
  });

  it('where its end is missing', async () => {
    const noise = {
      create: { width: 64, height: 64, channels: 3, background: 'red', noise: { type: 'gaussian' } },
    } as const;
    await sharp(noise).jpeg().toFile(path('whole.jpg'));
    const bytes = readFileSync(path('whole.jpg'));
    writeFileSync(path('cut.jpg'), bytes.subarray(0, bytes.length / 2));
    await expect(readImage(path('cut.jpg'), format)).rejects.toThrow(/cut.jpg can't be read as an image/);
    expect(await readImage(path('whole.jpg'), format)).toHaveLength(12);
  });
});
