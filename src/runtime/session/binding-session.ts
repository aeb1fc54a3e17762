/**
 * @file A session by Node's binding: a model with the state it carries from run to run. A run reads one set of buffers and writes the other, and the
 * two change places. It blocks its thread: a worker or a process of its own is where it belongs.
 */

import './telemetry.js';
import { MessageChannel } from 'node:worker_threads';
import { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import { FailureError, InternalError, type TensorData } from '../../ir/index.js';
import type { Device } from './devices.js';
import type { ModelSession, RuntimeFacts, SessionRequest } from './model-session.js';
import type { RunRequest } from './protocol.js';

/** A loaded model and its state. */
export class StatefulSession implements ModelSession {
  private readonly state = new Map<string, { current: Tensor; next: Tensor }>();

  private constructor(
    private readonly session: InferenceSession,
    readonly facts: RuntimeFacts,
    /** The binding can't ask. */
    readonly onHost: readonly [] | null,
  ) {}

  /** Loads a model. @throws Error of the runtime when it can't be loaded */
  static async open(request: SessionRequest, facts: RuntimeFacts): Promise<StatefulSession> {
    const { model, device, threads, optimization, memoryPattern } = request;
    const { profilePrefix, optimizedModel, disabledOptimizers = [] } = request;
    const options: InferenceSession.SessionOptions = {
      executionProviders: executionProviders(device),
      intraOpNumThreads: threads,
      graphOptimizationLevel: optimization,
      enableMemPattern: memoryPattern,
      logSeverityLevel: 3,
      ...(profilePrefix !== undefined && { enableProfiling: true, profileFilePrefix: profilePrefix }),
      ...(optimizedModel !== undefined && { optimizedModelFilePath: optimizedModel }),
      ...(disabledOptimizers.length > 0 && {
        extra: { optimization: { disable_specified_optimizers: disabledOptimizers.join(';') } },
      }),
    };
    // Two calls, since the binding's types have no signature that takes both kinds of model.
    return new StatefulSession(
      typeof model === 'string'
        ? await InferenceSession.create(model, options)
        : await InferenceSession.create(model, options),
      facts,
      device.target === 'cpu' ? [] : null,
    );
  }

  /** Sets state inputs by name; the buffers are taken over. */
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

  /** Runs the model on `feeds` and the state, whose outputs named in `updates` replace it. */
  async run({ feeds, results, updates }: Omit<RunRequest, 'kind'>): Promise<[string, TensorData][]> {
    const inputs: Record<string, Tensor> = {};
    for (const [name, { dtype, shape, data }] of feeds) inputs[name] = new Tensor(dtype, data as Float32Array, shape);
    for (const [name, { current }] of this.state) inputs[name] = current;
    const fetches: Record<string, Tensor | null> = {};
    for (const name of results) fetches[name] = null;
    for (const { output, input } of updates) fetches[output] = this.slot(input).next;
    const outputs = await this.session.run(inputs, fetches);
    const copies: ArrayBuffer[] = [];
    for (const { output, input } of updates) {
      const slot = this.slot(input);
      const buffer = outputs[output]?.data;
      if (ArrayBuffer.isView(buffer) && buffer.buffer !== (slot.next.data as Float32Array).buffer) {
        copies.push(buffer.buffer as ArrayBuffer);
      }
      [slot.current, slot.next] = [slot.next, slot.current];
    }
    release(copies);
    return results.map((name) => [name, toData(outputs[name] as Tensor)]);
  }

  /** The binding can't ask. */
  arena(): null {
    return null;
  }

  /** Writes the profile, where one was asked for. */
  endProfiling(): void {
    this.session.endProfiling();
  }

  /** Frees the model. */
  close(): Promise<void> {
    return this.session.release();
  }

  private slot(name: string): { current: Tensor; next: Tensor } {
    const slot = this.state.get(name);
    if (!slot) throw new InternalError(`the state ${name} was never set`);
    return slot;
  }
}

/**
 * Gives memory back at once. The binding returns each output as a copy, also where it was written into a buffer of ours;
 * left to the garbage collector, two or three steps' copies of all state pile up. What is sent through a closed port
 * is freed without arriving anywhere.
 */
function release(buffers: ArrayBuffer[]): void {
  if (buffers.length > 0) closedPort.postMessage(null, buffers);
}

const { port1: closedPort } = new MessageChannel();
closedPort.close();

function toData(tensor: Tensor): TensorData {
  return { dtype: tensor.type, shape: tensor.dims, data: tensor.data } as TensorData;
}

/** The providers of a session, best first. @throws FailureError when the device can't be used by this installation */
function executionProviders(device: Device): InferenceSession.ExecutionProviderConfig[] {
  const backends = listSupportedBackends().map(({ name }) => name);
  if (!backends.includes(device.target)) {
    throw new FailureError(`this onnxruntime has no ${device.target} provider, only ${backends.join(', ')}`);
  }
  if (device.target === 'cpu') return ['cpu'];
  if (device.target === 'cuda') return [{ name: 'cuda', deviceId: device.index }, 'cpu'];
  return ['webgpu', 'cpu'];
}
