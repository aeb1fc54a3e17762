/** @file densec train: events, files and repetition, on a small data set of our own. Interruptions: interrupt.test.ts. */

import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeCifar10, writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.2'];
const training = ['--epochs', '2', '--batch-size', '16', '--valid-size', '20', '--lr', '0.05'];

const start = (save: string, ...flags: string[]): string[] => [
  'train',
  ...network,
  '--data',
  path('digits'),
  '--save',
  path(save),
  ...training,
  ...flags,
];

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 120, 40);
});

describe('train', () => {
  it('goes from flags and data to tested weights', async () => {
    const result = await densec(start('run', '--json'));
    expect(result.code, result.stderr).toBe(0);
    const events = result.jsonLines();
    const named = (event: string): Record<string, unknown>[] => events.filter((each) => each.event === event);
    // 100 training images in batches of 16: six whole ones and one of 4.
    expect(named('step')).toHaveLength(14);
    expect(named('step')[0]).toMatchObject({ epoch: 1, epochs: 2, batch: 1, batches: 7, learningRate: 0.05 });
    // Half of the run is over after the first of two epochs.
    expect(named('step')[7]?.learningRate).toBeCloseTo(0.005, 12);
    expect(named('epoch')).toHaveLength(2);
    // Before the first step, and after each epoch.
    expect(named('checkpoint').map(({ step }) => step)).toEqual([0, 7, 14]);
    expect(named('evaluation').at(-1)).toMatchObject({ split: 'test', done: 40, count: 40 });
    expect(events.at(-1)).toMatchObject({
      event: 'result',
      interrupted: false,
      epochs: 2,
      steps: 14,
      save: path('run'),
    });
    expect(events.at(-1)?.testError).toBeGreaterThanOrEqual(0);
    const files = [
      'best.safetensors',
      'bundle',
      'curves.svg',
      'last.safetensors',
      'metrics.csv',
      'report.html',
      'results.csv',
    ];
    expect(readdirSync(path('run')).sort()).toEqual(files);
  });

  it("writes results.csv in the seed's columns", () => {
    const lines = readFileSync(path('run', 'results.csv'), 'utf8').trim().split('\n');
    expect(lines[0]).toBe('epoch,train_loss,train_error,valid_loss,valid_error,test_error');
    expect(lines[1]).toMatch(/^001,\d+\.\d{6},0\.\d{6},\d+\.\d{5},[01]\.\d{5},$/);
    expect(lines[3]).toMatch(/^,,,,,[01]\.\d{5}$/);
  });

  it('tests the weights that eval gives the same error for', async () => {
    const flags = ['--weights', path('run', 'best.safetensors'), '--data', path('digits'), '--json'];
    const result = await densec(['eval', path('run', 'bundle'), ...flags]);
    const test = readFileSync(path('run', 'results.csv'), 'utf8').trim().split(',').at(-1);
    expect(result.json()).toMatchObject({ count: 40 });
    expect((result.json().error as number).toFixed(5)).toBe(test);
    const { classes, confusion, confused, error } = result.json() as {
      classes: { count: number; errors: number }[];
      confusion: number[][];
      confused: { class: number; takenFor: number; count: number }[];
      error: number;
    };
    const wrong = classes.reduce((sum, { errors }) => sum + errors, 0);
    expect([classes.length, confusion.length, wrong]).toEqual([3, 3, Math.round(40 * error)]);
    expect(confused.reduce((sum, { count }) => sum + count, 0)).toBe(wrong);
    for (const { class: label, takenFor, count } of confused) expect(confusion[label]?.[takenFor]).toBe(count);
    const table = await densec(['eval', path('run', 'bundle'), ...flags.slice(0, -1)]);
    expect(table.stdout).toMatch(/class +images +wrong +error/);
    expect(readFileSync(path('run', 'report.html'), 'utf8')).toContain('<h2>Test by class</h2>');
  });

  it('repeats a run bit for bit from the same seed, and runs otherwise from another', async () => {
    await densec(start('again'));
    await densec(start('other', '--seed', '1'));
    for (const file of ['results.csv', 'best.safetensors']) {
      expect(readFileSync(path('again', file)).equals(readFileSync(path('run', file))), file).toBe(true);
      expect(readFileSync(path('other', file)).equals(readFileSync(path('run', file))), file).toBe(false);
    }
  });

  it('trains a bundle that was built before, on grey images and on CIFAR-10', async () => {
    await densec(['build', ...network, '--image-size', '8', '--channels', '1', '--classes', '3', '-o', path('net')]);
    const grey = await densec(['train', path('net'), '--data', path('digits'), '--save', path('grey'), ...training]);
    expect(grey.code, grey.stderr).toBe(0);
    expect(grey.stdout).toMatch(/test error/);
    await writeCifar10(path('cifar'));
    const flags = [
      '--data',
      path('cifar'),
      '--save',
      path('colour'),
      '--epochs',
      '1',
      '--batch-size',
      '4',
      '--limit',
      '8',
      '--valid-size',
      '0',
    ];
    const colour = await densec(['train', ...network, ...flags]);
    expect(colour.code, colour.stderr).toBe(0);
    expect(readFileSync(path('colour', 'results.csv'), 'utf8')).toMatch(/\n001,[\d.]+,[\d.]+,,,\n/);
  });
});

