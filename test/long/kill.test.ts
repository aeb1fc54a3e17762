/** @file Many kills (-9) of training runs, half of them while a checkpoint is being written. */

import { mkdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { randomSource } from '../helpers/random.js';
import { expectSameEnd, expectWhole, trainThroughKills } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const minutes = 60_000;

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 220, 40);
});

/** 60 batches, each followed by a checkpoint of about a megabyte. */
const common = ['--block-config', '2,2', '--growth-rate', '16', '--drop-rate', '0.1', '--epochs', '3'];
const data = ['--batch-size', '10', '--valid-size', '20', '--lr', '0.02', '--json'];

describe.each<[string, string[]]>([
  ['sgd', []],
  ['adamw, two batches an update', ['--optimizer', 'adamw', '--lr', '0.002', '--accumulate', '2']],
  ['efficient, no decay on norms and biases', ['--efficient', '--no-decay-norm-bias']],
])('%s', (name, flags) => {
  it(
    'ends in the same bits after 25 kills',
    async () => {
      const start = (save: string, ...more: string[]): string[] => [
        ...['train', ...common, ...data, ...flags, '--data', path('digits'), '--save', path(save), ...more],
      ];
      const whole = await densec(start(`${name} whole`));
      expect(whole.code, whole.stderr).toBe(0);
      const random = randomSource(name);
      const killed = `${name} killed`;
      const begin = start(killed, '--checkpoint-every', '1', '--keep', '2');
      const kills = await trainThroughKills(begin, path(killed), 25, random);
      expect(kills).toBeGreaterThanOrEqual(15);
      await expectSameEnd(path(killed), path(`${name} whole`));
    },
    20 * minutes,
  );

  it(
    'ends in the same bits when killed at any moment of the end of an epoch',
    async () => {
      for (let wait = 0; wait < 300; wait += 12) {
        const save = path(`${name} ${wait} ms after an epoch`);
        const args = ['train', ...common, ...data, ...flags, '--data', path('digits'), '--save', save];
        let told = 0;
        await densec(args, {
          onStdout: (text, kill) => {
            told += text.split('"event":"epoch"').length - 1;
            if (told === 1) setTimeout(() => kill('SIGKILL'), wait);
          },
        });
        await expectWhole(save);
        const rest = await densec(['train', '--resume', '--save', save, '--json']);
        expect(rest.code, rest.stderr).toBe(0);
        await expectSameEnd(save, path(`${name} whole`));
      }
    },
    20 * minutes,
  );
});
