/** @file Many kills (-9) of training runs, half of them while a checkpoint is being written. */

import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { randomSource } from '../helpers/random.js';
import { expectSameEnd, expectWhole, killAt, trainThroughKills } from '../helpers/runs.js';
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

describe('a run that goes on with another lowering', () => {
  const network = ['--block-config', '6,6,6', '--growth-rate', '8', '--drop-rate', '0.1', '--epochs', '2'];
  const resume = (save: string, ...flags: string[]): string[] => [
    ...['train', '--resume', '--save', path(save), '--json', ...flags],
  ];

  it(
    'ends in the same bits when killed at any moment of compiling and replacing its models',
    async () => {
      const begin = ['train', ...network, ...data, '--data', path('digits'), '--save', path('none'), '--keep', '9'];
      const first = await densec([...begin, '--checkpoint-every', '5']);
      expect(first.code, first.stderr).toBe(0);
      const from = ['--resume-from', path('none', 'checkpoints', 'step-000000010.safetensors'), '--remat', 'max'];
      cpSync(path('none'), path('max'), { recursive: true });
      const whole = await densec(resume('max', ...from));
      expect(whole.code, whole.stderr).toBe(0);
      let kills = 0;
      for (let wait = 200; wait < 6000; wait += 200) {
        const save = `relowered ${wait}`;
        cpSync(path('none'), path(save), { recursive: true });
        const { killed, stdout } = await killAt(resume(save, ...from), path(save), wait);
        await expectWhole(path(save));
        const rest = await densec(resume(save, ...from));
        expect(rest.code, rest.stderr).toBe(0);
        await expectSameEnd(path(save), path('max'));
        expect(readdirSync(path(save)).filter((name) => /tmp|before|lock/.test(name))).toEqual([]);
        rmSync(path(save), { recursive: true });
        if (killed && !stdout.includes('"event":"step"')) kills++;
        // From here on, kills come amid steps, which others try.
        if (stdout.includes('"event":"step"')) break;
      }
      expect(kills).toBeGreaterThanOrEqual(4);
    },
    20 * minutes,
  );
});
