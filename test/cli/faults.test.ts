/** @file densec train when the disk, a file or the numbers fail: clear errors, and earlier checkpoints intact. */

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FloatTensor } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { expectSameEnd, expectWhole } from '../helpers/runs.js';
import { noSmallDisk, smallDisk } from '../helpers/tmpfs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '4'];
const training = ['--epochs', '2', '--batch-size', '10', '--valid-size', '20', '--lr', '0.05'];
const start = (save: string, ...flags: string[]): string[] => [
  ...['train', ...network, ...training, '--data', path('digits'), '--save', path(save), '--json', ...flags],
];
const resume = (save: string): Promise<CliResult> => densec(['train', '--resume', '--save', path(save), '--json']);

beforeAll(async () => {
  mkdirSync(path('digits'));
  // Many test images, so that a signal comes before the end of the final test.
  await writeIdxFolder(path('digits'), 8, 120, 1600);
  const whole = await densec(start('whole', '--checkpoint-every', '3', '--keep', '4'));
  expect(whole.code, whole.stderr).toBe(0);
});

function expectFailure(result: CliResult, message: RegExp): void {
  expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(message)]);
  expect(result.stderr).not.toMatch(/\n {4}at /);
}

if (noSmallDisk) console.log(`left out: a full disk, a read-only one (${noSmallDisk})`);

describe.skipIf(noSmallDisk !== undefined)('a small disk', () => {
  const unmount: (() => void)[] = [];
  afterAll(() => {
    for (const each of unmount) each();
  });

  it('that fills up keeps the last checkpoint, from which the run goes on', async () => {
    const disk = smallDisk(path('full'), 1_000_000);
    unmount.push(disk.unmount);
    let filled = false;
    const onStdout = (text: string): void => {
      if (filled || !text.includes('"event":"checkpoint"') || !text.includes('"step":3')) return;
      filled = true;
      fill(path('full', 'filler'));
    };
    const result = await densec(start('full', '--checkpoint-every', '3', '--force'), { onStdout });
    expectFailure(result, /the disk is full; .*the last good checkpoint is .*last\.safetensors, of step \d+/);
    await expectWhole(path('full'));
    writeFileSync(path('full', 'filler'), '');
    const rest = await resume('full');
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path('full'), path('whole'));
  });

  it('that becomes read-only stops the run at its next checkpoint, and refuses a new one', async () => {
    const disk = smallDisk(path('locked'), 4_000_000);
    unmount.push(disk.unmount);
    cpSync(path('whole'), path('locked', 'run'), { recursive: true });
    disk.makeReadOnly();
    expectFailure(await densec(start('locked/new')), /cannot write .*read-only; write elsewhere/);
    const from = path('locked', 'run', 'checkpoints', 'step-000000015.safetensors');
    const resumed = await densec(['train', '--resume-from', from, '--save', path('locked', 'run')]);
    expectFailure(resumed, /cannot write .*read-only; write elsewhere/);
  });
});

