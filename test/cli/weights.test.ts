/** @file densec export, and train from weights of another network with part of it frozen. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, int64Tensor, type TensorData } from '../../src/ir/index.js';
import { decodeModel, modelMetadata } from '../../src/onnx/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const shape = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8', '--channels', '1'];

beforeAll(async () => {
  const result = await densec(['build', ...shape, '--classes', '5', '-o', path('net')]);
  expect(result.code, result.stderr).toBe(0);
  const { tensors } = await readSafetensors(path('net', 'initial.safetensors'));
  const renamed = [...tensors].map(([name, tensor]): [string, TensorData] => [
    `module.${name.replace('norm_final', 'norm5')}`,
    tensor,
  ]);
  await writeSafetensors(path('torch.safetensors'), [...renamed, ['module.extra', floatTensor([1], [0])]]);
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 60, 20);
});

describe('export', () => {
  const weights = ['--weights', path('torch.safetensors')];

  it("writes a model that gives evaluation's loss, from weights by torchvision's names", async () => {
    const labels = 'zero\none\ntwo\nthree\nfour\n';
    writeFileSync(path('labels.txt'), labels);
    const description = ['--mean', '0.25', '--std', '0.5', '--labels', path('labels.txt')];
    const result = await densec([
      'export',
      path('net'),
      ...weights,
      ...description,
      '-o',
      path('model.onnx'),
      '--json',
    ]);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/1 tensors have no place in the network and are not used: module.extra/);
    expect(result.json()).toMatchObject({
      output: path('model.onnx'),
      inputs: { images: ['N', 1, 8, 8] },
      outputs: { logits: ['N', 5], probabilities: ['N', 5] },
      normalization: { mean: [0.25], std: [0.5] },
      classNames: labels.trim().split('\n'),
    });
    expect(modelMetadata(decodeModel(readFileSync(path('model.onnx')), 'model.onnx'))['densec.network']).toMatch(
      /densenet_1_1_k4/,
    );

    const images = Float32Array.from({ length: 3 * 64 }, (_, index) => Math.sin(index));
    const batch = new Map<string, TensorData>([
      ['images', floatTensor([3, 1, 8, 8], images)],
      ['labels', int64Tensor([3], [0, 4, 2])],
    ]);
    await writeSafetensors(path('batch.safetensors'), batch);
    const evaluated = await densec(['eval', path('net'), ...weights, '--batch', path('batch.safetensors'), '--json']);
    const session = await InferenceSession.create(path('model.onnx'));
    const { probabilities } = await session.run({ images: new Tensor('float32', images, [3, 1, 8, 8]) });
    await session.release();
    const chosen = [0, 4, 2].map((label, row) => Number(probabilities?.data[row * 5 + label]));
    const loss = -chosen.reduce((sum, probability) => sum + Math.log(probability), 0) / 3;
    expect(loss).toBeCloseTo(evaluated.json().loss as number, 5);
  });

  it.each<[string, string[], number, RegExp]>([
    ['to replace a file', ['-o', path('labels.txt')], 1, /exists already.*--force/],
    ['a mean alone', ['-o', path('x.onnx'), '--mean', '0.5'], 2, /--mean is given alone/],
    [
      'a mean of three channels for one',
      ['-o', path('x.onnx'), '--mean', '0,0,0', '--std', '1,1,1'],
      2,
      /3 numbers.* 1 channels/,
    ],
    ['a deviation of 0', ['-o', path('x.onnx'), '--mean', '0', '--std', '0'], 2, /--std holds 0/],
    ['too many names', ['-o', path('x.onnx'), '--labels', path('six.txt')], 2, /6 class names.* 5 classes/],
    ['a missing folder', ['-o', path('none', 'x.onnx')], 1, /no folder .*none.*create it/],
  ])('refuses %s', async (_, flags, code, message) => {
    writeFileSync(path('six.txt'), 'a\nb\nc\nd\ne\nf\n');
    const result = await densec(['export', path('net'), ...weights, ...flags]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(existsSync(path('x.onnx'))).toBe(false);
  });
});

describe('train', () => {
  const start = (save: string, ...flags: string[]): string[] => [
    ...['train', '--data', path('digits'), '--save', path(save), '--epochs', '1', '--batch-size', '16'],
    ...['--valid-size', '10', '--lr', '0.05', ...flags],
  ];
  const network = ['--block-config', '1,1', '--growth-rate', '4', '--channels', '1'];

  it('begins with given weights, a fresh classifier and the rest frozen', async () => {
    const result = await densec(
      start('tuned', ...network, '--init', path('torch.safetensors'), '--freeze', 'features'),
    );
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(/other classes apart; .* fresh values: classifier.weight, classifier.bias/);
    const before = (await readSafetensors(path('net', 'initial.safetensors'))).tensors;
    const after = (await readSafetensors(path('tuned', 'last.safetensors'))).tensors;
    expect(after.get('classifier.weight')?.shape[0]).toBe(3);
    expect(after.get('features.conv0.weight')).toEqual(before.get('features.conv0.weight'));
    expect(after.get('features.norm_final.bias')).toEqual(before.get('features.norm_final.bias'));
    expect(after.get('features.norm_final.running_var')).not.toEqual(before.get('features.norm_final.running_var'));
    const fresh = (await readSafetensors(path('tuned', 'bundle', 'initial.safetensors'))).tensors;
    expect(after.get('classifier.weight')).not.toEqual(fresh.get('classifier.weight'));
    expect([...after.keys()].filter((name) => name.startsWith('momentum.')).sort()).toEqual([
      'momentum.classifier.bias',
      'momentum.classifier.weight',
    ]);
    const info = await densec(['info', path('tuned', 'bundle'), '--json']);
    expect(info.json().frozen).toBe(
      (info.json().parameters as number) - 3 * (fresh.get('classifier.weight')?.shape[1] ?? 0) - 3,
    );
    const plan = await densec(['plan', path('tuned', 'bundle'), '--batch-size', '4', '--json']);
    expect(plan.code, plan.stderr).toBe(0);
  });

  it('begins a bundle with given weights too', async () => {
    const flags = ['--init', path('torch.safetensors'), '--lr', '1e-30', '--limit', '20'];
    const result = await densec([...start('bundle-init', ...flags), path('net')]);
    expect(result.code, result.stderr).toBe(0);
    const { tensors } = await readSafetensors(path('bundle-init', 'last.safetensors'));
    const given = (await readSafetensors(path('torch.safetensors'))).tensors;
    expect(tensors.get('classifier.weight')).toEqual(given.get('module.classifier.weight'));
  });

  it.each<[string, string[], number, RegExp]>([
    ['a name that fits nothing', [...network, '--freeze', 'feature'], 2, /no parameter's name begins with feature,/],
    ['to freeze part of a bundle', [path('net'), '--freeze', 'features'], 2, /freeze/],
    [
      'weights of another network',
      ['--block-config', '2', '--channels', '1', '--init', path('torch.safetensors')],
      2,
      /lacks \d+ .*\n.*have another shape/,
    ],
    ['weights that are not there', [...network, '--init', path('none.safetensors')], 1, /no such file/],
  ])('refuses %s', async (_, flags, code, message) => {
    const result = await densec(start('refused', ...flags));
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(existsSync(path('refused'))).toBe(false);
  });
});
