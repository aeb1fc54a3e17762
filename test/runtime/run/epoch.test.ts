/** @file What the best weights are chosen by, and that an epoch's figures survive a checkpoint even where they are no numbers. */

import { expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { newProgress, readProgress, writeCheckpoint } from '../../../src/runtime/run/checkpoint.js';
import { isBetter, scoreOf, withEpoch } from '../../../src/runtime/run/epoch.js';
import { compiledIdentity, identityDifference } from '../../../src/runtime/run/identity.js';
import { trainDefaults } from '../../../src/runtime/run/options.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();
const record = { epoch: 1, learningRate: 0.1, trainLoss: 1, trainError: 0.5, seconds: 1 };
const begin = {
  options: { ...trainDefaults, data: 'mine', learningRate: 0.1, validSize: 1 },
  ...{ saving: { keep: 1 }, running: { device: 'cpu', threads: 1 }, model: '' },
  ...{ identity: undefined, lowering: undefined, data: undefined },
};

it('goes by the task: error, area or loss, of the training where nothing is held out', () => {
  const valid = { ...record, validLoss: 3, validError: 0.25, validMetrics: { meanAuc: 0.75 } };
  expect([scoreOf('classes', valid), scoreOf('labels', valid), scoreOf('values', valid)]).toEqual([0.25, 0.25, 3]);
  expect([scoreOf('classes', record), scoreOf('labels', record), scoreOf('values', record)]).toEqual([0.5, 1, 1]);
});

it('takes no score that is no number, and any for one', () => {
  expect(isBetter(Number.NaN, undefined)).toBe(true);
  expect(isBetter(Number.NaN, { epoch: 1, error: 5 })).toBe(false);
  expect(isBetter(5, { epoch: 1, error: Number.NaN })).toBe(true);
  expect(isBetter(5, { epoch: 1, error: 5 })).toBe(false);
  expect(isBetter(4, { epoch: 1, error: 5 })).toBe(true);
});

it('is kept with the figures of a validation that are no numbers', async () => {
  const figures = { validLoss: Number.POSITIVE_INFINITY, validError: 0.5, validMetrics: { meanAuc: Number.NaN } };
  const progress = withEpoch(newProgress(begin), { ...record, ...figures }, true, Number.NaN);
  await writeCheckpoint(path(), new Map(), progress);
  const read = await readProgress(path());
  expect(read.epochs).toEqual([{ ...record, ...figures }]);
  expect(read.best).toEqual({ epoch: 1, error: Number.NaN });
});

it('another loss is another run, and is told as that', () => {
  const network = densenet({ blockConfig: [1], growthRate: 2, imageSize: 8, classes: 2 });
  const [plain, weighted] = [undefined, { kind: 'cross-entropy', classWeights: [1, 2] } as const].map((loss) =>
    compiledIdentity(compile(network, { loss })),
  );
  expect(identityDifference(plain as never, plain as never)).toBeUndefined();
  expect(identityDifference(plain as never, weighted as never)).toBe(
    'the loss (cross-entropy, labelSmoothing 0, not cross-entropy, classWeights 1,2, labelSmoothing 0)',
  );
});
