/** @file A thread that ends the process where leaving MPI takes too long: the main thread waits in there. */

import { workerData } from 'node:worker_threads';
import { exitAtOnce } from '../ort/native.js';

/** What the thread is started with. */
export interface LastResort {
  readonly exitCode: number;
  readonly afterMs: number;
}

const { exitCode, afterMs } = workerData as LastResort;
setTimeout(() => exitAtOnce(exitCode), afterMs);
