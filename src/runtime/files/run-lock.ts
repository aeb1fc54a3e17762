/**
 * @file Keeps two processes from training into one folder. The lock is a file that names its process; one of a process
 * that is dead is taken over at once, so that a killed run is resumed as if there were none.
 *
 * Locks are numbered, and the highest counts: taking over is making the next number's file, which only one can do,
 * instead of removing a file that may have become another's meanwhile.
 */

import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from './atomic-file.js';
import { lives, type ProcessIdentity, processSchema, thisProcess } from './process-identity.js';

const lockName = /^\.lock-(\d{6})$/;

/** A holder gives a sign of life this often, in ms: the file's time changes. */
const beatEvery = 2000;

/** How long one that can't be asked otherwise may go without, in ms. */
const defaultPatience = 20_000;

/** How to wait for a holder on another machine. */
export interface LockOptions {
  /** Told why it takes a while. */
  readonly onWait?: ((message: string) => void) | undefined;
  /** Milliseconds without a sign of life after which such a lock is taken over. */
  readonly patience?: number;
}

/** A file of a lock. */
interface LockFile {
  readonly number: number;
  readonly path: string;
  /** Unknown for a moment, while it is being written; for good where its process was killed then. */
  readonly owner: ProcessIdentity | undefined;
}

/** Whether a name in a run's folder is that of a lock. */
export function isLock(name: string): boolean {
  return lockName.test(name);
}

/** @throws FailureError when a process that is known to live trains into the folder */
export async function refuseLocked(directory: string): Promise<void> {
  const holder = await currentLock(directory);
  if (holder?.owner && lives(holder.owner) === 'yes') throw inUse(directory, holder);
}

/** A folder that no other process trains into. */
export class RunLock {
  private readonly beat: NodeJS.Timeout;

  private constructor(
    private readonly directory: string,
    private readonly number: number,
  ) {
    // Best effort: where the disk is gone, the next checkpoint says so.
    this.beat = setInterval(() => touch(this.path).catch(() => undefined), beatEvery);
    this.beat.unref();
  }

  /**
   * Takes the lock of a folder that exists.
   * @throws FailureError naming the process that has it, or when the folder can't be written
   */
  static async take(directory: string, options: LockOptions = {}): Promise<RunLock> {
    for (;;) {
      const before = await lockNumbers(directory);
      const holder = await readLock(directory, before);
      const found = holder ? await watch(directory, holder, options) : 'dead';
      if (holder && found === 'alive') throw inUse(directory, holder);
      const number = (holder?.number ?? 0) + 1;
      if (found === 'gone' || !(await makeLock(directory, number))) continue;
      const lock = new RunLock(directory, number);
      const after = await lockNumbers(directory);
      if (after.every((other) => other === number || before.includes(other))) {
        await lock.removeOlder();
        return lock;
      }
      // Another one was made while we looked at an older state of the folder. Both step back.
      await lock.release();
      await sleep(50 * Math.random());
    }
  }

  /**
   * Makes sure that the folder is still ours, before something is written: a process that was stopped for long may have
   * been taken for dead.
   * @throws FailureError when another has it
   */
  async check(): Promise<void> {
    const look = (): Promise<LockFile | undefined> => currentLock(this.directory).catch(() => undefined);
    let holder = await look();
    if (holder && holder.number > this.number) {
      // It may be one that steps back.
      await sleep(500);
      holder = await look();
    }
    if (holder && holder.number > this.number) {
      throw new FailureError(
        `${this.directory} was taken over by ${name(holder.owner)} while this process gave no sign of life; it stops without writing there any more`,
      );
    }
    // Someone has tidied up: the lock is made again, unless the folder itself is gone.
    if (!holder) await makeLock(this.directory, this.number).catch(() => undefined);
  }

  /** Gives the folder back. */
  async release(): Promise<void> {
    clearInterval(this.beat);
    await rm(this.path, { force: true }).catch(() => undefined);
  }

  private get path(): string {
    return lockPath(this.directory, this.number);
  }

  private async removeOlder(): Promise<void> {
    for (const number of await lockNumbers(this.directory)) {
      if (number < this.number) await rm(lockPath(this.directory, number), { force: true });
    }
  }
}

/**
 * Whether a lock's process lives; `gone` when the lock is another by now. A process that can't be asked from here is
 * watched for signs of life.
 */
async function watch(directory: string, lock: LockFile, options: LockOptions): Promise<'alive' | 'dead' | 'gone'> {
  const { onWait, patience = defaultPatience } = options;
  const pause = Math.min(200, patience / 20);
  const [began, seen] = [performance.now(), await modified(lock.path)];
  for (let [current, told]: [LockFile | undefined, boolean] = [lock, false]; ; ) {
    if (current?.number !== lock.number) return 'gone';
    const answer = current.owner ? lives(current.owner) : 'unknown';
    if (answer !== 'unknown') return answer === 'yes' ? 'alive' : 'dead';
    const now = await modified(current.path);
    if (now !== undefined && now !== seen && current.owner) return 'alive';
    const waited = performance.now() - began;
    if (waited > patience) return 'dead';
    if (!told && waited > pause) {
      const most = Math.ceil(patience / 1000);
      onWait?.(`${directory}: ${name(current.owner)} had it last; waiting up to ${most} s for a sign of life from it`);
      told = true;
    }
    await sleep(pause);
    current = await currentLock(directory);
  }
}

function inUse(directory: string, { owner, path }: LockFile): FailureError {
  return new FailureError(
    `${directory}: ${name(owner)} is training into it; stop that one or wait for its end, or choose another folder` +
      ` (should it not be a densec train, remove ${path})`,
  );
}

function name(owner: ProcessIdentity | undefined): string {
  if (!owner) return 'a process';
  const { pid, host, space } = thisProcess();
  if (owner.pid === pid && owner.space === space) return `this process (${pid})`;
  return `process ${owner.pid}${owner.host === host ? '' : ` on ${owner.host}`}`;
}

/** The lock that counts, if there is any. */
async function currentLock(directory: string): Promise<LockFile | undefined> {
  return readLock(directory, await lockNumbers(directory));
}

async function readLock(directory: string, numbers: readonly number[]): Promise<LockFile | undefined> {
  const number = Math.max(0, ...numbers);
  if (number === 0) return undefined;
  const path = lockPath(directory, number);
  const text = await readFile(path, 'utf8').catch(() => '');
  return { number, path, owner: parseOwner(text) };
}

function parseOwner(text: string): ProcessIdentity | undefined {
  try {
    return processSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function lockNumbers(directory: string): Promise<number[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    // Whoever wants to write there says what is wrong with a file in its place.
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw fileFailure('read', directory, error);
  });
  return names.flatMap((entry) => lockName.exec(entry)?.[1] ?? []).map(Number);
}

/** Makes a lock's file; false where there is one. @throws FailureError when the folder can't be written */
async function makeLock(directory: string, number: number): Promise<boolean> {
  const path = lockPath(directory, number);
  try {
    await writeFile(path, `${JSON.stringify(thisProcess())}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    await rm(path, { force: true }).catch(() => undefined);
    throw fileFailure('write', directory, error);
  }
}

function lockPath(directory: string, number: number): string {
  return join(directory, `.lock-${String(number).padStart(6, '0')}`);
}

async function modified(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now);
}
