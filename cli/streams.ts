/** @file Standard output and standard error that may go away while a command runs: a closed pipe, a full disk. */

import pc from 'picocolors';
import { fileFailure } from '../src/runtime/files/atomic-file.js';

/** What a stream says whose reader or terminal has gone: nobody is left to tell anything. */
const readerGone: readonly (string | undefined)[] = ['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED'];

/**
 * Lets the command go on where nobody reads any more what it writes: a run of hours must not end because the terminal
 * was closed or because `head` had enough. Results that could not be written, as on a full disk, are told on
 * standard error at once, and the process ends with exit code 1.
 */
export function guardStreams(): void {
  // Without a listener each of these errors would end the process, and a session in mid-run would abort it.
  process.stderr.on('error', () => undefined);
  let lost = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (lost || readerGone.includes(error.code)) return;
    lost = true;
    const { message } = fileFailure('write', 'to standard output', error);
    process.stderr.write(`${pc.red('error:')} ${message}; the command goes on, what it prints is lost\n`);
    process.on('exit', () => {
      process.exitCode ||= 1;
    });
  });
}
