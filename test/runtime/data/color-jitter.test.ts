/** @file Colour jitter: what it makes of an image, and that a batch has the same whoever makes it. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { arrayDataset } from '../../../src/runtime/data/arrays.js';
import type { Batch } from '../../../src/runtime/data/batches.js';
import { jitterColors } from '../../../src/runtime/data/color-jitter.js';
import { shiftHue } from '../../../src/runtime/data/hue.js';
import { openRunData } from '../../../src/runtime/data/run-data.js';
import { someBytes } from './files.js';

const options = { batchSize: 6, validSize: 2, seed: 4, augment: false };

function dataset(channels: 1 | 3): ReturnType<typeof arrayDataset> {
  const labels = Array.from({ length: 12 }, (_, index) => index % 2);
  const all = { images: someBytes(12 * channels * 64), labels };
  return arrayDataset({ name: 'bytes', channels, imageSize: 8, train: all, test: all });
}

async function batchesOf(
  part: 'training' | 'validation' | 'test',
  more: object,
  { epoch = 0, workers = 0, first = 0, channels = 3 as 1 | 3 } = {},
): Promise<Batch[]> {
  const data = openRunData(dataset(channels), { ...options, ...more }, workers, () => undefined);
  try {
    const batches: Batch[] = [];
    for await (const batch of data.batches(part, epoch, first)) batches.push(batch);
    return batches;
  } finally {
    await data.close();
  }
}

describe('colour jitter', () => {
  it('of a grey image of one value multiplies it by a factor of its range, and leaves its contrast', () => {
    const found = new Set<number>();
    for (let random = 0; random < 200; random++) {
      const bytes = new Uint8Array(12).fill(100);
      jitterColors(bytes, 3, { strength: 0.4 }, random);
      // Grey is 0.299 + 0.587 + 0.114 of itself, and rounding is down: once for each of three changes.
      expect(Math.max(...bytes) - Math.min(...bytes)).toBe(0);
      expect(bytes[0]).toBeGreaterThanOrEqual(60 - 3);
      expect(bytes[0]).toBeLessThanOrEqual(140);
      found.add(bytes[0] as number);
    }
    expect(found.size).toBeGreaterThan(40);
    expect([Math.min(...found) < 66, Math.max(...found) > 134]).toEqual([true, true]);
  });

  it('of strength 0 changes nothing, and of a large one stays within bytes', () => {
    const before = someBytes(192);
    const same = before.slice();
    jitterColors(same, 3, { strength: 0, hue: 0 }, 7);
    expect(same).toEqual(before);
    const strong = before.slice();
    jitterColors(strong, 3, { strength: 5 }, 7);
    expect(strong).not.toEqual(before);
  });

  it("moves the hue as torchvision's adjust_hue does, edges of the formula included", () => {
    const { image, turned } = JSON.parse(
      readFileSync(new URL('../../fixtures/hue/hue.json', import.meta.url), 'utf8'),
    ) as { image: number[]; turned: { turn: number; image: number[] }[] };
    expect(turned).toHaveLength(7);
    for (const { turn, image: theirs } of turned) {
      const bytes = Uint8Array.from(image);
      shiftHue(bytes, turn);
      const differences = theirs.map((value, at) => Math.abs(value - (bytes[at] ?? Number.NaN)));
      // Theirs is float32: rounded down, a number beside a whole one may be its neighbour.
      expect(Math.max(...differences)).toBeLessThanOrEqual(1);
      expect(differences.filter((difference) => difference > 0).length).toBeLessThanOrEqual(4);
    }
  });

  it('of the hue keeps the largest and the smallest of the three, and leaves grey images', () => {
    const before = someBytes(192);
    const bytes = before.slice();
    jitterColors(bytes, 3, { hue: 0.5 }, 3);
    expect(bytes).not.toEqual(before);
    const extremes = (image: Uint8Array, at: number): number[] => {
      const color = [at, at + 64, at + 128].map((place) => image[place] as number);
      return [Math.min(...color), Math.max(...color)];
    };
    for (let at = 0; at < 64; at++) {
      const [least = 0, most = 0] = extremes(before, at);
      const [low = -9, high = -9] = extremes(bytes, at);
      expect([Math.abs(low - least) <= 1, Math.abs(high - most) <= 1]).toEqual([true, true]);
    }
    const grey = before.slice(0, 64);
    jitterColors(grey, 1, { hue: 0.5 }, 3);
    expect(grey).toEqual(before.slice(0, 64));
  });

  it('changes training images alone, differently in each epoch, grey ones too', async () => {
    const jitter = { colorJitter: 0.4 };
    for (const part of ['validation', 'test'] as const) {
      expect(await batchesOf(part, jitter)).toEqual(await batchesOf(part, {}));
    }
    const hue = await batchesOf('training', { hueJitter: 0.3 });
    expect(hue[0]?.images.data).not.toEqual((await batchesOf('training', {}))[0]?.images.data);
    for (const channels of [1, 3] as const) {
      const changed = await batchesOf('training', jitter, { channels });
      const plain = await batchesOf('training', {}, { channels });
      expect(changed[0]?.labels).toEqual(plain[0]?.labels);
      expect(changed[0]?.images.data).not.toEqual(plain[0]?.images.data);
    }
    expect(await batchesOf('training', { colorJitter: 0 })).toEqual(await batchesOf('training', {}));
  });

  it('is the same from threads, and where an epoch is taken up in its middle', async () => {
    const jitter = { colorJitter: 0.4, augment: true };
    const whole = await batchesOf('training', jitter, { epoch: 1 });
    expect(await batchesOf('training', jitter, { epoch: 1, workers: 2 })).toEqual(whole);
    expect(await batchesOf('training', jitter, { epoch: 1, first: 1 })).toEqual(whole.slice(1));
  });
});
