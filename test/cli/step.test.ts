/** @file densec step and eval: numbers of a PyTorch fixture through the built command, and every kind of bad input. */

import { copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, int64Tensor } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const fixture = (file: string): string => fileURLToPath(new URL(`../fixtures/torch/cifar/${file}`, import.meta.url));
const reference = JSON.parse(readFileSync(fixture('losses.json'), 'utf8')) as {
  losses: number[];
  evalLossBefore: number;
  lr: number;
  config: { growthRate: number; blockConfig: number[]; imageSize: number };
};
const inputs = ['--state', fixture('state.safetensors'), '--batch', fixture('batch.safetensors')];

beforeAll(async () => {
  const { growthRate, blockConfig, imageSize } = reference.config;
  const flags = [
    '--block-config',
    blockConfig.join(),
    '--growth-rate',
    `${growthRate}`,
    '--image-size',
    `${imageSize}`,
  ];
  const result = await densec(['build', ...flags, '-o', path('net')]);
  expect(result.code, result.stderr).toBe(0);
});

describe('step', () => {
  it("follows PyTorch's losses and saves parameters, momentum and running statistics", async () => {
    const steps = reference.losses.length;
    const flags = ['--lr', `${reference.lr}`, '--steps', `${steps}`, '--save', path('after.safetensors'), '--json'];
    const result = await densec(['step', path('net'), ...inputs, ...flags]);
    expect(result.code, result.stderr).toBe(0);
    const { losses } = result.json() as { losses: number[] };
    expect(losses).toHaveLength(steps);
    for (const [step, loss] of losses.entries()) expect(loss).toBeCloseTo(reference.losses[step] ?? Number.NaN, 4);
    const { tensors } = await readSafetensors(path('after.safetensors'));
    const counter = 'features.norm_final.num_batches_tracked';
    expect(tensors.get(counter)).toEqual(int64Tensor([], [steps]));
    expect(tensors.get('momentum.features.conv0.weight')?.shape).toEqual(tensors.get('features.conv0.weight')?.shape);
    expect(tensors.has('momentum.features.norm_final.running_mean')).toBe(false);
  });

  it('warns of a loss that is no number, which JSON has none for', async () => {
    const flags = ['--lr', '1e30', '--steps', '3', '--save', path('lost.safetensors'), '--json'];
    const result = await densec(['step', path('net'), ...inputs, ...flags]);
    expect((result.json() as { losses: unknown[] }).losses).toEqual([expect.any(Number), null, null]);
    expect(result.stderr).toMatch(/warning: the loss is no finite number from step 2 on/);
  });

  it('goes on from the momentum that a state brings', async () => {
    const flags = (state: string, steps: number, save: string): string[] => [
      'step',
      path('net'),
      '--state',
      state,
      '--batch',
      fixture('batch.safetensors'),
      '--lr',
      '0.05',
      '--steps',
      `${steps}`,
      '--save',
      path(save),
      '--json',
    ];
    const whole = await densec(flags(fixture('state.safetensors'), 3, 'whole.safetensors'));
    await densec(flags(fixture('state.safetensors'), 1, 'first.safetensors'));
    const rest = await densec(flags(path('first.safetensors'), 2, 'rest.safetensors'));
    expect(rest.json().losses).toEqual((whole.json().losses as number[]).slice(1));
    expect(readFileSync(path('rest.safetensors')).equals(readFileSync(path('whole.safetensors')))).toBe(true);
  });

  it('runs on the number of threads it is told, and refuses devices that it has not', async () => {
    const flags = [...inputs, '--lr', '0.1', '--save', path('threads.safetensors')];
    expect((await densec(['step', path('net'), ...flags, '--threads', '1'])).stdout).toMatch(/step 1 {2}loss/);
    const unknown = await densec(['step', path('net'), ...flags, '--device', 'tpu']);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringMatching(/choose cpu, webgpu, cuda/)]);
    const other = await densec(['step', path('net'), ...flags, '--device', 'webgpu']);
    expect([other.code, other.stderr]).toEqual([2, expect.stringMatching(/--target webgpu/)]);
  });

  it('refuses to write over its inputs', async () => {
    const result = await densec([
      'step',
      path('net'),
      ...inputs,
      '--lr',
      '0.1',
      '--save',
      fixture('state.safetensors'),
    ]);
    expect([result.code, result.stderr]).toEqual([2, expect.stringMatching(/would replace an input/)]);
  });
});

describe('eval', () => {
  it("gives PyTorch's loss in eval mode", async () => {
    const flags = ['--weights', fixture('state.safetensors'), '--batch', fixture('batch.safetensors'), '--json'];
    const result = await densec(['eval', path('net'), ...flags]);
    expect(result.code, result.stderr).toBe(0);
    const { loss, error, count } = result.json() as { loss: number; error: number; count: number };
    expect(Math.abs(loss / reference.evalLossBefore - 1)).toBeLessThan(1e-5);
    expect(error).toBeGreaterThanOrEqual(0);
    expect(error).toBeLessThanOrEqual(1);
    expect(count).toBeGreaterThan(1);
  });

  it('wants one source of images', async () => {
    const result = await densec(['eval', path('net'), '--weights', fixture('state.safetensors')]);
    expect([result.code, result.stderr]).toEqual([2, expect.stringMatching(/--data SOURCE or --batch FILE/)]);
  });
});

