/** @file Runs that programs begin, stop and resume, and what is refused. */

import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mlp } from '../../../examples/mlp.js';
import { compile, type Dataset } from '../../../src/index.js';
import { type BeginOptions, TrainingRun } from '../../../src/runtime/run/begin.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { expectSameEnd } from '../../helpers/runs.js';
import { someBytes } from '../data/files.js';

const path = temporaryFolder();
const network = mlp([8], 8);
const compiled = compile(network, { seed: 3 });

function split(count: number): Dataset['train'] {
  const labels = Uint8Array.from({ length: count }, (_, index) => index % 10);
  return { count, images: someBytes(count * 64), storedChannels: 1, labels };
}

const dataset: Dataset = {
  ...{ name: 'bytes', classes: 10, channels: 1, imageSize: 8, train: split(60), test: split(20) },
  ...{ normalization: { mean: [0.5], std: [0.3] }, augmentation: 'none' },
};
const options = { epochs: 2, batchSize: 10, validSize: 10, learningRate: 0.02 };

describe('a program', () => {
  it('stops a run and resumes it to the same bits', async () => {
    const source = { network, compiled };
    const whole = await TrainingRun.begin(source, dataset, { ...options, save: path('whole') });
    expect(whole.options).toMatchObject({ ...options, schedule: 'multistep', warmup: 0, seed: 0, data: 'bytes' });
    await whole.run();

    const stopped = await TrainingRun.begin(source, dataset, { ...options, save: path('stopped') });
    const result = await stopped.run((event) => {
      if (event.event === 'step' && event.batch === 2) stopped.stop();
    });
    expect(result).toMatchObject({ interrupted: true, steps: 2 });
    await expect(stopped.run()).rejects.toThrow(/resume it/);
    const rest = await TrainingRun.resume(dataset, { save: path('stopped') });
    expect(await rest.run()).toMatchObject({ interrupted: false, steps: 10 });
    await expectSameEnd(path('stopped'), path('whole'));
  });

  it('trains a bundle that is there already', async () => {
    const first = await TrainingRun.begin({ network, compiled }, dataset, { ...options, save: path('first') });
    const second = await TrainingRun.begin(first.bundle, dataset, { ...options, save: path('second') });
    await first.run();
    await second.run();
    await expectSameEnd(path('second'), path('first'));
  });

  it.each<[string, Partial<BeginOptions>, RegExp]>([
    ['no epochs', { epochs: 0 }, /epochs is 0/],
    ['a batch size that is no count', { batchSize: 1.5 }, /batch size is 1\.5/],
    ['a learning rate of 0', { learningRate: 0 }, /learning rate is 0/],
    ['a warm-up that never ends', { warmup: 2 }, /2 of 2 epochs/],
    ['nothing to train on', { validSize: 60 }, /validation size 60/],
  ])('is refused %s before its folder is touched', async (_, wrong, message) => {
    const begin = TrainingRun.begin({ network, compiled }, dataset, { ...options, ...wrong, save: path('refused') });
    await expect(begin).rejects.toThrow(message);
    expect(existsSync(path('refused'))).toBe(false);
  });
});