/** Writes until nothing more fits. */
function fill(file: string): void {
  for (let size = 65536; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(size), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

describe('a file of the run that can not be written', () => {
  it.each(['best.safetensors', 'results.csv', 'curves.svg', 'report.html'])(
    '(%s) stops the run with the last good checkpoint named, from which it goes on',
    async (file) => {
      const save = path(`no ${file}`);
      let spoilt = false;
      const result = await densec(start(`no ${file}`, '--checkpoint-every', '3'), {
        onStdout: (text) => {
          if (spoilt || !text.includes('"event":"checkpoint"')) return;
          spoilt = true;
          rmSync(join(save, file), { force: true });
          mkdirSync(join(save, file));
        },
      });
      const message = `cannot write .*${file.replace('.', '\\.')}: it is a folder.*; the last good checkpoint is .*of step`;
      expectFailure(result, new RegExp(message));
      rmdirSync(join(save, file));
      const rest = await resume(`no ${file}`);
      expect(rest.code, rest.stderr).toBe(0);
      await expectSameEnd(save, path('whole'));
    },
  );
});

describe('a folder', () => {
  it.skipIf(process.getuid?.() === 0)('that may not be written is refused', async () => {
    mkdirSync(path('forbidden'));
    chmodSync(path('forbidden'), 0o555);
    expectFailure(await densec(start('forbidden/run')), /permission denied/);
  });
});

describe('a checkpoint', () => {
  const copy = (name: string): void => cpSync(path('whole'), path(name), { recursive: true });

  it('that is truncated is refused, with an earlier one to go on from', async () => {
    copy('cut');
    truncateSync(path('cut', 'last.safetensors'), 5000);
    const result = await resume('cut');
    expectFailure(result, /truncated.*--resume-from .*step-000000020\.safetensors/);
    const from = path('cut', 'checkpoints', 'step-000000015.safetensors');
    const rest = await densec(['train', '--resume-from', from, '--save', path('cut')]);
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path('cut'), path('whole'));
  });

  it('of another architecture is refused', async () => {
    copy('mixed');
    const other = ['train', '--block-config', '2', '--data', path('digits'), '--save', path('other'), ...training];
    await densec(other);
    cpSync(path('other', 'last.safetensors'), path('mixed', 'last.safetensors'));
    expectFailure(await resume('mixed'), /is of another run than .*bundle: the network/);
  });

  it('of another version is refused', async () => {
    copy('older');
    const file = path('older', 'last.safetensors');
    const { tensors, metadata } = await readSafetensors(file);
    const progress = JSON.parse(metadata['densec.progress'] ?? '') as object;
    const changed = JSON.stringify({ ...progress, formatVersion: 99 });
    await writeSafetensors(file, tensors, { 'densec.progress': changed });
    expectFailure(await resume('older'), /has checkpoint format 99, this densec reads \d+/);
  });

  it('with numbers that are not finite is refused', async () => {
    copy('poisoned');
    const file = path('poisoned', 'last.safetensors');
    const { tensors, metadata } = await readSafetensors(file);
    (tensors.get('classifier.weight') as FloatTensor).data[3] = Number.NaN;
    await writeSafetensors(file, tensors, metadata);
    expectFailure(await resume('poisoned'), /classifier\.weight is not finite; resume from an earlier/);
  });

  it('of a run whose best weights are gone is refused before any step', async () => {
    copy('robbed');
    truncateSync(path('robbed', 'best.safetensors'), 10);
    const from = path('robbed', 'checkpoints', 'step-000000015.safetensors');
    const result = await densec(['train', '--resume-from', from, '--save', path('robbed'), '--json']);
    expectFailure(result, /best\.safetensors/);
    expect(result.stdout).toBe('');
  });

  it('of one network is no use with flags for another', async () => {
    const result = await densec(['train', '--resume', '--save', path('whole'), '--growth-rate', '5']);
    expect([result.code, result.stderr]).toEqual([
      2,
      expect.stringMatching(/--growth-rate would change the network; leave them out to resume it/),
    ]);
  });
});

describe('a bundle', () => {
  it('of another version is refused', async () => {
    cpSync(path('whole'), path('future'), { recursive: true });
    const file = path('future', 'bundle', 'manifest.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"formatVersion": \d+/, '"formatVersion": 999'));
    expectFailure(await resume('future'), /format version 999, this densec reads version/);
  });

  it('trained from elsewhere leaves a copy, so that the run resumes without it', async () => {
    await densec(['build', ...network, '--image-size', '8', '--classes', '3', '-o', path('apart')]);
    const args = ['train', path('apart'), '--data', path('digits'), '--save', path('copied'), ...training];
    const begun = await densec([...args, '--json', '--checkpoint-every', '2'], {
      onStdout: (text, kill) => {
        if (text.includes('"batch":3,')) kill('SIGINT');
      },
    });
    expect(begun.code, begun.stderr).toBe(130);
    const rest = await resume('copied');
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path('copied'), path('whole'));
  });
});

describe('numbers that explode', () => {
  it('stop the run with the last good checkpoint named, and it is good', async () => {
    const result = await densec(start('diverged', '--lr', '1e12', '--checkpoint-every', '1', '--schedule', 'constant'));
    expectFailure(
      result,
      /(the loss became (NaN|-?Infinity) at step|is not finite after step) \d+.*the last good checkpoint is .*of step \d+.*--lr/,
    );
    const { tensors, metadata } = await readSafetensors(path('diverged', 'last.safetensors'));
    for (const [name, { data }] of tensors) {
      expect(Array.from(data as ArrayLike<number | bigint>, Number).every(Number.isFinite), name).toBe(true);
    }
    const step = /of step (\d+)/.exec(result.stderr)?.[1];
    expect(JSON.parse(metadata['densec.progress'] ?? '')).toMatchObject({ step: Number(step) });
    expect(existsSync(join(path('diverged'), 'best.safetensors'))).toBe(false);
  });
});
