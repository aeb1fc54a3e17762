/** @file Commands whose output goes away: a reader that has had enough, a full disk, a closed terminal. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { expectSameEnd } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const main = join(import.meta.dirname, '../../dist/cli/main.js');
const network = ['--block-config', '1,1', '--growth-rate', '4'];
const training = ['--epochs', '2', '--batch-size', '8', '--valid-size', '40', '--print-freq', '1'];
const start = (save: string, ...flags: string[]): string[] => [
  ...['train', ...network, ...training, '--data', path('digits'), '--save', path(save), ...flags],
];

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 120, 400);
  const whole = await densec(start('whole'));
  expect(whole.code, whole.stderr).toBe(0);
});

/** The process's exit code, or the signal that ended it. */
function end(child: ChildProcess): Promise<number | string | null> {
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('exit', (code, signal) => resolve(code ?? signal));
  });
}

/** Trains with the named streams closed by their reader after its first bytes. */
async function readerLeaves(args: readonly string[], streams: readonly ('stdout' | 'stderr')[]): Promise<unknown> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = child[name];
    if (streams.includes(name)) stream.once('data', () => stream.destroy());
    else stream.resume();
  }
  return end(child);
}

describe('a training run', () => {
  it.each([
    ['standard error', [], ['stderr']],
    ['standard output', ['--json'], ['stdout']],
    ['both', ['--json'], ['stdout', 'stderr']],
  ] as const)('goes on to the same bits when nobody reads %s any more', async (name, flags, streams) => {
    expect(await readerLeaves(start(name, ...flags), streams)).toBe(0);
    await expectSameEnd(path(name), path('whole'));
    expect(readdirSync(path(name)).filter((file) => file.startsWith('.'))).toEqual([]);
  });

  it.skipIf(!existsSync('/dev/full'))(
    'goes on when the disk behind its output is full, says so, and ends with 1',
    async () => {
      const full = openSync('/dev/full', 'w');
      const child = spawn(process.execPath, [main, ...start('full', '--json')], { stdio: ['ignore', full, 'pipe'] });
      closeSync(full);
      let stderr = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      expect(await end(child)).toBe(1);
      expect(stderr.match(/cannot write to standard output: the disk is full/g)).toHaveLength(1);
      expect(stderr).not.toMatch(/\n {4}at /);
      await expectSameEnd(path('full'), path('whole'));
    },
  );

  it.skipIf(!existsSync('/dev/full'))('goes on when the disk behind its messages is full', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [main, ...start('full messages')], { stdio: ['ignore', 'ignore', full] });
    closeSync(full);
    expect(await end(child)).toBe(0);
    await expectSameEnd(path('full messages'), path('whole'));
  });

  it('saves when its terminal is closed, however often that is told, and goes on to the same bits', async () => {
    const { code, stdout } = await densec(start('closed', '--json'), {
      onStdout: (text, kill) => {
        if (!text.includes('"event":"step"')) return;
        kill('SIGHUP');
        setTimeout(() => kill('SIGHUP'), 5);
      },
    });
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([code, events.at(-1)]).toEqual([130, expect.objectContaining({ event: 'result', interrupted: true })]);
    const { metadata } = await readSafetensors(path('closed', 'last.safetensors'));
    expect(JSON.parse(metadata['densec.progress'] ?? '')).toMatchObject({ step: events.at(-1)?.steps });
    expect((await densec(['train', '--resume', '--save', path('closed')])).code).toBe(0);
    await expectSameEnd(path('closed'), path('whole'));
  });
});

describe('a command that prints a result', () => {
  it.skipIf(!existsSync('/dev/full'))('fails when it can not be written', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [main, 'info', path('whole', 'bundle')], {
      stdio: ['ignore', full, 'ignore'],
    });
    closeSync(full);
    expect(await end(child)).toBe(1);
  });
});
