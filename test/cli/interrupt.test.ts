/** @file densec train when it is stopped, asked or not: Ctrl-C, twice, and kill -9. The long version: test/long. */

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { randomSource } from '../helpers/random.js';
import { expectSameEnd, expectWhole, trainThroughKills } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
/** Dropout, momentum, running statistics, gradients of three batches an update, a warm-up: all must survive. */
const network = ['--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.2', '--accumulate', '3'];
const training = ['--epochs', '2', '--batch-size', '8', '--valid-size', '40', '--lr', '0.05', '--schedule', 'cosine'];
const start = (save: string, ...flags: string[]): string[] => [
  'train',
  ...network,
  ...training,
  ...['--warmup', '0.5', '--data', path('digits'), '--save', path(save), '--json', ...flags],
];

beforeAll(async () => {
  mkdirSync(path('digits'));
  // Many test images, so that a signal during the final test comes before its end.
  await writeIdxFolder(path('digits'), 8, 120, 1600);
  const whole = await densec(start('whole'));
  expect(whole.code, whole.stderr).toBe(0);
});

describe('a run that is stopped', () => {
  it.each([
    ['before the first step', '"event":"checkpoint"'],
    ['in mid-epoch, between two updates', '"event":"step","epoch":1,"epochs":2,"batch":5,'],
    ['after the last step of an epoch', '"event":"step","epoch":1,"epochs":2,"batch":10,'],
    ['during a validation', '"event":"evaluation","split":"validation","done":8,'],
    ['during the final test', '"event":"evaluation","split":"test","done":8,'],
  ])('%s goes on to the same bits', async (_, moment) => {
    const save = `stopped ${moment.replace(/\W/g, '')}`;
    let interrupted = false;
    const onStdout = (text: string, kill: (signal: NodeJS.Signals) => void): void => {
      if (interrupted || !text.includes(moment)) return;
      interrupted = true;
      kill('SIGINT');
    };
    const stopped = await densec(start(save), { onStdout });
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toMatch(/interrupted and saved after step \d+: go on with densec train --resume --save/);
    expect(stopped.jsonLines().at(-1)).toMatchObject({ event: 'result', interrupted: true });
    await expectWhole(path(save));
    // The run's own command with --resume is as good as --save alone.
    const rest = await densec(start(save, '--resume'));
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path(save), path('whole'));
  });

  it('hears Ctrl-C while a step runs, and ends with that step', async () => {
    const order: string[] = [];
    let asked = false;
    const onStdout = (text: string, kill: (signal: NodeJS.Signals) => void): void => {
      const steps = text.match(/"event":"step"/g) ?? [];
      order.push(...steps.map(() => 'step'));
      if (asked || steps.length === 0) return;
      asked = true;
      kill('SIGINT');
    };
    const onStderr = (text: string): void => {
      if (text.includes('finishing the step')) order.push('heard');
    };
    // Steps that take long against the way of a signal.
    const flags = ['--data', path('digits'), '--save', path('heard'), '--json', '--batch-size', '60'];
    const slow = ['--block-config', '6,6', '--growth-rate', '24', '--valid-size', '0'];
    const result = await densec(['train', ...slow, ...flags], { onStdout, onStderr });
    expect(result.code, result.stderr).toBe(130);
    expect(order).toEqual(['step', 'heard', 'step']);
  });

  it('ends at once when asked twice, with nothing broken', async () => {
    let asked = 0;
    const ask = (kill: (signal: NodeJS.Signals) => void): void => {
      asked++;
      kill('SIGINT');
    };
    const flags = ['--data', path('digits'), '--save', path('twice'), '--json', '--batch-size', '60'];
    const slow = ['--block-config', '6,6', '--growth-rate', '24', '--valid-size', '0'];
    const result = await densec(['train', ...slow, ...flags], {
      onStdout: (text, kill) => {
        if (asked === 0 && text.includes('"event":"step"')) ask(kill);
      },
      onStderr: (text, kill) => {
        if (text.includes('finishing the step')) ask(kill);
      },
    });
    // Ended by the signal itself, which a shell tells as 130.
    expect([result.code, asked]).toEqual([null, 2]);
    expect(result.stderr).toMatch(/quitting at once; the last checkpoint is whole/);
    await expectWhole(path('twice'));
  });
});

