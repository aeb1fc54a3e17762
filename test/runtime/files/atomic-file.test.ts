/** @file Files written whole or not at all. */

import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FailureError } from '../../../src/ir/errors.js';
import { fileFailure, makeFolder, writeFileAtomic } from '../../../src/runtime/files/atomic-file.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'densec-atomic-'));
});
afterEach(() => rm(folder, { recursive: true }));

test.each([
  ['text', 'grün\n', 'grün\n'],
  ['bytes', new TextEncoder().encode('abc'), 'abc'],
  ['pieces', [new Uint8Array([97]), new Uint8Array(0), new Uint8Array([98, 99])], 'abc'],
  ['nothing', '', ''],
])('writes %s and leaves no other file', async (_, data, expected) => {
  const path = join(folder, 'out');
  await writeFileAtomic(path, data);
  expect(await readFile(path, 'utf8')).toBe(expected);
  expect(await readdir(folder)).toEqual(['out']);
});

test('replaces an older file', async () => {
  const path = join(folder, 'out');
  await writeFileAtomic(path, 'a longer old text');
  await writeFileAtomic(path, 'new');
  expect(await readFile(path, 'utf8')).toBe('new');
});

test('takes a name as long as the file system allows', async () => {
  const name = 'x'.repeat(255);
  await writeFileAtomic(join(folder, name), 'text');
  expect(await readdir(folder)).toEqual([name]);
});

test('keeps the old file and no temporary one when the data fails halfway', async () => {
  const path = join(folder, 'out');
  await writeFile(path, 'old');
  function* failing() {
    yield new Uint8Array(100_000);
    throw new RangeError('no more');
  }
  await expect(writeFileAtomic(path, failing())).rejects.toThrow(RangeError);
  expect(await readFile(path, 'utf8')).toBe('old');
  expect(await readdir(folder)).toEqual(['out']);
});

test('a missing folder is named', async () => {
  const path = join(folder, 'missing', 'out');
  await expect(writeFileAtomic(path, 'text')).rejects.toThrow(
    `cannot write ${path}: there is no folder ${join(folder, 'missing')}, or it takes no new files; create it or write elsewhere`,
  );
});

test('a file in place of a folder', async () => {
  await writeFile(join(folder, 'file'), '');
  await expect(writeFileAtomic(join(folder, 'file', 'out'), 'text')).rejects.toThrow('a part of the path is a file');
});

test('a folder is not replaced', async () => {
  await mkdir(join(folder, 'sub'));
  await expect(writeFileAtomic(join(folder, 'sub'), 'text')).rejects.toThrow('it is a folder, not a file');
  expect(await readdir(folder)).toEqual(['sub']);
});

test('a socket is not replaced', async () => {
  const path = join(folder, 'socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  await expect(writeFileAtomic(path, 'text')).rejects.toThrow('it is a device, pipe or socket, not a file');
  server.close();
});

test.each([
  ['ENOSPC', 'cannot write out: the disk is full; free some space or write elsewhere'],
  ['EACCES', 'cannot write out: permission denied; change the permissions or write elsewhere'],
  ['EROFS', 'cannot write out: the file system is read-only; write elsewhere'],
  ['EIO', 'cannot write out: EIO: simulated; check the path and the disk'],
])('%s in words', (code, message) => {
  const cause = Object.assign(new Error(`${code}: simulated`), { code });
  const failure = fileFailure('write', 'out', cause);
  expect(failure).toBeInstanceOf(FailureError);
  expect(failure.message).toBe(message);
  expect(failure.cause).toBe(cause);
});

test('errors that are not of the operating system stay as they are', () => {
  const error = new TypeError('a bug');
  expect(fileFailure('read', 'in', error)).toBe(error);
  expect(fileFailure('read', 'in', Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' }))).toBe(error);
});

test('makes a folder with all above it, and leaves one that is there', async () => {
  const path = join(folder, 'a', 'b', 'c');
  await makeFolder(path);
  await writeFile(join(path, 'file'), '');
  await makeFolder(path);
  expect(await readdir(path)).toEqual(['file']);
  await expect(makeFolder(join(path, 'file'))).rejects.toThrow(FailureError);
  await expect(makeFolder(join(path, 'file', 'inside'))).rejects.toThrow(/a part of the path is a file/);
});

test.runIf(process.platform === 'linux')('ends where the file system takes no new names', async () => {
  await expect(makeFolder('/proc/densec/inside')).rejects.toThrow(FailureError);
});
