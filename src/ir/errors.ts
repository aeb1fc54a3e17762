/** @file The errors densec raises on purpose, each with the exit code of the command line's contract. */

/** Base of every expected error. The message names the value, the limit or expectation, and the remedy. */
export abstract class DensecError extends Error {
  /** Exit code of the process when this error ends a command. */
  abstract readonly exitCode: number;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A file, a data set, the runtime or the disk failed: exit code 1. */
export class FailureError extends DensecError {
  readonly exitCode = 1;
}

/** The request can't be met as asked (flags, shapes, impossible depth, impossible budget): exit code 2. */
export class RequestError extends DensecError {
  readonly exitCode = 2;
}

/** A broken invariant, so a bug of densec itself. The only error shown with a stack trace. */
export class InternalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`internal: ${message}`, options);
    this.name = 'InternalError';
  }
}
