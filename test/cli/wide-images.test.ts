/** @file Images that are not square, from the network's flags to the exported model. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { arrayDataset } from '../../src/runtime/data/arrays.js';
import { makeBatch } from '../../src/runtime/data/batches.js';
import { loadDataset } from '../../src/runtime/data/dataset.js';
import { loadBatch } from '../../src/runtime/data/file-batches.js';
import { randomRegion } from '../../src/runtime/data/random.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeImage } from '../helpers/images.js';
import { idxBytes, someBytes } from '../runtime/data/files.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '2'];
const short = ['--epochs', '1', '--batch-size', '4', '--threads', '1', '--json'];

describe('images that are not square', () => {
  it('train, evaluate, export and predict, from files', async () => {
    for (const part of ['train', 'test']) {
      for (const name of ['a', 'b']) {
        for (let image = 0; image < 5; image++) {
          await writeImage(path('photos', part, name, `${image}.png`), 40, 20 + image, image + 1);
        }
      }
    }
    const base = ['train', ...network, ...short, '--data', path('photos'), '--save', path('run')];
    const trained = await densec([...base, '--image-size', '12x20']);
    expect(trained.code, trained.stderr).toBe(0);
    const weights = ['--weights', path('run', 'best.safetensors')];
    const evaluated = await densec(['eval', path('run', 'bundle'), ...weights, '--data', path('photos'), '--json']);
    expect(evaluated.json()).toMatchObject({ error: trained.jsonLines().at(-1)?.testError, count: 10 });
    const exported = await densec(['export', path('run', 'bundle'), ...weights, '-o', path('m.onnx'), '--json']);
    expect(exported.json()).toMatchObject({ inputs: { images: ['N', 3, 12, 20] }, resize: 14 });
    const predicted = await densec(['predict', path('m.onnx'), path('photos', 'test'), '--json']);
    const { predictions } = predicted.json() as { predictions: { image: string; top: { label: string }[] }[] };
    const wrong = predictions.filter(({ image, top }) => !image.includes(`${join('test', top[0]?.label ?? '')}`));
    expect(wrong.length / 10).toBeCloseTo((evaluated.json() as { error: number }).error, 6);
    const verified = await densec(['verify', path('run', 'bundle'), '--batch-size', '2']);
    expect(verified.code, verified.stdout).toBe(0);
  });

  it('are as large as an IDX file has them', async () => {
    mkdirSync(path('idx'));
    for (const [name, count] of [
      ['train', 12],
      ['t10k', 6],
    ] as const) {
      writeFileSync(path('idx', `${name}-images-idx3-ubyte`), idxBytes([count, 8, 12], someBytes(count * 96)));
      const labels = Array.from({ length: count }, (_, index) => index % 3);
      writeFileSync(path('idx', `${name}-labels-idx1-ubyte`), idxBytes([count], labels));
    }
    const base = ['train', ...network, ...short, '--data', path('idx'), '--augment'];
    const trained = await densec([...base, '--save', path('run idx')]);
    expect(trained.code, trained.stderr).toBe(0);
    const refused = await densec([...base, '--save', path('refused'), '--image-size', '8']);
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringMatching(
        /has images of \[3, 8, 12\], the network takes \[3, 8, 8\]; build it with --image-size 8x12/,
      ),
    ]);
    const small = await densec([...base, '--save', path('refused'), '--image-size', '8x1']);
    expect([small.code, small.stderr]).toEqual([
      2,
      expect.stringMatching(/image size is 1; 1 halvings need at least 2/),
    ]);
    const wrong = await densec([...base, '--save', path('refused'), '--image-size', '8x12x3']);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/one number, or two as in 48x64/)]);
  });
});

/** Two rows of three pixels, one image. */
const rows = Uint8Array.of(0, 51, 102, 153, 204, 255);

describe('a batch of them', () => {
  it('has rows and columns in their places, cropped and flipped too', () => {
    const images = { images: rows, labels: [1] };
    const format = { name: 'rows', channels: 1, imageSize: 2, imageWidth: 3, classes: 2 } as const;
    const normalization = { mean: [0], std: [1 / 5] };
    const plain = arrayDataset({ ...format, train: images, test: images, normalization, augmentation: 'crop-flip' });
    const read = (seed?: number): number[] =>
      [
        ...makeBatch(plain, plain.train, [0], seed === undefined ? {} : { augment: { seed, epoch: 0 } }).images.data,
      ].map((value) => Math.round(value));
    expect(makeBatch(plain, plain.train, [0]).images.shape).toEqual([1, 1, 2, 3]);
    expect(read()).toEqual([0, 1, 2, 3, 4, 5]);
    // What a crop may be: the image moved within black, perhaps mirrored.
    const possible = new Set<string>();
    for (const flip of [false, true]) {
      for (let dy = -4; dy <= 4; dy++) {
        for (let dx = -4; dx <= 4; dx++) {
          const shown = Array.from({ length: 6 }, (_, at) => {
            const [y, x] = [Math.floor(at / 3) + dy, (flip ? 2 - (at % 3) : at % 3) + dx];
            return y >= 0 && y < 2 && x >= 0 && x < 3 ? 3 * y + x : 0;
          });
          possible.add(shown.join());
        }
      }
    }
    const seen = new Set(Array.from({ length: 300 }, (_, seed) => read(seed).join()));
    expect([...seen].filter((image) => !possible.has(image))).toEqual([]);
    expect(seen.has('2,1,0,5,4,3') || seen.has('0,1,2,3,4,5')).toBe(true);
    expect(seen.size).toBeGreaterThan(20);
  });

  it('shows parts of files of about their shape, mirrored by rows', async () => {
    for (let draw = 0; draw < 200; draw++) {
      const { width, height } = randomRegion(draw * 7919, 400, 300, 5 / 3);
      expect(width / height).toBeGreaterThan((5 / 3) * 0.74);
      expect(width / height).toBeLessThan((5 / 3) * 1.35);
    }
    const data = await loadDataset(path('photos'), { imageSize: 12, imageWidth: 20, workers: 0 });
    expect(data).toMatchObject({ imageSize: 12, imageWidth: 20, resize: 14 });
    const { images } = await loadBatch(data, data.train, [0, 1], { augment: { seed: 1, epoch: 0 } });
    expect(images.shape).toEqual([2, 3, 12, 20]);
  });
});