describe('a folder that a run is in', () => {
  it('is refused to a second process, with or without --force, and resumed at once after a kill', async () => {
    const save = path('shared');
    const args = ['train', ...network, '--data', path('digits'), '--save', save, '--json', '--batch-size', '2'];
    const long = [...args, '--epochs', '1000', '--checkpoint-every', '1', '--valid-size', '0'];
    let others: Promise<CliResult[]> | undefined;
    const first = await densec(long, {
      onStdout: (text, kill) => {
        if (others || !text.includes('"event":"step"')) return;
        others = Promise.all([densec([...long, '--force']), densec(['train', '--resume', '--save', save, '--json'])]);
        others.finally(() => kill('SIGKILL'));
      },
    });
    expect([first.code, first.stderr]).toEqual([null, expect.any(String)]);
    for (const { code, stdout, stderr } of (await others) ?? []) {
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/shared: process \d+ is training into it; stop that one or wait/);
    }
    await expectWhole(save);
    const saved = first.stdout.match(/"event":"checkpoint"[^\n]*"step":\d+}/g)?.length ?? 0;
    const resumed = await densec(['train', '--resume', '--save', save, '--json'], {
      onStdout: (text, kill) => {
        if (text.includes('"event":"step"')) kill('SIGKILL');
      },
    });
    expect(resumed.stderr).not.toMatch(/waiting/);
    const step = resumed.jsonLines().find(({ event }) => event === 'step') as { epoch: number; batch: number };
    expect((step.epoch - 1) * 60 + step.batch).toBeGreaterThanOrEqual(saved);
  });

  it('has no lock left once the run is done, stopped or failed', () => {
    for (const run of ['whole', 'heard']) {
      expect(readdirSync(path(run)).filter((name) => name.startsWith('.lock'))).toEqual([]);
    }
  });
});

describe('a run that is killed', () => {
  it('ends in the same bits as one that is not', async () => {
    const begin = start('killed', '--checkpoint-every', '1', '--keep', '3');
    const kills = await trainThroughKills(begin, path('killed'), 5, randomSource('killed'));
    expect(kills).toBeGreaterThanOrEqual(4);
    await expectSameEnd(path('killed'), path('whole'));
  });

  it.each([0, 20, 80])(
    'within %i ms of the end of an epoch, amid best weights, checkpoint and reports, ends in the same bits',
    async (wait) => {
      const save = path(`epoch end ${wait}`);
      let told = false;
      const killed = await densec(start(`epoch end ${wait}`), {
        onStdout: (text, kill) => {
          if (told || !text.includes('"event":"epoch"')) return;
          told = true;
          setTimeout(() => kill('SIGKILL'), wait);
        },
      });
      expect(killed.stderr).not.toMatch(/error/);
      await expectWhole(save);
      const rest = await densec(start(`epoch end ${wait}`, '--resume'));
      expect(rest.code, rest.stderr).toBe(0);
      await expectSameEnd(save, path('whole'));
    },
  );

  it('before its first checkpoint leaves a folder that says how to begin again', async () => {
    const save = path('unbegun');
    const killed = await densec(start('unbegun'), {
      onStderr: (text, kill) => text.includes('memory') && kill('SIGKILL'),
    });
    expect(killed.code).toBe(null);
    rmSync(join(save, 'last.safetensors'), { force: true });
    const resumed = await densec(['train', '--resume', '--save', save]);
    expect([resumed.code, resumed.stderr]).toEqual([
      1,
      expect.stringMatching(/holds no run to go on with: there is no .*last.safetensors; begin it again, with --force/),
    ]);
    const begun = await densec(start('unbegun', '--force', '--epochs', '1'));
    expect(begun.code, begun.stderr).toBe(0);
  });

  it('leaves temporary files that the next one removes, and keeps no more checkpoints than asked', async () => {
    expect(readdirSync(path('killed')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    const kept = readdirSync(path('killed', 'checkpoints'));
    expect(kept).toEqual(['step-000000018.safetensors', 'step-000000019.safetensors', 'step-000000020.safetensors']);
    const stale = path('killed', '.densec-0123456789abcdef.tmp');
    writeFileSync(stale, 'part of a checkpoint');
    const result = await densec(['train', '--resume', '--save', path('killed')]);
    expect(result.code, result.stderr).toBe(0);
    expect(existsSync(stale)).toBe(false);
  });

  it('can go on from an earlier checkpoint, to the same bits', async () => {
    const earlier = path('killed', 'checkpoints', 'step-000000018.safetensors');
    const result = await densec(['train', '--resume-from', earlier, '--save', path('killed'), '--json']);
    expect(result.code, result.stderr).toBe(0);
    expect(result.jsonLines().filter(({ event }) => event === 'step')).toHaveLength(2);
    await expectSameEnd(path('killed'), path('whole'));
    const kept = await readSafetensors(earlier);
    // Gradients of batches since the last update travel along.
    const accumulated = [...kept.tensors].filter(([name]) => name.startsWith('accumulated.'));
    expect(accumulated.length).toBeGreaterThan(0);
  });
});
