/** @file Arrays of numpy as a data set: archives that numpy wrote (test/fixtures/numpy), whole and damaged. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeBatch } from '../../../src/runtime/data/batches.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { ZipFile } from '../../../src/runtime/data/zip-file.js';
import { makeFolder, pixelsOf } from './files.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/numpy/${name}`, import.meta.url));

/** What make.py fills images with. */
const bytes = (count: number): number[] => Array.from({ length: count }, (_, at) => (at * 7) % 251);

describe('arrays of numpy', () => {
  it("are read under keras' names, deflated, grey and not square", async () => {
    const data = await loadDataset(fixture('keras.npz'));
    expect(data).toMatchObject({ name: 'keras', classes: 3, channels: 3, imageSize: 4, imageWidth: 5 });
    expect(data).toMatchObject({ augmentation: 'crop', augmentByDefault: false });
    expect([...data.train.labels, ...data.test.labels]).toEqual([0, 1, 2, 0, 1, 2, 2, 1, 0]);
    expect([...pixelsOf(data.train)]).toEqual(bytes(120));
    expect((await loadDataset(fixture('keras.npz'), { channels: 1, limit: 2 })).train.count).toBe(2);
  });

  it("are read under medmnist's names, in colour, big-endian, with labels above 255, and get a border", async () => {
    const data = await loadDataset(fixture('medmnist.npz'));
    expect(data).toMatchObject({ classes: 301, channels: 3, imageSize: 32, border: 2, notes: [] });
    expect([data.train.count, data.validation?.count, data.test.count]).toEqual([4, 2, 3]);
    expect([...data.train.labels]).toEqual([0, 1, 300, 1]);
    // The pixel (0, 1) of the first image, green: byte 4 of the array, behind a border of 2.
    expect(pixelsOf(data.train)[32 * 32 + 2 * 32 + 3]).toBe((4 * 7) % 251);
    expect(() => makeBatch(data, data.test, [0, 1, 2])).not.toThrow();
    await expect(loadDataset(fixture('medmnist.npz'), { channels: 1 })).rejects.toThrow(/build it with --channels 3/);
  });

  it('have several labels an image where the loss asks for them, and validation images for the test too', async () => {
    const data = await loadDataset(fixture('labels.npz'), { task: 'labels' });
    expect(data).toMatchObject({ task: 'labels', classes: 4, imageSize: 6 });
    expect([...(data.train.targets ?? [])]).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    expect([...(data.test.targets ?? [])]).toEqual([1, 1, 0, 0, 1, 1, 0, 0]);
    expect(data.validation).toBe(data.test);
    expect(data.notes).toEqual([expect.stringContaining('those for validation (x_val) are for the final test too')]);
    expect([...pixelsOf(data.train)]).toEqual(bytes(4 * 108));
  });

  it('are read of a folder with one archive, or with .npy files', async () => {
    const folder = await makeFolder();
    writeFileSync(join(folder, 'mine.npz'), readFileSync(fixture('keras.npz')));
    const whole = await loadDataset(fixture('keras.npz'));
    expect((await loadDataset(folder)).train).toEqual(whole.train);
    const arrays = await makeFolder();
    const zip = await ZipFile.open(fixture('keras.npz'));
    for (const member of zip.members.values()) writeFileSync(join(arrays, member.name), await zip.read(member));
    await zip.close();
    expect((await loadDataset(arrays)).test).toEqual(whole.test);
    await expect(loadDataset(join(arrays, 'x_train.npy'))).rejects.toThrow(/one array of numpy: give the folder/);
    writeFileSync(join(folder, 'other.npz'), '');
    await expect(loadDataset(folder)).rejects.toThrow(/there are 2 \.npz files, as mine\.npz: give one of them/);
  });

  it.each([
    ['objects', /x_train holds Python objects \(a pickle, which could run code\)/],
    ['floats', /x_train holds numbers of the type f4, and images are bytes.*astype\(numpy\.uint8\)/],
    ['columns', /x_train is stored column by column; write numpy\.ascontiguousarray/],
    ['words', /y_test holds text/],
    ['one-hot', /y_test is 2×2, and a class is one number an image: save y\.argmax\(1\)/],
    ['names', /has the arrays a, b, and no training images are among them; call the arrays x_train/],
  ])('are refused where they are %s', async (name, message) => {
    await expect(loadDataset(fixture(`${name}.npz`))).rejects.toThrow(message);
  });

  it('are refused where the archive is damaged, wherever that is', async () => {
    const folder = await makeFolder();
    mkdirSync(join(folder, 'x'));
    const whole = readFileSync(fixture('keras.npz'));
    const load = (name: string, content: Buffer): Promise<unknown> => {
      writeFileSync(join(folder, name), content);
      return loadDataset(join(folder, name));
    };
    await expect(load('cut.npz', whole.subarray(0, 300))).rejects.toThrow(/not a zip archive.*or cut off/);
    await expect(load('empty.npz', Buffer.alloc(0))).rejects.toThrow(/not a zip archive/);
    const stored = readFileSync(fixture('medmnist.npz'));
    stored.writeUInt8(stored.readUInt8(900) ^ 1, 900);
    await expect(load('changed.npz', stored)).rejects.toThrow(
      /train_images\.npy is not what it was; the archive is damaged/,
    );
    // Any byte changed gives the same data or a failure that names the file, never another error.
    for (let at = 0; at < whole.length; at += 3) {
      const broken = Buffer.from(whole);
      broken.writeUInt8(broken.readUInt8(at) ^ 0xff, at);
      await load('broken.npz', broken).catch((error: Error) => {
        expect([error.name, error.message]).toEqual(['FailureError', expect.stringContaining('broken.npz')]);
      });
    }
  });
});
