/**
 * @file A session at the runtime's C API. Inputs, outputs and state are bound to memory that stays where the session runs;
 * a step on CUDA is captured as a graph and replayed.
 */

import { FailureError, InternalError, type TensorData } from '../../../ir/index.js';
import { allReduce } from '../../../operators/index.js';
import { refuseHostNodes } from '../host-nodes.js';
import type { ArenaBytes, ModelSession, PlacedNode, RuntimeFacts, SessionRequest } from '../model-session.js';
import type { RunRequest } from '../protocol.js';
import { made, type OrtApi, ortApi, type Pointer } from './api.js';
import { type BoundRun, bindRun, type Slot, slotOf, takesTurns, unbindRun } from './bound-run.js';
import { cardKernels, createSession, levels, operatorsFor } from './create-session.js';
import { type Memory, memoryOf } from './memory.js';
import { checkInput, checkRun, type ModelFacts, readModel } from './model-facts.js';
import type { DeviceLibrary } from './own-operators.js';
import { nodesOnHost } from './placement.js';
import { updatedInPlace } from './state-order.js';
import { type Bound, memoryInfo, read, Tensors, write } from './tensors.js';

/** More threads than any machine has: the runtime starts as many as it is told. */
const mostThreads = 4096;

/** A run of the model, ready to be repeated. */
interface PreparedRun extends BoundRun {
  /** The session that runs it. */
  readonly session: Pointer;
  readonly options: Pointer;
  /** How many states it replaces. */
  readonly updates: number;
  /** The id of its graph, where runs are captured. */
  readonly graph: number | undefined;
  isCaptured: boolean;
}

/** Shapes of feeds for which memory is kept: the usual batch, and the last one of an epoch. */
const mostRuns = 4;

/** A loaded model and its state. */
export class CSession implements ModelSession {
  private readonly tensors: Tensors;
  private readonly state = new Map<string, Slot>();
  /** By shapes of feeds, and names of results and updates. */
  private readonly prepared = new Map<string, PreparedRun>();
  private direction = 0;
  private isRunning = false;
  private isClosed = false;
  /** Whether the profile has been written. */
  private hasProfile = false;
  /** Why no further run is possible. */
  private broken: Error | undefined;
  private graphs = 0;
  /** A second session for other shapes, where one session can hold one captured graph only. */
  private uncaptured: Pointer = null;

  private constructor(
    private readonly api: OrtApi,
    private readonly session: Pointer,
    private readonly memory: Memory,
    private readonly model: ModelFacts,
    private readonly library: DeviceLibrary | undefined,
    /** Whether the runtime runs the nodes that are in the file, in the order that follows from it. */
    private readonly runsAsWritten: boolean,
    private readonly profiled: boolean,
    private readonly captures: boolean,
    /** Opens the model once more, without capturing. */
    private readonly openUncaptured: () => Pointer,
    /** Whether inputs lie on the host and are copied to the device that reads them. */
    private readonly copiesInputs: boolean,
    readonly facts: RuntimeFacts,
    readonly onHost: readonly PlacedNode[],
  ) {
    this.tensors = new Tensors(api, memory);
  }

  /** Loads a model. @throws Error of the runtime when it can't be loaded; FailureError when a library is missing */
  static async open(request: SessionRequest): Promise<CSession> {
    const api = ortApi();
    const { device, threads, optimization } = request;
    if (!Number.isSafeInteger(threads) || threads < 1 || threads > mostThreads) {
      throw new InternalError(`a session runs with 1 to ${mostThreads} threads, not ${threads}`);
    }
    if (!(optimization in levels)) throw new InternalError(`there is no level of optimization ${optimization}`);
    const model = readModel(request.model);
    const library = device.target === 'cuda' ? await cardKernels(request, model) : undefined;
    const kernels = { table: await operatorsFor(request), library };
    const wantsGraph = device.target === 'cuda' && (request.cudaGraph ?? true) && request.profilePrefix === undefined;
    let cudaGraph: boolean | string = wantsGraph && request.optimization === 'disabled';
    if (cudaGraph && model.ownOperators.has(allReduce.name) && !library?.has(allReduce.name)) {
      cudaGraph = 'sums over the processes go through the host';
    }
    let session: Pointer;
    try {
      session = createSession(api, request, model, kernels, cudaGraph === true);
    } catch (error) {
      if (cudaGraph !== true) throw error;
      session = createSession(api, request, model, kernels, false);
      // The runtime refuses graphs that it could not capture, such as those with nodes on the host.
      cudaGraph = `the runtime refused to capture it: ${(error as Error).message}`;
      process.stderr.write(`steps are launched node by node: ${cudaGraph}\n`);
    }
    const onHost = device.target === 'cpu' ? [] : nodesOnHost(api, session);
    try {
      if (!request.allowHostNodes)
        refuseHostNodes(model.batchReaders, onHost, { source: model.source, device: device.target });
    } catch (error) {
      api.ReleaseSession(session);
      library?.close();
      throw error;
    }
    return new CSession(
      api,
      session,
      memoryOf(device),
      model,
      library,
      request.optimization === 'disabled',
      request.profilePrefix !== undefined,
      cudaGraph === true,
      () => createSession(api, request, model, kernels, false),
      device.target === 'webgpu',
      { api: 'c', version: api.version, ...(device.target === 'cuda' && { cudaGraph }) },
      onHost,
    );
  }

