/** @file densec predict: image files and batches, the classes' names, and files that can't be read. */

import { writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, type TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();

/** Three channels of 4×4, each even: red, green or blue. */
async function image(name: string, channel: number): Promise<void> {
  const pixels = Uint8Array.from({ length: 48 }, (_, index) => (index % 3 === channel ? 255 : 0));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } })
    .png()
    .toFile(path(name));
}

/** A network whose features are the channels' means and whose logits are 4 of them: its answers can be told beforehand. */
async function exportColours(): Promise<void> {
  const shape = [
    '--block-config',
    '1',
    '--growth-rate',
    '1',
    '--init-features',
    '3',
    '--image-size',
    '4',
    '--classes',
    '3',
  ];
  await densec(['build', ...shape, '-o', path('net')]);
  const { tensors } = await readSafetensors(path('net', 'initial.safetensors'));
  const set = (name: string, data: number[]): void => {
    tensors.set(name, floatTensor(tensors.get(name)?.shape ?? [], data));
  };
  // The stem passes each channel on through the middle of its kernel.
  set(
    'features.conv0.weight',
    Array.from({ length: 81 }, (_, index) => (index % 9 === 4 && Math.floor(index / 9) % 4 === 0 ? 1 : 0)),
  );
  set('classifier.weight', [4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0]);
  set('classifier.bias', [0, 0, 0]);
  await writeSafetensors(path('weights.safetensors'), tensors as Map<string, TensorData>);
  writeFileSync(path('labels.txt'), 'red\ngreen\nblue\n');
  const flags = ['--mean', '0,0,0', '--std', '1,1,1', '--labels', path('labels.txt')];
  const result = await densec([
    'export',
    path('net'),
    '--weights',
    path('weights.safetensors'),
    ...flags,
    '-o',
    path('colours.onnx'),
  ]);
  expect(result.code, result.stderr).toBe(0);
  await densec(['export', path('net'), '--weights', path('weights.safetensors'), '-o', path('bare.onnx')]);
}

/** Probability of a logit of 4 (scaled by batch norm's √(1 + 1e-5)) against two of 0. */
const sure = Math.exp(4) / (Math.exp(4) + 2);

beforeAll(async () => {
  await exportColours();
  for (const [channel, name] of ['red.png', 'green.png', 'blue.png'].entries()) await image(name, channel);
  writeFileSync(path('broken.png'), 'no image');
});

describe('predict', () => {
  it('labels image files by name', async () => {
    const result = await densec(['predict', path('colours.onnx'), path('green.png'), path('blue.png')]);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout.trim().split('\n')).toEqual([
      `${path('green.png')}  green ${(100 * sure).toFixed(2)} %`,
      `${path('blue.png')}  blue ${(100 * sure).toFixed(2)} %`,
    ]);
  });

  it('tells the likeliest classes as JSON, and goes on past files that it names and counts', async () => {
    const files = ['red.png', 'broken.png', 'none.png', 'blue.png'].map((name) => path(name));
    const result = await densec(['predict', path('colours.onnx'), ...files, '--top', '2', '--json']);
    expect(result.code).toBe(1);
    const { predictions, failed } = result.json() as {
      predictions: { image: string; top?: unknown[] }[];
      failed: number;
    };
    expect(failed).toBe(2);
    expect(predictions.map(({ image: name }) => name)).toEqual(files);
    expect(predictions[0]?.top).toEqual([
      { class: 0, label: 'red', probability: expect.closeTo(sure, 4) },
      { class: 1, label: 'green', probability: expect.closeTo((1 - sure) / 2, 4) },
    ]);
    expect(predictions[1]).toMatchObject({ error: expect.stringMatching(/broken.png can't be read as an image/) });
    expect(predictions[2]).toMatchObject({ error: expect.stringMatching(/none.png: there is no such file/) });
    expect(predictions[3]?.top?.[0]).toMatchObject({ label: 'blue' });
    expect(result.stderr).toMatch(/2 of 4 images could not be read/);
  });

  it('labels a batch file, of any length', async () => {
    const images = Float32Array.from({ length: 20 * 48 }, (_, index) =>
      Math.floor(index / 16) % 3 === Math.floor(index / 48) % 3 ? 1 : 0,
    );
    await writeSafetensors(path('batch.safetensors'), new Map([['images', floatTensor([20, 3, 4, 4], images)]]));
    const result = await densec(['predict', path('bare.onnx'), '--batch', path('batch.safetensors'), '--json']);
    const { predictions } = result.json() as { predictions: { image: string; top: { label: string }[] }[] };
    expect(predictions.map(({ top }) => top[0]?.label)).toEqual(
      Array.from({ length: 20 }, (_, index) => `${index % 3}`),
    );
    expect(predictions[19]?.image).toBe(`${path('batch.safetensors')}[19]`);
  });

  it.each<[string, string[], number, RegExp]>([
    ['nothing to label', ['MODEL'], 2, /image files or --batch/],
    ['both kinds at once', ['MODEL', 'IMAGE', '--batch', 'BATCH'], 2, /image files or --batch/],
    ['a model that does not know how images are normalized', ['BARE', 'IMAGE'], 2, /--mean and --std/],
    ['a model of another kind', ['EVAL', 'IMAGE'], 1, /not a model that densec exported/],
    ['a file that is no model', ['IMAGE', 'IMAGE'], 1, /is not an ONNX model/],
    ['a batch without images', ['MODEL', '--batch', 'WEIGHTS'], 2, /must hold images float32/],
  ])('refuses %s', async (_, args, code, message) => {
    const places: Record<string, string> = {
      MODEL: path('colours.onnx'),
      BARE: path('bare.onnx'),
      EVAL: path('net', 'eval_model.onnx'),
      IMAGE: path('red.png'),
      BATCH: path('batch.safetensors'),
      WEIGHTS: path('weights.safetensors'),
    };
    const result = await densec(['predict', ...args.map((arg) => places[arg] ?? arg)]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(result.stdout).toBe('');
  });
});