describe('train refuses', () => {
  it.each<[string, string[], number, RegExp]>([
    ['to start without data', ['train', '--save', 'SAVE'], 2, /--data SOURCE is missing/],
    ['a folder with a run in it', ['train', '--data', 'DATA', '--save', 'RUN'], 1, /--force/],
    ['a negative learning rate', ['train', '--data', 'DATA', '--save', 'SAVE', '--lr', '-1'], 2, /learning rate is -1/],
    ['an unknown schedule', ['train', '--data', 'DATA', '--save', 'SAVE', '--schedule', 'linear'], 2, /multistep/],
    [
      'more validation than images',
      ['train', '--data', 'DATA', '--save', 'SAVE', '--valid-size', '120'],
      2,
      /0 to 119/,
    ],
    ['too few classes', ['train', '--data', 'DATA', '--save', 'SAVE', '--classes', '2'], 1, /label 2 .*2 classes/],
    ['another image size', ['train', '--data', 'DATA', '--save', 'SAVE', '--image-size', '16'], 2, /--image-size 8/],
    ['both a bundle and flags', ['train', 'BUNDLE', '--depth', '10', '--data', 'DATA', '--save', 'SAVE'], 2, /depth/],
    ['to resume what never ran', ['train', '--resume', '--save', 'SAVE'], 1, /last.safetensors/],
    ['to resume with another seed', ['train', '--resume', '--save', 'RUN', '--seed', '9'], 2, /seed 0, not 9/],
  ])('%s', async (_, args, code, message) => {
    const places: Record<string, string> = {
      SAVE: path('new'),
      DATA: path('digits'),
      RUN: path('run'),
      BUNDLE: path('run', 'bundle'),
    };
    const result = await densec(args.map((arg) => places[arg] ?? arg));
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(result.stderr).not.toMatch(/\n {4}at /);
    expect(existsSync(path('new', 'last.safetensors'))).toBe(false);
  });

  it('a loss that is no number, naming the step', async () => {
    const result = await densec([...start('diverged'), '--lr', '1e30']);
    expect([result.code, result.stderr]).toEqual([
      1,
      expect.stringMatching(/the loss became (NaN|Infinity) at step \d+.*--lr/),
    ]);
  });

  it('a checkpoint whose progress is damaged', async () => {
    const file = join(path('other'), 'last.safetensors');
    const { tensors } = await readSafetensors(file);
    mkdirSync(path('damaged'));
    await writeSafetensors(join(path('damaged'), 'last.safetensors'), tensors, { 'densec.progress': '{"epoch' });
    const result = await densec(['train', '--resume', '--save', path('damaged')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/last.safetensors is damaged/)]);
    expect(result.stderr).not.toMatch(/\n {4}at /);
  });

  it('a truncated checkpoint', async () => {
    truncateSync(join(path('other'), 'last.safetensors'), 3000);
    const result = await densec(['train', '--resume', '--save', path('other')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/truncated/)]);
  });
});