  setState(tensors: readonly (readonly [string, TensorData])[]): void {
    this.requireOpen();
    this.requireIdle();
    for (const [name, tensor] of tensors) checkInput(this.model, name, tensor);
    for (const [name, tensor] of tensors) {
      const slot = this.state.get(name);
      if (slot && slot.current.shape.join() === tensor.shape.join()) {
        write(slot.current, tensor);
        continue;
      }
      this.forgetRuns();
      if (slot) this.freeSlot(slot);
      const bound = this.tensors.allocate(tensor.dtype, tensor.shape);
      write(bound, tensor);
      this.state.set(name, { current: bound, next: bound });
    }
    this.broken = undefined;
  }

  getState(): [string, TensorData][] {
    this.requireOpen();
    return [...this.state].map(([name, { current }]) => [name, read(current)]);
  }

  async run(request: Omit<RunRequest, 'kind'>): Promise<[string, TensorData][]> {
    this.requireOpen();
    if (this.broken) throw this.broken;
    this.requireIdle();
    checkRun(this.model, request, new Map([...this.state].map(([name, { current }]) => [name, current])));
    this.isRunning = true;
    try {
      const { feeds, results, updates } = request;
      const run = this.preparedFor(request);
      for (const [name, tensor] of feeds) write(run.feeds.get(name) as Bound, tensor);
      if (run.graph !== undefined && !run.isCaptured) this.capture(run);
      this.runOnce(run);
      if (updates.length > 0 && takesTurns(this.state)) this.direction = 1 - this.direction;
      for (const { input } of updates) swap(slotOf(this.state, input));
      return results.map((name) => [name, read(run.results.get(name) as Bound)]);
    } finally {
      this.isRunning = false;
    }
  }

  arena(): ArenaBytes | null {
    this.requireOpen();
    // WebGPU's allocator keeps no statistics, and the host's arena is not what is meant.
    if (this.copiesInputs) return null;
    const { api } = this;
    const info = memoryInfo(api, this.memory, 'arena');
    const allocator = made(api.CreateAllocator, this.session, info);
    try {
      const pairs = made(api.AllocatorGetStats, allocator);
      const stats = api.pairs(pairs);
      api.ReleaseKeyValuePairs(pairs);
      const [peak, reserved] = [stats.get('MaxInUse'), stats.get('TotalAllocated')];
      return peak === undefined || reserved === undefined
        ? null
        : { peakBytes: Number(peak), reservedBytes: Number(reserved) };
    } finally {
      api.ReleaseAllocator(allocator);
      api.ReleaseMemoryInfo(info);
    }
  }

  endProfiling(): void {
    this.requireOpen();
    if (!this.profiled || this.hasProfile) return;
    this.hasProfile = true;
    const allocator = made(this.api.GetAllocatorWithDefaultOptions);
    const file = made(this.api.SessionEndProfiling, this.session, allocator);
    this.api.AllocatorFree(allocator, file);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.requireIdle();
    this.isClosed = true;
    this.forgetRuns();
    this.api.ReleaseSession(this.session);
    if (this.uncaptured !== null) this.api.ReleaseSession(this.uncaptured);
    for (const slot of this.state.values()) this.freeSlot(slot);
    this.library?.close();
  }

  private requireOpen(): void {
    if (this.isClosed) throw new InternalError('the session is closed');
  }

  private requireIdle(): void {
    if (this.isRunning) throw new InternalError('the session is in the midst of a run');
  }

  /** The runtime runs a step up to three times to capture it, so the state is put back before the first that counts. */
  private capture(run: PreparedRun): void {
    const before = [...this.state.values()].map(({ current }) => [current, current.block.read()] as const);
    this.runOnce(run);
    for (const [{ block }, bytes] of before) block.write(bytes);
    run.isCaptured = true;
  }

