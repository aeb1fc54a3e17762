/** @file Files written whole or not at all, and the operating system's file errors in words. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, mkdtemp, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { FailureError } from '../../ir/errors.js';

/** Temporary names; they don't grow with the target's, which may already be as long as the file system allows. */
const temporaryName = /^\.densec-[0-9a-f]{16}\.tmp$/;

/** A new temporary name in a folder. */
export function temporaryIn(directory: string): string {
  return join(directory, `.densec-${randomBytes(8).toString('hex')}.tmp`);
}

/**
 * Writes a file so that a crash or a full disk leaves either the old file or the new one, never a part: the data
 * goes to a temporary name in the same folder, is synced to the disk and renamed, and then the folder is synced, so
 * that a file written later is never there without this one. Memory behind `data` must not change until the promise
 * resolves.
 * @param data text (UTF-8), bytes, or pieces that are written one after the other
 * @throws FailureError when the folder is missing, the disk is full, access is denied, or `path` is no plain file;
 * the temporary file is removed. Errors that iterating over `data` throws pass through unchanged.
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string | Iterable<Uint8Array>): Promise<void> {
  const temporary = temporaryIn(dirname(path));
  try {
    await refuseSpecialFile(path);
    await writeSynced(await open(temporary, 'wx'), data);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    // The first error is the one to report; a leftover temporary file does no harm.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileFailure('write', path, error);
  }
}

/**
 * Makes a folder and those above it that are missing. Node's recursive `mkdir` never ends where a file system refuses
 * new names with ENOENT, as `/proc` does.
 * @throws FailureError when a folder can't be made, or a file is in its place
 */
export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path);
  try {
    await mkdir(folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' || dirname(folder) === folder) throw error;
      await makeFolder(dirname(folder));
      await mkdir(folder);
    });
  } catch (error) {
    const existing = await stat(folder).catch(() => undefined);
    if (!existing?.isDirectory()) throw fileFailure('write', path, error);
  }
}

/** Makes sure that what was renamed in a folder stays so after a crash, where the system lets one ask for it. */
export async function syncFolder(directory: string): Promise<void> {
  // Windows opens no folders, and needs no sync of them.
  if (process.platform === 'win32') return;
  let handle: FileHandle | undefined;
  try {
    handle = await open(directory, 'r');
    await handle.sync();
  } catch (error) {
    // Some network file systems know no sync of a folder, and one may be allowed to write but not to list it.
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['EINVAL', 'ENOTSUP', 'EBADF', 'EACCES', 'EPERM'].includes(code)) throw error;
  } finally {
    await handle?.close();
  }
}

/**
 * Removes the temporary files that writers left in a folder when they were killed. Nothing may be writing there.
 * @throws FailureError when one can't be removed
 */
export async function removeTemporaries(directory: string): Promise<void> {
  try {
    const left = (await readdir(directory)).filter((name) => temporaryName.test(name));
    for (const name of left) await rm(join(directory, name), { recursive: true, force: true });
  } catch (error) {
    throw fileFailure('write', directory, error);
  }
}

/**
 * Makes a new folder for files that are wanted for a moment, where the system keeps such.
 * @throws FailureError naming TMPDIR when it can't be made
 */
export async function temporaryFolder(name: string): Promise<string> {
  const prefix = join(tmpdir(), `densec-${name}`);
  return mkdtemp(`${prefix}-`).catch((error: unknown) => {
    const failure = fileFailure('write', prefix, error);
    if (!(failure instanceof FailureError)) throw failure;
    throw new FailureError(`${failure.message}; TMPDIR names the folder for temporary files`, { cause: error });
  });
}

/**
 * The error to throw when an operation on a file failed: a FailureError that says what to do for an error of the
 * operating system; any other error as it is.
 */
export function fileFailure(action: 'read' | 'write', path: string, error: unknown): Error {
  const failure = error instanceof Error ? error : new Error(String(error));
  const code = (failure as NodeJS.ErrnoException).code ?? '';
  if (!/^E[A-Z0-9]+$/.test(code)) {
    return failure;
  }
  const reason = reasonFor(code, action, path) ?? `${failure.message}; check the path and the disk`;
  return new FailureError(`cannot ${action} ${path}: ${reason}`, { cause: failure });
}

/** Renaming over a device or a folder would destroy it or fail late. */
async function refuseSpecialFile(path: string): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  if (existing !== undefined && !existing.isFile()) {
    const kind = existing.isDirectory() ? 'a folder' : 'a device, pipe or socket';
    throw new FailureError(`cannot write ${path}: it is ${kind}, not a file; give the path of a file`);
  }
}

async function writeSynced(handle: FileHandle, data: Uint8Array | string | Iterable<Uint8Array>): Promise<void> {
  try {
    await writeFile(handle, data);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function reasonFor(code: string, action: 'read' | 'write', path: string): string | undefined {
  switch (code) {
    case 'ENOENT':
      return action === 'read'
        ? 'there is no such file or folder; check the path'
        : `there is no folder ${dirname(path)}, or it takes no new files; create it or write elsewhere`;
    case 'EACCES':
    case 'EPERM':
      return `permission denied; change the permissions or ${action === 'read' ? 'copy the file' : 'write elsewhere'}`;
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full; free some space or write elsewhere';
    case 'EROFS':
      return 'the file system is read-only; write elsewhere';
    case 'EFBIG':
      return 'the file is as large as it may get; raise the limit (ulimit -f) or write elsewhere';
    case 'EEXIST':
      return 'there is a file where a folder should be; choose another name';
    case 'EISDIR':
      return 'it is a folder; give the path of a file';
    case 'ENOTDIR':
      return 'a part of the path is a file, not a folder; check the path';
    default:
      return undefined;
  }
}
