/** @file A model loaded in a worker thread, so that the main thread stays free while a step runs. */

import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import {
  aCount,
  aFlag,
  anObject,
  FailureError,
  type Kinds,
  oneOf,
  RequestError,
  type TensorData,
} from '../../ir/index.js';
import { ownFile } from '../../own-files.js';
import { cpu, type Device, type DeviceOptions, deviceOptionsOf } from './devices.js';
import type { ArenaBytes } from './model-session.js';
import type { ProcessLink } from './mpi/meeting.js';
import type { Inspection, Reply, Request, RunRequest } from './protocol.js';
import { requireRuntime } from './runtime-package.js';
import type { SessionChoice } from './session-choice.js';

/** How to run a model. */
export interface SessionOptions extends DeviceOptions {
  readonly device?: Device;
  /** Threads of one operator; by default the number of cores. */
  readonly threads?: number;
  /** The processes that take each step together, where there are several. */
  readonly link?: ProcessLink | undefined;
}

/** What sessions take, option by option. */
export const sessionKinds: Kinds<SessionOptions> = {
  link: anObject,
  device: {
    expects: "a device, as in { target: 'cpu', index: 0 } (target cpu, cuda or webgpu)",
    accepts: (value) => {
      const { target, index } = (value ?? {}) as Record<string, unknown>;
      return oneOf('cpu', 'cuda', 'webgpu').accepts(target) && aCount(0).accepts(index);
    },
  },
  threads: aCount(1),
  tf32: aFlag,
  cudaGraph: aFlag,
  allowHostNodes: aFlag,
};

/** The session options among others. */
export function sessionOf({ device, threads, link, ...options }: SessionOptions): SessionOptions {
  return { ...(device && { device }), ...(threads !== undefined && { threads }), ...deviceOptionsOf(options), link };
}

/** One model with its state. Requests are answered in the order they are made. */
export class Session {
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private nextId = 0;
  /** Why no further request can be answered. */
  private ended: Error | undefined;

  private constructor(
    private readonly worker: Worker,
    private readonly model: string,
  ) {
    worker.on('message', (reply: Reply) => this.settle(reply));
    worker.on('error', (error) =>
      this.fail(new FailureError(`running ${model} failed: ${error.message}`, { cause: error })),
    );
    worker.on('exit', (code) => this.fail(new FailureError(`the thread that ran ${model} ended with code ${code}`)));
  }

  /**
   * Loads a model.
   * @param model path of an ONNX file
   * @param choice what the model's kind is run with, and what to see of it
   * @throws FailureError when it can't be read or the device can't run it
   */
  static async open(
    model: string,
    { optimization, memoryPattern, profilePrefix, optimizedModel, disabledOptimizers }: SessionChoice & Inspection,
    { device = cpu, threads = availableParallelism(), link, ...options }: SessionOptions = {},
  ): Promise<Session> {
    requireRuntime();
    const session = new Session(new Worker(ownFile('runtime/session/worker.js')), model);
    try {
      await session.ask({
        kind: 'open',
        model,
        device,
        threads,
        optimization,
        memoryPattern,
        ...deviceOptionsOf(options),
        link,
        ...(profilePrefix !== undefined && { profilePrefix }),
        ...(optimizedModel !== undefined && { optimizedModel }),
        ...(disabledOptimizers && { disabledOptimizers }),
      });
    } catch (error) {
      await session.worker.terminate();
      throw error;
    }
    return session;
  }

  /** Sets state inputs by name; buffers are copied. */
  async setState(tensors: Iterable<readonly [string, TensorData]>): Promise<void> {
    await this.ask({ kind: 'setState', tensors: [...tensors] });
  }

  /** A copy of the state inputs by name. */
  async getState(): Promise<ReadonlyMap<string, TensorData>> {
    return new Map((await this.ask({ kind: 'getState' })) as [string, TensorData][]);
  }

  /**
   * Runs the model on `feeds` and the state, whose outputs named in `updates` replace it.
   * @returns the outputs named in `results`
   */
  async run(request: Omit<RunRequest, 'kind'>): Promise<ReadonlyMap<string, TensorData>> {
    return new Map((await this.ask({ kind: 'run', ...request })) as [string, TensorData][]);
  }

  /** What the arena of the session's device says; null where it can't be asked. */
  async arena(): Promise<ArenaBytes | null> {
    return (await this.ask({ kind: 'arena' })) as ArenaBytes | null;
  }

  /** Frees the model and ends the thread. */
  async close(): Promise<void> {
    if (this.ended) return;
    // The worker ends by itself once it has released the model: ending it in mid-run would abort the process.
    const exit = once(this.worker, 'exit');
    await this.ask({ kind: 'close' });
    this.ended = new RequestError(`${this.model} is closed already; open it again`);
    await exit;
  }

  private ask(request: Request): Promise<unknown> {
    if (this.ended) return Promise.reject(this.ended);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id });
    });
  }

  private settle({ id, value, error, isRequest }: Reply): void {
    const request = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) request?.resolve(value);
    else if (isRequest) request?.reject(new RequestError(error));
    else request?.reject(new FailureError(`onnxruntime could not run ${this.model}: ${error}`));
  }

  private fail(error: Error): void {
    this.ended ??= error;
    for (const request of this.waiting.values()) request.reject(error);
    this.waiting.clear();
  }
}
