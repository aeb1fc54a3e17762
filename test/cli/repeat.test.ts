/** @file The same command twice ends in the same bits, whatever prepares the data and however often it is stopped. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeImageFolder } from '../helpers/images.js';
import { expectSameEnd } from '../helpers/runs.js';
import { cifarRecords, writeIdxFolder, writeSvhnFolder } from '../runtime/data/files.js';

const path = temporaryFolder();

beforeAll(async () => {
  for (const kind of ['cifar-10', 'idx', 'svhn', 'photos']) mkdirSync(path(kind));
  const records = (count: number): Buffer => cifarRecords(Array.from({ length: count }, (_, at) => [at % 10]));
  for (let file = 1; file <= 5; file++) writeFileSync(path('cifar-10', `data_batch_${file}.bin`), records(5));
  writeFileSync(path('cifar-10', 'test_batch.bin'), records(6));
  await writeSvhnFolder(path('svhn'), 24, 6);
  await writeIdxFolder(path('idx'), 28, 25, 6);
  await writeImageFolder(path('photos'), { train: 12, val: 3 });
});

// Of CIFAR and IDX files, data.test.ts and interrupt.test.ts show parts of this.
const kinds = process.env.DENSEC_LONG ? ['cifar-10', 'idx', 'svhn', 'photos'] : ['svhn', 'photos'];

describe.each(kinds)('%s', (kind) => {
  const begin = (save: string, ...flags: string[]): string[] => [
    ...['train', '--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.2', '--image-size'],
    ...[kind === 'photos' ? '16' : '32', '--epochs', '3', '--batch-size', '4', '--valid-size', '4', '--augment'],
    ...['--seed', '9', '--threads', '1', '--data', path(kind), '--save', path(`${kind} ${save}`), '--json', ...flags],
  ];

  // An epoch and a test are left after the last signal, so that it comes in time on a busy machine too.
  it('ends in the same bits once more, with other data workers, and stopped twice', async () => {
    const whole = await densec(begin('whole', '--data-workers', '1'));
    expect([whole.code, whole.stderr]).toEqual([0, expect.any(String)]);
    const again = await Promise.all([
      densec(begin('again', '--data-workers', '1')),
      densec(begin('workers', '--data-workers', '3')),
      densec(begin('other', '--data-workers', '0', '--seed', '10')),
    ]);
    for (const { code, stderr } of again) expect([code, stderr]).toEqual([0, expect.any(String)]);

    for (const [args, epoch] of [
      [begin('stopped', '--data-workers', '0'), 1],
      [['train', '--resume', '--save', path(`${kind} stopped`), '--json', '--data-workers', '2'], 2],
    ] as const) {
      let asked = false;
      const stopped = await densec(args, {
        onStdout: (text, kill) => {
          if (asked || !text.includes(`"event":"step","epoch":${epoch},"epochs":3,"batch":2,`)) return;
          asked = true;
          kill('SIGINT');
        },
      });
      expect([stopped.code, stopped.stderr]).toEqual([130, expect.any(String)]);
    }
    const resumed = await densec(['train', '--resume', '--save', path(`${kind} stopped`), '--json']);
    expect([resumed.code, resumed.stderr]).toEqual([0, expect.any(String)]);

    for (const run of ['again', 'workers', 'stopped'])
      await expectSameEnd(path(`${kind} ${run}`), path(`${kind} whole`));
    const best = (run: string): Buffer => readFileSync(path(`${kind} ${run}`, 'best.safetensors'));
    expect(best('other').equals(best('whole'))).toBe(false);
  });
});
