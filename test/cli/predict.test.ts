/** @file densec predict: image files and batches, the classes' names, and files that can't be read. */

import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, type TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();

/** Three channels of 4×4, each even: red, green or blue. */
async function image(name: string, channel: number): Promise<void> {
  const pixels = Uint8Array.from({ length: 48 }, (_, index) => (index % 3 === channel ? 255 : 0));
  await sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } })
    .png()
    .toFile(path(name));
}

/** The beginning of a PNG of such a size: a header is all that it takes to tell that it is too large. */
function hugePng(width: number, height: number): Buffer {
  const bytes = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC',
    'base64',
  );
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
  return bytes;
}

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
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

  it('labels the images of a folder and below, by name, and tells other files', async () => {
    mkdirSync(path('album', 'deep er'), { recursive: true });
    copyFileSync(path('red.png'), path('album', 'b.png'));
    copyFileSync(path('blue.png'), path('album', 'a, "x".PNG'));
    copyFileSync(path('green.png'), path('album', 'deep er', 'ü.png'));
    writeFileSync(path('album', 'notes.txt'), '');
    writeFileSync(path('album', '.hidden.png'), '');
    symlinkSync('..', path('album', 'deep er', 'loop'));
    const result = await densec(['predict', path('colours.onnx'), path('album'), path('red.png'), '--json']);
    expect(result.code, result.stderr).toBe(0);
    const { predictions } = result.json() as { predictions: { image: string; top: { label: string }[] }[] };
    expect(predictions.map(({ image: name, top }) => [name, top[0]?.label])).toEqual([
      [path('album', 'a, "x".PNG'), 'blue'],
      [path('album', 'b.png'), 'red'],
      [path('album', 'deep er', 'ü.png'), 'green'],
      [path('red.png'), 'red'],
    ]);
    expect(result.stderr).toContain('1 file is no image and not used');
    mkdirSync(path('empty'));
    const empty = await densec(['predict', path('colours.onnx'), path('empty')]);
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringMatching(/empty: there is no image in it/)]);
  });

  it('prints CSV, a row an image, with those that cannot be read', async () => {
    const files = ['red.png', 'album', 'broken.png'].map((name) => path(name));
    const result = await densec(['predict', path('colours.onnx'), ...files, '--csv', '--top', '2']);
    expect(result.code).toBe(1);
    const rows = parse(result.stdout, { columns: true }) as Record<string, string>[];
    expect(result.stdout.split('\n')[0]).toBe('image,class,label,probability,class_2,label_2,probability_2,error');
    expect(rows.map(({ image: name, label }) => [name, label])).toEqual([
      [path('red.png'), 'red'],
      [path('album', 'a, "x".PNG'), 'blue'],
      [path('album', 'b.png'), 'red'],
      [path('album', 'deep er', 'ü.png'), 'green'],
      [path('broken.png'), ''],
    ]);
    expect(Number(rows[0]?.probability)).toBeCloseTo(sure, 4);
    expect(rows[0]).toMatchObject({ class: '0', class_2: '1', label_2: 'green', error: '' });
    expect(rows[4]?.error).toMatch(/broken.png can't be read as an image/);
    const both = await densec(['predict', path('colours.onnx'), path('red.png'), '--csv', '--json']);
    expect([both.code, both.stderr]).toEqual([2, expect.stringMatching(/--csv.*--json|--json.*--csv/)]);
  });

  it('says what is wrong with a file, in words of its own', async () => {
    const raw = { width: 300, height: 300, channels: 3 } as const;
    await sharp(
      Uint8Array.from({ length: 270000 }, (_, index) => (index * 7919) % 251),
      { raw },
    )
      .jpeg()
      .toFile(path('cut.jpg'));
    writeFileSync(path('cut.jpg'), readFileSync(path('cut.jpg')).subarray(0, 20000));
    writeFileSync(path('bitmap.png'), 'BM.......');
    writeFileSync(path('huge.png'), hugePng(30000, 20000));
    const files = ['cut.jpg', 'bitmap.png', 'huge.png'].map((name) => path(name));
    const result = await densec(['predict', path('colours.onnx'), ...files, '--json']);
    const { predictions } = result.json() as { predictions: { error: string }[] };
    // Which detail the image library has of a damaged file depends on what its other threads do.
    expect(predictions.map(({ error }) => error.replace(' (premature end of JPEG image)', ''))).toEqual([
      `${path('cut.jpg')} can't be read as an image: the file is damaged or cut off; replace the file or leave it out`,
      `${path('bitmap.png')} can't be read as an image: it is a BMP, and what is read is JPEG, PNG, WebP, GIF (the first picture), TIFF and AVIF; replace the file or leave it out`,
      `${path('huge.png')} has 30000 × 20000 = 600,000,000 pixels, and at most 268,402,689 are decoded; scale it down or leave it out`,
    ]);
    expect(result.stderr).not.toContain('failOn');
  });

  it('takes names of classes from a file with a byte-order mark, and refuses one that is not UTF-8', async () => {
    const flags = ['--weights', path('weights.safetensors'), '--mean', '0,0,0', '--std', '1,1,1', '--force', '--json'];
    const named = ['export', path('net'), ...flags, '-o', path('named.onnx'), '--labels', path('names.txt')];
    writeFileSync(path('names.txt'), '\ufeffröd\r\ngrön\r\nblå\r\n');
    expect((await densec(named)).json()).toMatchObject({ classNames: ['röd', 'grön', 'blå'] });
    writeFileSync(path('names.txt'), Buffer.from('r\ngrön\nb\n', 'latin1'));
    const refused = await densec(named);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/names.txt: line 2 \('grön' in Latin-1\) is not UTF-8; save the file as UTF-8/),
    ]);
  });

  it.each<[string, string[], number, RegExp]>([
    ['nothing to label', ['MODEL'], 2, /image files .* or --batch/],
    ['both kinds at once', ['MODEL', 'IMAGE', '--batch', 'BATCH'], 2, /image files .* or --batch/],
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
