/** @file The lock of a run's folder: who is kept out, whose remains are taken over, and what a race ends in. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ProcessIdentity, thisProcess } from '../../../src/runtime/files/process-identity.js';
import { RunLock, refuseLocked } from '../../../src/runtime/files/run-lock.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();
let folders = 0;

function folder(): string {
  const made = path(`run${folders++}`);
  mkdirSync(made);
  return made;
}

/** Leaves the lock that another process would. */
function leave(directory: string, change: Partial<ProcessIdentity>, number = '000001'): string {
  const file = `${directory}/.lock-${number}`;
  writeFileSync(file, JSON.stringify({ ...thisProcess(), ...change }));
  return file;
}

const linux = process.platform === 'linux';

describe('a lock', () => {
  it('keeps others out until it is given back, and leaves nothing', async () => {
    const run = folder();
    const lock = await RunLock.take(run);
    await expect(RunLock.take(run)).rejects.toThrow(`this process (${process.pid}) is training into it; stop that one`);
    await expect(refuseLocked(run)).rejects.toThrow(/is training into it/);
    await lock.release();
    expect(readdirSync(run)).toEqual([]);
    await refuseLocked(run);
    await (await RunLock.take(run)).release();
  });

  it('of a living process names it, and the file to remove should it be none of ours', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    await once(child, 'spawn');
    const run = folder();
    const started = linux ? readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ')[21] : '';
    const file = leave(run, { pid: child.pid as number, started: started as string });
    await expect(RunLock.take(run)).rejects.toThrow(`process ${child.pid} is training into it`);
    await expect(RunLock.take(run)).rejects.toThrow(`remove ${file}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const began = performance.now();
    await (await RunLock.take(run)).release();
    expect(performance.now() - began).toBeLessThan(1000);
  });

  it.skipIf(!linux)('of a number that another process has got since is taken over', async () => {
    const run = folder();
    leave(run, { started: '1' });
    await (await RunLock.take(run)).release();
    expect(readdirSync(run)).toEqual([]);
  });

  it.skipIf(!linux)('of a killed process that nobody has asked for is taken over', async () => {
    // The shell becomes sleep, which doesn't ask for the child it inherits: that stays a zombie.
    const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60']);
    const [text] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(text.toString());
    const stat = (): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    await expect.poll(() => stat()[2]).toBe('Z');
    const run = folder();
    leave(run, { pid, started: stat()[21] as string });
    await (await RunLock.take(run)).release();
    parent.kill();
  });

  it('of another machine or container is taken over when it gives no sign of life', async () => {
    const run = folder();
    leave(run, { host: 'elsewhere', space: 'another boot', pid: 7 });
    const told: string[] = [];
    const lock = await RunLock.take(run, { patience: 300, onWait: (message) => told.push(message) });
    expect(told).toEqual([`${run}: process 7 on elsewhere had it last; waiting up to 1 s for a sign of life from it`]);
    await lock.release();
    expect(readdirSync(run)).toEqual([]);
  });

  it('of another machine or container that gives one is left alone', async () => {
    const run = folder();
    const file = leave(run, { host: 'elsewhere', space: 'another boot', pid: 7 });
    setTimeout(() => utimesSync(file, new Date(), new Date()), 100);
    await expect(RunLock.take(run, { patience: 5000 })).rejects.toThrow(/process 7 on elsewhere is training into it/);
    expect(existsSync(file)).toBe(true);
  });

  it('whose making was cut short is taken over', async () => {
    const run = folder();
    writeFileSync(`${run}/.lock-000001`, '{"pid":');
    await (await RunLock.take(run, { patience: 100 })).release();
  });

  it('goes to one alone of many that find the remains of a dead process', async () => {
    for (let round = 0; round < 30; round++) {
      const run = folder();
      leave(run, { started: '1' }, '000003');
      leave(run, { started: '1' }, '000002');
      const tries = await Promise.allSettled(Array.from({ length: 6 }, () => RunLock.take(run)));
      const taken = tries.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      expect(taken).toHaveLength(1);
      expect(readdirSync(run)).toHaveLength(1);
      await taken[0]?.check();
      await taken[0]?.release();
    }
  });

  it('stops its process from writing once another has taken over, and gives nothing of the other back', async () => {
    const run = folder();
    const lock = await RunLock.take(run);
    await lock.check();
    const other = leave(run, { host: 'elsewhere', pid: 9 }, '000002');
    await expect(lock.check()).rejects.toThrow(/was taken over by process 9 on elsewhere .* stops without writing/);
    await lock.release();
    expect(existsSync(other)).toBe(true);
  });

  it('is made again where someone has tidied it up', async () => {
    const run = folder();
    const lock = await RunLock.take(run);
    rmSync(`${run}/.lock-000001`);
    await lock.check();
    await expect(RunLock.take(run)).rejects.toThrow(/this process/);
    await lock.release();
    expect(readdirSync(run)).toEqual([]);
  });

  it('is not looked for where there is no folder', async () => {
    await refuseLocked(path('none'));
    writeFileSync(path('file'), '');
    await refuseLocked(path('file'));
    await expect(RunLock.take(path('none'))).rejects.toThrow(/cannot write .*none: there is no folder/);
  });

  it.skipIf(process.getuid?.() === 0)('of a folder that may not be written is refused', async () => {
    const run = folder();
    chmodSync(run, 0o555);
    await expect(RunLock.take(run)).rejects.toThrow(/cannot write .*permission denied/);
  });
});
