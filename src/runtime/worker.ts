/**
 * @file The thread in which a session lives, since a run blocks its thread. State stays here between runs: a run reads
 * one set of buffers and writes the other, and the two change places.
 */

import { parentPort } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { TensorData } from '../ir/index.js';
import { executionProviders } from './devices.js';
import type { OpenRequest, Reply, Request, RunRequest } from './protocol.js';

/** A model with the state it carries from run to run. */
class StatefulSession {
  private readonly state = new Map<string, { current: Tensor; next: Tensor }>();

  private constructor(private readonly session: InferenceSession) {}

  static async open({ model, device, threads, optimization }: OpenRequest): Promise<StatefulSession> {
    const session = await InferenceSession.create(model, {
      executionProviders: executionProviders(device),
      intraOpNumThreads: threads,
      graphOptimizationLevel: optimization,
      // Packing buffers by the first run's pattern comes on top of what that run took: it nearly doubles memory.
      enableMemPattern: false,
      logSeverityLevel: 3,
    });
    return new StatefulSession(session);
  }

  setState(tensors: readonly (readonly [string, TensorData])[]): void {
    for (const [name, { dtype, shape, data }] of tensors) {
      const spare = data.slice();
      this.state.set(name, {
        current: new Tensor(dtype, data as Float32Array, shape),
        next: new Tensor(dtype, spare as Float32Array, shape),
      });
    }
  }

  getState(): [string, TensorData][] {
    return [...this.state].map(([name, { current }]) => [name, toData(current)]);
  }

  async run({ feeds, results, updates }: RunRequest): Promise<[string, TensorData][]> {
    const inputs: Record<string, Tensor> = {};
    for (const [name, { dtype, shape, data }] of feeds) inputs[name] = new Tensor(dtype, data as Float32Array, shape);
    for (const [name, { current }] of this.state) inputs[name] = current;
    const fetches: Record<string, Tensor | null> = {};
    for (const name of results) fetches[name] = null;
    for (const { output, input } of updates) fetches[output] = this.slot(input).next;
    const outputs = await this.session.run(inputs, fetches);
    for (const { input } of updates) {
      const slot = this.slot(input);
      [slot.current, slot.next] = [slot.next, slot.current];
    }
    return results.map((name) => [name, toData(outputs[name] as Tensor)]);
  }

  close(): Promise<void> {
    return this.session.release();
  }

  private slot(name: string): { current: Tensor; next: Tensor } {
    const slot = this.state.get(name);
    if (!slot) throw new Error(`internal: the state ${name} was never set`);
    return slot;
  }
}

function toData(tensor: Tensor): TensorData {
  return { dtype: tensor.type, shape: tensor.dims, data: tensor.data } as TensorData;
}

let session: StatefulSession | undefined;

async function handle(request: Request): Promise<unknown> {
  if (request.kind === 'open') {
    session = await StatefulSession.open(request);
    return undefined;
  }
  if (!session) throw new Error('internal: the session is not open');
  switch (request.kind) {
    case 'setState':
      return session.setState(request.tensors);
    case 'getState':
      return session.getState();
    case 'run':
      return session.run(request);
    case 'close':
      return session.close();
  }
}

// One request after the other: the main thread may send the next before the last is answered.
let pending = Promise.resolve();
parentPort?.on('message', (request: Request & { id: number }) => {
  pending = pending.then(async () => {
    let reply: Reply;
    try {
      reply = { id: request.id, value: await handle(request) };
    } catch (error) {
      reply = { id: request.id, error: error instanceof Error ? error.message : String(error) };
    }
    parentPort?.postMessage(reply);
    if (request.kind === 'close') parentPort?.close();
  });
});
