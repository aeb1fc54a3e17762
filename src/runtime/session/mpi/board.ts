/**
 * @file Where each process of a host tells the others how far it is: a file without a name, a record for each process. What
 * is read there is for messages and for giving up in time; nothing is computed from it.
 */

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const recordBytes = 1024;

/** Numbers of a record, written by the thread of the session. */
const fromSession = ['sums', 'waitedMs'] as const;
/** And by the main thread. */
const fromMain = ['meetings', 'step', 'state', 'code'] as const;

const messageAt = 8 * (fromSession.length + fromMain.length);

/** What a process has last told. */
export type BoardRecord = Readonly<Record<(typeof fromSession)[number] | (typeof fromMain)[number], number>> & {
  readonly message: string;
};

/** States of a process. */
export const boardStates = { running: 0, failed: 1, ended: 2 } as const;

/** Records of processes, by a file that all of a host have open. */
export class Board {
  constructor(
    /** Valid in all threads of the process. */
    readonly file: number,
    private readonly rank: number,
  ) {}

  /** Makes the file of a host, for others to open. */
  static make(): { readonly path: string; remove(): void } {
    const folder = mkdtempSync(join(tmpdir(), 'densec-processes-'));
    const path = join(folder, 'board');
    closeSync(openSync(path, 'w'));
    return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
  }

  static open(path: string, rank: number): Board {
    const board = new Board(openSync(path, 'r+'), rank);
    writeSync(board.file, new Uint8Array(recordBytes), 0, recordBytes, rank * recordBytes);
    return board;
  }

  /** Tells how many sums the session has come to, and how long it has waited in them. */
  tellSession(record: Pick<BoardRecord, (typeof fromSession)[number]>): void {
    this.write(
      0,
      fromSession.map((name) => record[name]),
    );
  }

  /** Tells how far the main thread is. */
  tellMain(record: Pick<BoardRecord, (typeof fromMain)[number]>, message = ''): void {
    const text = Buffer.from(message).subarray(0, recordBytes - messageAt - 1);
    if (text.length > 0) writeSync(this.file, text, 0, text.length, this.rank * recordBytes + messageAt);
    this.write(
      8 * fromSession.length,
      fromMain.map((name) => record[name]),
    );
  }

  read(rank: number): BoardRecord {
    const bytes = new Uint8Array(recordBytes);
    readSync(this.file, bytes, 0, recordBytes, rank * recordBytes);
    const numbers = new Float64Array(bytes.buffer, 0, fromSession.length + fromMain.length);
    const entries = [...fromSession, ...fromMain].map((name, index) => [name, numbers[index] ?? 0]);
    const text = Buffer.from(bytes.subarray(messageAt));
    const end = text.indexOf(0);
    return { ...Object.fromEntries(entries), message: text.subarray(0, end < 0 ? undefined : end).toString('utf8') };
  }

  private write(offset: number, numbers: readonly number[]): void {
    const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
    writeSync(this.file, bytes, 0, bytes.length, this.rank * recordBytes + offset);
  }
}
