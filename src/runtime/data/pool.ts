/** @file Data workers: threads that do jobs, with the results in the order asked for, whatever their number. */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DensecError, FailureError, InternalError } from '../../ir/errors.js';
import { ownFile } from '../../own-files.js';
import { type Job, type JobReply, type JobRequest, type JobResult, performJob, type WorkerData } from './jobs.js';

/** Data workers unless told: one core is left to the step, and more than four rarely help. */
export const defaultDataWorkers = Math.min(4, Math.max(1, availableParallelism() - 1));

/** How many jobs are begun ahead of being asked for: one in each worker's hands and one waiting. */
export function batchesAhead(workers: number): number {
  return workers === 0 ? 0 : workers + 1;
}

interface Waiting {
  readonly id: number;
  readonly job: Job;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  busy?: Waiting | undefined;
}

/** A number of threads that do jobs; with none, the thread that asks does them. */
export class DataPool {
  private readonly threads: Thread[];
  private readonly queue: Waiting[] = [];
  private nextId = 0;
  /** Why no further job can be done. */
  private ended: Error | undefined;

  /**
   * @param data what every job is about; images on shared memory are not copied
   * @param workers number of threads; 0 does each job in this thread, when it is asked for
   */
  constructor(
    private readonly data: WorkerData,
    readonly workers: number = defaultDataWorkers,
  ) {
    this.threads = Array.from({ length: workers }, () => this.startThread());
  }

  /** Does a job. @throws FailureError when a file can't be read, or a worker ended */
  run<J extends Job>(job: J): Promise<JobResult<J>> {
    if (this.ended) return Promise.reject(this.ended);
    if (this.workers === 0) return performJob(this.data, job) as Promise<JobResult<J>>;
    return new Promise((resolve, reject) => {
      this.queue.push({ id: this.nextId++, job, resolve: resolve as (result: unknown) => void, reject });
      this.dispatch();
    });
  }

  /** Does jobs in turn, begun ahead of being asked for. */
  async *inOrder<J extends Job>(jobs: Iterable<J>): AsyncGenerator<JobResult<J>, undefined> {
    const ahead = batchesAhead(this.workers);
    const begun: Promise<JobResult<J>>[] = [];
    for (const job of jobs) {
      const result = this.run(job);
      // Whoever asks for it is told; until then the failure is not unhandled.
      result.catch(() => undefined);
      begun.push(result);
      if (begun.length > ahead) yield await (begun.shift() as Promise<JobResult<J>>);
    }
    for (const result of begun) yield await result;
    return undefined;
  }

  /** Ends the threads once the jobs in hand are done; those that wait are dropped. */
  async close(): Promise<void> {
    const closed = new InternalError('the data workers are closed');
    this.ended ??= closed;
    for (const { reject } of this.queue.splice(0)) reject(closed);
    const alive = this.threads.filter(({ worker }) => worker.threadId > 0);
    await Promise.all(
      alive.map(({ worker }) => {
        const exit = new Promise((resolve) => worker.once('exit', resolve));
        worker.postMessage('close' satisfies JobRequest);
        return exit;
      }),
    );
  }

  private startThread(): Thread {
    const worker = new Worker(ownFile('runtime/data/worker.js'), { workerData: this.data });
    const thread: Thread = { worker };
    worker.on('message', (reply: JobReply) => this.settle(thread, reply));
    worker.on('error', (error) => this.fail(error.message, error));
    worker.on('exit', (code) => {
      if (!this.ended) this.fail(`it ended with code ${code}`);
    });
    return thread;
  }

  private dispatch(): void {
    for (const thread of this.threads) {
      if (thread.busy) continue;
      const next = this.queue.shift();
      if (!next) return;
      thread.busy = next;
      thread.worker.postMessage({ id: next.id, job: next.job } satisfies JobRequest);
    }
  }

  private settle(thread: Thread, reply: JobReply): void {
    const waiting = thread.busy;
    thread.busy = undefined;
    if ('result' in reply) waiting?.resolve(reply.result);
    else waiting?.reject('failure' in reply ? new FailureError(reply.failure) : new InternalError(reply.bug));
    this.dispatch();
  }

  /** One thread is gone: the run can't go on, and says so once. */
  private fail(reason: string, cause?: unknown): void {
    this.ended ??=
      cause instanceof DensecError
        ? cause
        : new FailureError(
            `a data worker failed: ${reason}; try fewer with --data-workers, or 0 to read data in the main thread`,
            { cause },
          );
    const waiting = [...this.threads.flatMap(({ busy }) => busy ?? []), ...this.queue.splice(0)];
    for (const { reject } of waiting) reject(this.ended);
  }
}