  private runOnce({ session, bindings, options, updates }: PreparedRun): void {
    const { pointer, bindInputs } = bindings[this.direction % bindings.length] as PreparedRun['bindings'][number];
    if (this.copiesInputs) bindInputs();
    try {
      this.api.RunWithBinding(session, options, pointer);
    } catch (error) {
      const { message } = error as Error;
      if (this.state.size === 0 || updates === 0) throw new FailureError(message, { cause: error });
      // Parameters change during the backward pass: nobody knows which ones have.
      this.broken = new FailureError(
        `the state is lost, since an earlier step failed half-way (${message}); go on from the last checkpoint`,
      );
      throw new FailureError(`${message}; the state is lost, since the step failed half-way`, { cause: error });
    }
  }

  private preparedFor(request: Omit<RunRequest, 'kind'>): PreparedRun {
    const { feeds, results, updates } = request;
    const key = JSON.stringify([feeds.map(([name, { shape }]) => [name, shape]), results, updates]);
    const known = this.prepared.get(key);
    if (known) return known;
    if (this.prepared.size >= mostRuns) {
      // A captured graph can't be taken back, so it stays as long as there is another to forget.
      const [oldest] = [...this.prepared].filter(([, run]) => run.graph === undefined).map(([key]) => key);
      this.forgetRun(oldest ?? (this.prepared.keys().next().value as string));
    }
    const run = this.prepare(request);
    this.prepared.set(key, run);
    return run;
  }

  private prepare(request: Omit<RunRequest, 'kind'>): PreparedRun {
    const { api, model, tensors, state, direction } = this;
    const { updates } = request;
    this.allocateNext(updates);
    const captured = this.captures && !takesTurns(state) && updates.length > 0 && !this.isTaken;
    const session = this.captures && this.isTaken ? this.secondSession() : this.session;
    const bound = bindRun({ api, session, model, tensors, state, direction }, request);
    const options = made(api.CreateRunOptions);
    const graph = captured ? ++this.graphs : undefined;
    if (this.captures && session === this.session) api.AddRunConfigEntry(options, 'gpu_graph_id', String(graph ?? -1));
    return { ...bound, session, options, updates: updates.length, graph, isCaptured: false };
  }

  /** Gives the next values of state memory of their own where they may not be written over the current ones. */
  private allocateNext(updates: RunRequest['updates']): void {
    const { model, state, tensors } = this;
    const inPlace = this.runsAsWritten
      ? updatedInPlace(model.program, updates, (a, b) => haveOneShape(model, a, b))
      : new Set<string>();
    const slots = updates.flatMap(({ input }) => (inPlace.has(input) ? [] : [slotOf(state, input)]));
    const missing = slots.filter(({ current, next }) => current === next);
    if (missing.length > 0) this.forgetRuns();
    for (const slot of missing) slot.next = tensors.allocate(slot.current.dtype, slot.current.shape);
  }

  /**
   * Whether a captured graph must stay the session's only one. Concatenations and splits of unequal parts read tables that
   * lie in memory which the session hands out again in its next plain run, so no plain run may follow. And where several
   * processes meet in a step, all must run it as often: a capture runs it more than once, so all capture their first.
   */
  private get isTaken(): boolean {
    const { hasTables, ownOperators } = this.model;
    if (!hasTables && !ownOperators.has(allReduce.name)) return false;
    return [...this.prepared.values()].some(({ graph }) => graph !== undefined);
  }

  private secondSession(): Pointer {
    this.uncaptured ??= this.openUncaptured();
    return this.uncaptured;
  }

  private freeSlot({ current, next }: Slot): void {
    this.tensors.free(current);
    if (next !== current) this.tensors.free(next);
  }

  private forgetRuns(): void {
    for (const key of [...this.prepared.keys()]) this.forgetRun(key);
  }

  private forgetRun(key: string): void {
    const run = this.prepared.get(key);
    if (!run) return;
    this.prepared.delete(key);
    this.api.ReleaseRunOptions(run.options);
    unbindRun({ api: this.api, tensors: this.tensors }, run);
  }
}

function swap(slot: Slot): void {
  [slot.current, slot.next] = [slot.next, slot.current];
}

/** Whether an input and an output of a model have the same extents. */
function haveOneShape({ inputs, outputs }: ModelFacts, input: string, output: string): boolean {
  const shape = inputs.get(input)?.shape;
  return shape !== undefined && shape.join() === outputs.get(output)?.shape.join();
}
