/** @file How errors are told, and the exit code of each. */

import pc from 'picocolors';
import { DensecError } from '../src/ir/index.js';

/** An error that people have been told of: what is left of it is the exit code. */
export class ToldError extends Error {
  constructor(readonly exitCode: number) {
    super('told already');
  }
}

/** The exit code of an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof DensecError || error instanceof ToldError ? error.exitCode : 1;
}

/**
 * Tells of an error on stderr: a message, and a stack trace for a bug of ours or with `--debug`.
 * @param who what the message begins with, as in `process 1: `
 */
export function tellError(error: unknown, who = ''): void {
  const isExpected = error instanceof DensecError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red('error:')} ${who}${message}\n`);
  if (error instanceof Error && (process.argv.includes('--debug') || !isExpected)) {
    process.stderr.write(`${error.stack}\n`);
  }
  if (!isExpected) {
    process.stderr.write('This is a bug of densec; please report it with the command and the lines above.\n');
  }
}
