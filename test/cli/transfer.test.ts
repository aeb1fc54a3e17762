/** @file Weights of another network, under torchvision's names, on an image folder of other classes: train to predict. */

import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, type TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { writeImageFolder } from '../helpers/images.js';

const path = temporaryFolder();
const photos = path('photos');
const shape = ['--block-config', '2,1', '--growth-rate', '4', '--no-small-inputs', '--image-size', '32'];
const short = ['--data', photos, '--epochs', '1', '--batch-size', '4', '--valid-size', '2', '--threads', '1'];

/** torchvision's names, old or new, for ours. */
function torchName(name: string, old: boolean): string {
  const renamed = name.replace('norm_final', 'norm5');
  return old ? renamed.replace(/(denselayer\d+)\.(norm|conv)(\d)/, '$1.$2.$3') : renamed;
}

async function writeTorch(source: string, file: string, old: boolean): Promise<void> {
  const { tensors } = await readSafetensors(source);
  const renamed = [...tensors].map(([name, tensor]): [string, TensorData] => [torchName(name, old), tensor]);
  await writeSafetensors(file, renamed);
}

function expectDone(result: CliResult): void {
  expect([result.code, result.stderr]).toEqual([0, expect.any(String)]);
}

beforeAll(async () => {
  await writeImageFolder(photos, { train: 8, val: 3 });
  expectDone(await densec(['build', ...shape, '--classes', '7', '--seed', '5', '-o', path('pretrained')]));
  await writeTorch(path('pretrained', 'initial.safetensors'), path('old.safetensors'), true);
});

describe('densec train --init on an image folder of other classes', () => {
  const tuned = path('tuned', 'best.safetensors');

  it('keeps what is frozen, gives the classes a fresh layer, and trains that', async () => {
    const flags = [...shape, '--init', path('old.safetensors'), '--freeze', 'features', '--save', path('tuned')];
    const result = await densec(['train', ...flags, ...short, '--lr', '0.01']);
    expectDone(result);
    expect(result.stderr).toMatch(/other classes apart; these begin with fresh values: classifier.weight/);
    const [before, after] = [
      (await readSafetensors(path('pretrained', 'initial.safetensors'))).tensors,
      (await readSafetensors(tuned)).tensors,
    ];
    const kept = [...before].filter(([name]) => /^features\..*(weight|bias)$/.test(name));
    expect(kept.length).toBeGreaterThan(10);
    for (const [name, tensor] of kept) expect(after.get(name), name).toEqual(tensor);
    expect(after.get('classifier.weight')?.shape[0]).toBe(2);
    const fresh = (await readSafetensors(path('tuned', 'bundle', 'initial.safetensors'))).tensors;
    expect(after.get('classifier.weight')).not.toEqual(fresh.get('classifier.weight'));
  });

  it('resumes, evaluates and labels files by the names of their folders', async () => {
    const resumed = await densec(['train', '--resume', '--save', path('tuned'), '--json']);
    expectDone(resumed);
    const { testLoss, testError } = resumed.jsonLines().at(-1) as { testLoss: number; testError: number };
    // The same weights under torchvision's names are the same weights; only ours carry the normalization.
    const metadata = (await readSafetensors(tuned)).metadata;
    await writeTorch(tuned, path('bare.safetensors'), false);
    const { tensors } = await readSafetensors(path('bare.safetensors'));
    await writeSafetensors(path('torch.safetensors'), tensors as Map<string, TensorData>, metadata);
    for (const weights of [tuned, path('torch.safetensors')]) {
      const evaluated = await densec([
        'eval',
        path('tuned', 'bundle'),
        '--weights',
        weights,
        '--data',
        photos,
        '--json',
      ]);
      expect(evaluated.json()).toMatchObject({ loss: expect.closeTo(testLoss, 5), error: testError, count: 6 });
    }
    // Without it, it is measured anew on the training images, which are the same.
    const measured = await densec([
      'eval',
      path('tuned', 'bundle'),
      '--weights',
      path('bare.safetensors'),
      '--data',
      photos,
      '--json',
    ]);
    expect(measured.json()).toMatchObject({ loss: expect.closeTo(testLoss, 5) });

    const model = path('tuned.onnx');
    expectDone(await densec(['export', path('tuned', 'bundle'), '--weights', path('torch.safetensors'), '-o', model]));
    const files = ['0.png', '1.jpg'].map((name) => join(photos, 'val', 'cat', name));
    const predicted = await densec(['predict', model, ...files, '--top', '2', '--json']);
    const { predictions } = predicted.json() as { predictions: { top: { label: string }[] }[] };
    expect(predictions.map(({ top }) => top.map(({ label }) => label).sort())).toEqual([
      ['cat', 'dog'],
      ['cat', 'dog'],
    ]);
  });

  it('with more classes than the data has says so, and its model names the others by number', async () => {
    const flags = [...shape, '--classes', '4', '--init', path('old.safetensors'), '--save', path('wide')];
    const result = await densec(['train', ...flags, ...short, '--lr', '0.001', '--limit', '8']);
    expectDone(result);
    expect(result.stderr).toContain(
      `the network tells 4 classes apart, ${photos} has 2: --classes 2 builds one for it`,
    );
    const weights = ['--weights', path('wide', 'best.safetensors')];
    const exported = await densec(['export', path('wide', 'bundle'), ...weights, '-o', path('wide.onnx'), '--json']);
    expectDone(exported);
    expect(exported.json().classNames).toEqual(['cat', 'dog', '2', '3']);
  });
});

describe('weights of other classes', () => {
  it.each<[string, string[], number, RegExp]>([
    [
      'are refused by eval',
      ['eval', path('tuned', 'bundle'), '--weights', path('old.safetensors'), '--data', photos],
      2,
      /classifier.weight is float32 \[7, \d+\], the network has float32 \[2, \d+\]/,
    ],
    [
      'are refused by export',
      ['export', path('pretrained'), '--weights', path('tuned', 'best.safetensors'), '-o', path('no.onnx')],
      2,
      /classifier.weight is float32 \[2, \d+\], the network has float32 \[7, \d+\]/,
    ],
    [
      'are refused where more than the classes differ',
      [
        'train',
        '--block-config',
        '2,2',
        '--no-small-inputs',
        ...short,
        '--init',
        path('old.safetensors'),
        '--save',
        path('no'),
      ],
      2,
      /lacks \d+ .*\n.*have another shape/,
    ],
  ])('%s', async (_, args, code, message) => {
    const result = await densec(args);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });

  it('a network with too few of them is refused by eval and train', async () => {
    const three = path('three');
    cpSync(photos, three, { recursive: true });
    for (const part of readdirSync(three)) {
      const [first = ''] = readdirSync(join(three, part));
      cpSync(join(three, part, first), join(three, part, 'zebra'), { recursive: true });
    }
    expectDone(await densec(['build', ...shape, '--classes', '2', '-o', path('two')]));
    const { tensors } = await readSafetensors(path('two', 'initial.safetensors'));
    expect(tensors.get('classifier.bias')).toEqual(floatTensor([2], [0, 0]));
    const weights = ['--weights', path('two', 'initial.safetensors')];
    for (const args of [
      ['eval', path('two'), ...weights, '--data', three],
      ['train', path('two'), ...short, '--data', three, '--save', path('few')],
    ]) {
      const result = await densec(args);
      expect([result.code, result.stderr]).toEqual([
        1,
        expect.stringMatching(/has the label 2 but the network has 2 classes/),
      ]);
    }
  });
});
