/** @file Tables of choices: what their schemas accept, and what they say of the rest. */

import { describe, expect, it } from 'vitest';
import { denseNetSchema } from '../src/builders/densenet-config.js';
import { denseNetConfig } from '../src/builders/index.js';
import { accepted, given } from '../src/choices.js';
import { trainOptionsSchema } from '../src/runtime/run/options.js';

describe('the options of a run', () => {
  /** As checkpoints have kept them since their format 2. */
  const kept = {
    ...{ data: 'mnist', epochs: 3, batchSize: 16, learningRate: 0.001, schedule: 'multistep', warmup: 1 },
    ...{ validSize: 16, seed: 0 },
  };

  it('are read from checkpoints that leave open what may be left open', () => {
    expect(trainOptionsSchema.parse(kept)).toEqual(kept);
    const all = { ...kept, limit: 80, augment: false };
    expect(trainOptionsSchema.parse(all)).toEqual(all);
  });

  it.each([
    ['epochs', 2.5, 'the number of epochs is 2.5; it must be a whole number, at least 1'],
    ['learningRate', Number.POSITIVE_INFINITY, 'the learning rate is Infinity; it must be above 0'],
    ['schedule', 'linear', 'there is no schedule linear; choose one of multistep, cosine, constant'],
    ['validSize', -1, 'held out for validation is -1; it must be a whole number, at least 0'],
    ['limit', 0, 'the limit of images is 0; it must be a whole number, at least 1'],
    ['seed', 2 ** 32, 'the seed is 4294967296; it must be a whole number from 0 to 4294967295'],
    ['batchSize', undefined, 'the batch size is undefined'],
  ])('are refused with %s %s', (name, value, message) => {
    expect(() => accepted(trainOptionsSchema, { ...kept, [name]: value })).toThrow(message);
  });
});

describe('the options of a network', () => {
  const config = denseNetConfig({ blockConfig: [1, 2], growthRate: 4, imageSize: 8 });

  it('are what a manifest holds', () => {
    expect(denseNetSchema.parse(JSON.parse(JSON.stringify(config)))).toEqual(config);
  });

  it.each<[string, object, string]>([
    ['an empty layer', { blockConfig: [1, 0] }, 'the number of layers of block 2 is 0'],
    ['no block', { blockConfig: [] }, 'the block configuration is empty'],
    ['more channels than there are', { compression: 1.5 }, 'the compression is 1.5; it must be above 0 and at most 1'],
  ])('are refused with %s', (_, wrong, message) => {
    expect(() => denseNetConfig({ ...config, ...wrong })).toThrow(message);
    expect(denseNetSchema.safeParse({ ...config, ...wrong }).success).toBe(false);
  });
});

it('what is undefined is not given', () => {
  expect(given({ epochs: undefined, seed: 0, augment: false })).toEqual({ seed: 0, augment: false });
});