describe('bad input', () => {
  const size = reference.config.imageSize;
  const images = (shape: readonly number[]): ReturnType<typeof floatTensor> =>
    floatTensor(shape, new Float32Array(shape.reduce((product, extent) => product * extent, 1)));
  const batches: Record<string, Parameters<typeof writeSafetensors>[1]> = {
    'images of another size': [
      ['images', images([2, 3, size + 1, size])],
      ['labels', int64Tensor([2], [0, 1])],
    ],
    'images of one channel': [
      ['images', images([2, 1, size, size])],
      ['labels', int64Tensor([2], [0, 1])],
    ],
    'too few labels': [
      ['images', images([2, 3, size, size])],
      ['labels', int64Tensor([1], [0])],
    ],
    'no image': [
      ['images', images([0, 3, size, size])],
      ['labels', int64Tensor([0], [])],
    ],
    'no labels': [['images', images([2, 3, size, size])]],
    'labels as floats': [
      ['images', images([2, 3, size, size])],
      ['labels', floatTensor([2], [0, 1])],
    ],
    'a label too large': [
      ['images', images([2, 3, size, size])],
      ['labels', int64Tensor([2], [0, 10])],
    ],
    'a negative label': [
      ['images', images([2, 3, size, size])],
      ['labels', int64Tensor([2], [-1, 0])],
    ],
  };

  it.each([
    ['images of another size', 2, /the network takes \[N, 3/],
    ['images of one channel', 2, /the network takes \[N, 3/],
    ['too few labels', 2, /\[1\] labels for 2 images/],
    ['no image', 2, /the batch is empty/],
    ['no labels', 2, /must hold images float32/],
    ['labels as floats', 2, /labels float32 \[2\]/],
    ['a label too large', 1, /label 10 of image 1 .*0 to 9/],
    ['a negative label', 1, /label -1 of image 0/],
  ])('a batch with %s', async (name, code, message) => {
    await writeSafetensors(path('bad.safetensors'), batches[name] ?? []);
    const flags = ['--state', fixture('state.safetensors'), '--batch', path('bad.safetensors')];
    const result = await densec(['step', path('net'), ...flags, '--lr', '0.1', '--save', path('none.safetensors')]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(existsSync(path('none.safetensors'))).toBe(false);
  });

  it.each<[string, (file: string) => void, number, RegExp]>([
    ['truncated', (file) => truncateSync(file, 500), 1, /the file is truncated or not safetensors/],
    ['empty', (file) => truncateSync(file, 0), 1, /truncated or not safetensors/],
    [
      'text',
      (file) => writeFileSync(file, 'these are no weights, but they are longer than a header'),
      1,
      /not safetensors/,
    ],
    [
      'announcing a terabyte',
      (file) => writeFileSync(file, announce({ w: { dtype: 'F32', shape: [2 ** 38], data_offsets: [0, 2 ** 40] } })),
      1,
      /truncated or not safetensors/,
    ],
    ['of another network', (file) => writeFileSync(file, announce({})), 1, /lacks \d+ of the network's tensors/],
  ])('a state file that is %s', async (_, damage, code, message) => {
    copyFileSync(fixture('state.safetensors'), path('state.safetensors'));
    damage(path('state.safetensors'));
    const flags = ['--state', path('state.safetensors'), '--batch', fixture('batch.safetensors')];
    const result = await densec(['step', path('net'), ...flags, '--lr', '0.1', '--save', path('none.safetensors')]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });

  it('weights of another shape', async () => {
    const { tensors } = await readSafetensors(fixture('state.safetensors'));
    await writeSafetensors(
      path('shape.safetensors'),
      [...tensors, ['classifier.bias', floatTensor([3], [0, 0, 0])]].reduce(
        (all, [name, tensor]) => all.set(name as string, tensor as never),
        new Map<string, never>(),
      ),
    );
    const result = await densec([
      'eval',
      path('net'),
      '--weights',
      path('shape.safetensors'),
      '--batch',
      fixture('batch.safetensors'),
    ]);
    expect([result.code, result.stderr]).toEqual([
      2,
      expect.stringMatching(/classifier.bias is float32 \[3\], the network has float32 \[10\]/),
    ]);
  });

  it('missing files and folders', async () => {
    const state = await densec([
      'eval',
      path('net'),
      '--weights',
      path('none'),
      '--batch',
      fixture('batch.safetensors'),
    ]);
    expect([state.code, state.stderr]).toEqual([1, expect.stringContaining(path('none'))]);
    const data = await densec(['eval', path('net'), '--weights', fixture('state.safetensors'), '--data', path('none')]);
    expect([data.code, data.stderr]).toEqual([1, expect.stringContaining(path('none'))]);
    mkdirSync(path('empty'));
    const empty = await densec([
      'eval',
      path('net'),
      '--weights',
      fixture('state.safetensors'),
      '--data',
      path('empty'),
    ]);
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringMatching(/looked for/)]);
  });
});

/** A safetensors file with this header and no data. */
function announce(header: object): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
