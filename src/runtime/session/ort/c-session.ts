/**
 * @file A session at the runtime's C API. Inputs, outputs and state are bound to memory that stays where the session runs;
 * a step on CUDA is captured as a graph and replayed.
 */

import { readFileSync } from 'node:fs';
import {
  bytesPerElement,
  type DType,
  elementCount,
  FailureError,
  InternalError,
  type TensorData,
} from '../../../ir/index.js';
import { decodeModel, elementTypes, type Program, programOf, valueTypes } from '../../../onnx/index.js';
import { allReduce, type OwnOperator, ownOperators } from '../../../operators/index.js';
import type { Device } from '../devices.js';
import { batchReaders, refuseHostNodes } from '../host-nodes.js';
import type { ArenaBytes, ModelSession, PlacedNode, RuntimeFacts, SessionRequest } from '../model-session.js';
import type { RunRequest } from '../protocol.js';
import { extentsForC, made, type OrtApi, ortApi, type Pointer } from './api.js';
import { type Block, type Memory, memoryOf } from './memory.js';
import { addOwnOperators, type DeviceLibrary } from './own-operators.js';
import { accountEntry, nodesOnHost } from './placement.js';
import { updatedInPlace } from './state-order.js';

const levels = { disabled: 0, basic: 1, extended: 2, layout: 3, all: 99 } as const;

/** More threads than any machine has: the runtime starts as many as it is told. */
const mostThreads = 4096;

/** A tensor in memory of ours, as the runtime knows it. */
interface Bound {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly block: Block;
  readonly value: Pointer;
}

/** The arrays that hold elements of a type. */
const arrays = {
  float32: Float32Array,
  int64: BigInt64Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const satisfies Record<DType, unknown>;

/** A state: what the next run reads, and where it writes; the same where it is updated in place. */
interface Slot {
  current: Bound;
  next: Bound;
}

/** Memory and bindings for one shape of feeds. */
interface Plan {
  /** The session that runs it. */
  readonly session: Pointer;
  readonly feeds: ReadonlyMap<string, Bound>;
  readonly results: ReadonlyMap<string, Bound>;
  /** One where all state is updated in place, else one for each direction. */
  readonly bindings: readonly Binding[];
  readonly options: Pointer;
  /** How many states it replaces. */
  readonly updates: number;
  /** The id of its graph, where runs are captured. */
  readonly graph: number | undefined;
  isCaptured: boolean;
}

/** Inputs and outputs bound to memory. */
interface Binding {
  readonly pointer: Pointer;
  /** Binds the inputs, which copies those that don't lie where they are read. */
  bindInputs(): void;
}

/** Shapes of feeds for which memory is kept: the usual batch, and the last one of an epoch. */
const mostPlans = 4;

/** A loaded model and its state. */
export class CSession implements ModelSession {
  private readonly state = new Map<string, Slot>();
  private readonly plans = new Map<string, Plan>();
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
  ) {}

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
    const table = await operatorsFor(request);
    const wantsGraph = device.target === 'cuda' && (request.cudaGraph ?? true) && request.profilePrefix === undefined;
    let cudaGraph: boolean | string = wantsGraph && request.optimization === 'disabled';
    if (cudaGraph && model.ownOperators.has(allReduce.name) && !library?.has(allReduce.name)) {
      cudaGraph = 'sums over the processes go through the host';
    }
    let session: Pointer;
    try {
      session = openSession(api, request, model, { table, library }, cudaGraph === true);
    } catch (error) {
      if (cudaGraph !== true) throw error;
      session = openSession(api, request, model, { table, library }, false);
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
      () => openSession(api, request, model, { table, library }, false),
      device.target === 'webgpu',
      { api: 'c', version: api.version, ...(device.target === 'cuda' && { cudaGraph }) },
      onHost,
    );
  }

  setState(tensors: readonly (readonly [string, TensorData])[]): void {
    this.requireOpen();
    this.requireIdle();
    for (const [name, tensor] of tensors) this.checkInput(name, tensor);
    for (const [name, tensor] of tensors) {
      const slot = this.state.get(name);
      if (slot && slot.current.shape.join() === tensor.shape.join()) {
        slot.current.block.write(bytesOf(tensor));
        continue;
      }
      this.forgetPlans();
      if (slot) this.freeSlot(slot);
      const bound = this.bind(tensor.dtype, tensor.shape);
      bound.block.write(bytesOf(tensor));
      this.state.set(name, { current: bound, next: bound });
    }
    this.broken = undefined;
  }

  getState(): [string, TensorData][] {
    this.requireOpen();
    return [...this.state].map(([name, { current }]) => [name, read(current)]);
  }

  async run({ feeds, results, updates }: Omit<RunRequest, 'kind'>): Promise<[string, TensorData][]> {
    this.requireOpen();
    if (this.broken) throw this.broken;
    this.requireIdle();
    this.checkRun(feeds, results, updates);
    this.isRunning = true;
    try {
      const plan = this.planFor(feeds, results, updates);
      for (const [name, tensor] of feeds) (plan.feeds.get(name) as Bound).block.write(bytesOf(tensor));
      if (plan.graph !== undefined && !plan.isCaptured) this.capture(plan);
      this.runOnce(plan);
      if (updates.length > 0 && this.turns) this.direction = 1 - this.direction;
      for (const { input } of updates) this.swap(this.slot(input));
      return results.map((name) => [name, read(plan.results.get(name) as Bound)]);
    } finally {
      this.isRunning = false;
    }
  }

  arena(): ArenaBytes | null {
    this.requireOpen();
    // WebGPU's allocator keeps no statistics, and the host's arena is not what is meant.
    if (this.copiesInputs) return null;
    const { api } = this;
    const info = memoryInfo(api, this.memory, true);
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
    this.forgetPlans();
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

  /** Requires that a run has all that the model reads, once each, and asks for what there is: C believes what it is told. */
  private checkRun(feeds: RunRequest['feeds'], results: RunRequest['results'], updates: RunRequest['updates']): void {
    for (const [name, tensor] of feeds) this.checkInput(name, tensor);
    const given = [...feeds.map(([name]) => name), ...this.state.keys()];
    requireOnce(given, 'input');
    const known = new Set(given);
    const missing = this.model.program.inputs.filter((name) => !known.has(name));
    if (missing.length > 0) throw new InternalError(`the model's ${missing.join(', ')} are neither fed nor set`);
    const wanted = [...results, ...updates.map(({ output }) => output)];
    requireOnce(wanted, 'output');
    requireOnce(
      updates.map(({ input }) => input),
      'updated state',
    );
    for (const name of wanted) {
      if (!this.model.outputs.has(name)) throw new InternalError(`the model has no output ${name}`);
    }
    for (const { output, input } of updates) {
      const { dtype, shape } = this.slot(input).current;
      const type = this.model.outputs.get(output);
      if (type?.dtype !== dtype || type.shape.join() !== shape.join()) {
        throw new InternalError(
          `${output} is ${type?.dtype} [${type?.shape.join(', ')}], the state ${input} that it replaces ${dtype} [${shape.join(', ')}]`,
        );
      }
    }
    this.extentsOf(feeds);
  }

  /** The runtime runs a step up to three times to capture it, so the state is put back before the first that counts. */
  private capture(plan: Plan): void {
    const before = [...this.state].map(([name, { current }]) => [name, current.block.read()] as const);
    this.runOnce(plan);
    for (const [name, bytes] of before) this.slot(name).current.block.write(bytes);
    plan.isCaptured = true;
  }

  private runOnce({ session, bindings, options, updates }: Plan): void {
    const { pointer, bindInputs } = bindings[this.direction % bindings.length] as Binding;
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

  private planFor(feeds: RunRequest['feeds'], results: RunRequest['results'], updates: RunRequest['updates']): Plan {
    const key = JSON.stringify([feeds.map(([name, { shape }]) => [name, shape]), results, updates]);
    const known = this.plans.get(key);
    if (known) return known;
    if (this.plans.size >= mostPlans) {
      // A captured graph can't be taken back, so it stays as long as there is another to forget.
      const [oldest] = [...this.plans].filter(([, plan]) => plan.graph === undefined).map(([key]) => key);
      this.forgetPlan(oldest ?? (this.plans.keys().next().value as string));
    }
    const plan = this.makePlan(feeds, results, updates);
    this.plans.set(key, plan);
    return plan;
  }

  private makePlan(feeds: RunRequest['feeds'], results: RunRequest['results'], updates: RunRequest['updates']): Plan {
    const { api } = this;
    const extents = this.extentsOf(feeds);
    this.allocateNext(updates);
    const bound = new Map(feeds.map(([name, { dtype, shape }]) => [name, this.bind(dtype, shape)]));
    const fetched = new Map(results.map((name) => [name, this.bindOutput(name, extents)]));
    const captured = this.captures && !this.turns && updates.length > 0 && !this.isTaken;
    const session = this.captures && this.isTaken ? this.secondSession() : this.session;
    const binding = (turned: boolean): Binding => {
      const pointer = made(api.CreateIoBinding, session);
      const state = [...this.state].map(([name, { current, next }]) => [name, turned ? next : current] as const);
      const inputs = [...bound, ...state];
      const bindInputs = (): void => {
        for (const [name, { value }] of inputs) api.BindInput(pointer, name, value);
      };
      bindInputs();
      for (const [name, { value }] of fetched) api.BindOutput(pointer, name, value);
      for (const { output, input } of updates) {
        const { current, next } = this.slot(input);
        api.BindOutput(pointer, output, (turned ? current : next).value);
      }
      return { pointer, bindInputs };
    };
    // Bindings are made for the state as it lies now, whichever direction that is.
    const turned = this.direction === 0 ? [false, true] : [true, false];
    const bindings = this.turns ? turned.map(binding) : [binding(false)];
    const options = made(api.CreateRunOptions);
    const graph = captured ? ++this.graphs : undefined;
    if (this.captures && session === this.session) api.AddRunConfigEntry(options, 'gpu_graph_id', String(graph ?? -1));
    return {
      session,
      feeds: bound,
      results: fetched,
      bindings,
      options,
      updates: updates.length,
      graph,
      isCaptured: false,
    };
  }

  /** Whether some state lies in two places, which change roles after each run that updates it. */
  private get turns(): boolean {
    return [...this.state.values()].some(({ current, next }) => current !== next);
  }

  /** Gives the next values of state memory of their own where they may not be written over the current ones. */
  private allocateNext(updates: RunRequest['updates']): void {
    const inPlace = this.runsAsWritten
      ? updatedInPlace(this.model.program, updates, (a, b) => this.sameShape(a, b))
      : new Set<string>();
    const slots = updates.flatMap(({ input }) => (inPlace.has(input) ? [] : [this.slot(input)]));
    const missing = slots.filter(({ current, next }) => current === next);
    if (missing.length > 0) this.forgetPlans();
    for (const slot of missing) slot.next = this.bind(slot.current.dtype, slot.current.shape);
  }

  /**
   * Whether a captured graph must stay the session's only one. Concatenations and splits of unequal parts read tables that
   * lie in memory which the session hands out again in its next plain run, so no plain run may follow. And where several
   * processes meet in a step, all must run it as often: a capture runs it more than once, so all capture their first.
   */
  private get isTaken(): boolean {
    const { hasTables, ownOperators } = this.model;
    if (!hasTables && !ownOperators.has(allReduce.name)) return false;
    return [...this.plans.values()].some(({ graph }) => graph !== undefined);
  }

  private secondSession(): Pointer {
    this.uncaptured ??= this.openUncaptured();
    return this.uncaptured;
  }

  private sameShape(a: string, b: string): boolean {
    const [one, other] = [this.model.inputs.get(a), this.model.outputs.get(b)];
    return one !== undefined && one.shape.join() === other?.shape.join();
  }

  /** The extents that names such as N stand for in a run. */
  private extentsOf(feeds: RunRequest['feeds']): ReadonlyMap<string, number> {
    const extents = new Map<string, number>();
    for (const [name, { shape }] of feeds) {
      for (const [axis, dim] of (this.model.inputs.get(name)?.shape ?? []).entries()) {
        if (typeof dim !== 'string') continue;
        const extent = shape[axis] as number;
        const known = extents.get(dim) ?? extent;
        if (known !== extent)
          throw new InternalError(`${dim} is ${extent} in ${name}, and ${known} in what is fed beside it`);
        extents.set(dim, extent);
      }
    }
    return extents;
  }

  private bindOutput(name: string, extents: ReadonlyMap<string, number>): Bound {
    const type = this.model.outputs.get(name);
    if (!type) throw new InternalError(`the model has no output ${name}`);
    const shape = type.shape.map((dim) => {
      const extent = typeof dim === 'number' ? dim : extents.get(dim);
      if (extent === undefined) throw new InternalError(`nothing that was fed tells the extent ${dim} of ${name}`);
      return extent;
    });
    return this.bind(type.dtype, shape);
  }

  private checkInput(name: string, { dtype, shape, data }: TensorData): void {
    const type = this.model.inputs.get(name);
    if (!type) throw new InternalError(`the model has no input ${name}`);
    if (!Array.isArray(shape) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
      throw new InternalError(`${name} has the shape [${shape}], whose extents must be whole numbers of at least 0`);
    }
    const fits =
      type.dtype === dtype &&
      type.shape.length === shape.length &&
      type.shape.every((dim, axis) => typeof dim === 'string' || dim === shape[axis]);
    if (!fits) {
      throw new InternalError(
        `${name} is ${dtype} [${shape.join(', ')}], the model takes ${type.dtype} [${type.shape.join(', ')}]`,
      );
    }
    if (!(data instanceof arrays[dtype])) {
      throw new InternalError(`${name} is ${dtype}, its data is no ${arrays[dtype].name}`);
    }
    const count = elementCount(shape);
    if (data.length !== count) throw new InternalError(`${name} has ${data.length} elements, its shape ${count}`);
  }

  private bind(dtype: DType, shape: readonly number[]): Bound {
    const { api } = this;
    const bytes = elementCount(shape) * bytesPerElement[dtype];
    const block = this.memory.allocate(bytes);
    const info = memoryInfo(api, this.memory, false);
    try {
      const type = elementTypes[dtype];
      const operands = [info, block.address, bytes, extentsForC(shape), shape.length, type];
      return { dtype, shape, block, value: made(api.CreateTensorWithDataAsOrtValue, ...operands) };
    } finally {
      api.ReleaseMemoryInfo(info);
    }
  }

  private slot(name: string): Slot {
    const slot = this.state.get(name);
    if (!slot) throw new InternalError(`the state ${name} was never set`);
    return slot;
  }

  private swap(slot: Slot): void {
    [slot.current, slot.next] = [slot.next, slot.current];
  }

  private freeSlot({ current, next }: Slot): void {
    this.free(current);
    if (next !== current) this.free(next);
  }

  private free({ value, block }: Bound): void {
    this.api.ReleaseValue(value);
    block.free();
  }

  private forgetPlans(): void {
    for (const key of [...this.plans.keys()]) this.forgetPlan(key);
  }

  private forgetPlan(key: string): void {
    const plan = this.plans.get(key);
    if (!plan) return;
    this.plans.delete(key);
    for (const { pointer } of plan.bindings) this.api.ReleaseIoBinding(pointer);
    this.api.ReleaseRunOptions(plan.options);
    for (const bound of [...plan.feeds.values(), ...plan.results.values()]) this.free(bound);
  }
}

/** What a session must know of its model. */
interface ModelFacts {
  /** Nodes that read floats of a batch. */
  readonly batchReaders: ReadonlySet<string>;
  /** What errors call it. */
  readonly source: string;
  readonly program: Program;
  readonly inputs: ReturnType<typeof valueTypes>;
  readonly outputs: ReturnType<typeof valueTypes>;
  /** Operators of our own in it. */
  readonly ownOperators: ReadonlySet<string>;
  /** Whether it has concatenations or splits whose CUDA kernels may read tables from memory of the host. */
  readonly hasTables: boolean;
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FailureError(`${path} can't be read: ${(error as Error).message}`, { cause: error });
  }
}

function readModel(source: string | Uint8Array): ModelFacts {
  const [bytes, name] = typeof source === 'string' ? [readFile(source), source] : [source, 'the model'];
  const model = decodeModel(bytes, name);
  return {
    batchReaders: batchReaders(model),
    source: name,
    program: programOf(model),
    inputs: valueTypes(model.graph?.input),
    outputs: valueTypes(model.graph?.output),
    hasTables:
      model.graph?.node?.some(({ opType, domain }) => !domain && (opType === 'Concat' || opType === 'Split')) ?? false,
    ownOperators: new Set(
      (model.graph?.node ?? []).flatMap(({ domain, opType }) => (domain === 'densec' && opType ? [opType] : [])),
    ),
  };
}

/** Operators of our own, and where they have kernels on a device. */
interface OwnKernels {
  readonly table: Readonly<Record<string, OwnOperator>>;
  readonly library: DeviceLibrary | undefined;
}

/** What a card's kernels must be loaded for; sums over processes that meet by MPI run on the host. */
async function cardKernels(
  request: SessionRequest,
  { ownOperators: used }: ModelFacts,
): Promise<DeviceLibrary | undefined> {
  const { device, tf32 = true, link } = request;
  const own = [...used].some((name) => name !== allReduce.name)
    ? (await import('../cuda/index.js')).openDeviceLibrary({ device: device.index, tf32, workspaceBytes: 64e6 })
    : undefined;
  if (link?.collective !== 'nccl' || !used.has(allReduce.name)) return own;
  return (await import('../cuda/nccl.js')).withSums(own, device.index, link);
}

/** The operators of our own; where several processes take steps together, with sums over them. */
async function operatorsFor({ link }: SessionRequest): Promise<OwnKernels['table']> {
  if (!link) return ownOperators;
  const { allReduceOf } = await import('../mpi/sums.js');
  return { ...ownOperators, [allReduce.name]: allReduceOf(link) };
}

const severity = { error: 3, fatal: 4 } as const;

/** @throws InternalError for a name that is given twice */
function requireOnce(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new InternalError(`the ${what} ${twice} is given twice`);
}

let environment: Pointer;

function openSession(
  api: OrtApi,
  request: SessionRequest,
  model: ModelFacts,
  { table, library }: OwnKernels,
  cudaGraph: boolean,
): Pointer {
  const {
    device,
    threads,
    optimization,
    memoryPattern,
    profilePrefix,
    optimizedModel,
    disabledOptimizers = [],
  } = request;
  environment ??= made(api.CreateEnv, severity.error, 'densec');
  const options = made(api.CreateSessionOptions);
  try {
    // That other processes have ended is told once, by one of those that are left.
    api.SetSessionLogSeverityLevel(options, request.link ? severity.fatal : severity.error);
    api.SetIntraOpNumThreads(options, threads);
    api.SetSessionGraphOptimizationLevel(options, levels[optimization]);
    if (memoryPattern) api.EnableMemPattern(options);
    else api.DisableMemPattern(options);
    if (profilePrefix !== undefined) api.EnableProfiling(options, profilePrefix);
    if (optimizedModel !== undefined) api.SetOptimizedModelFilePath(options, optimizedModel);
    if (disabledOptimizers.length > 0) {
      const list = disabledOptimizers.join(';');
      api.AddSessionConfigEntry(options, 'optimization.disable_specified_optimizers', list);
    }
    if (device.target !== 'cpu') api.AddSessionConfigEntry(options, accountEntry, '1');
    if (device.target === 'cuda') addCuda(api, options, device, request, cudaGraph);
    if (device.target === 'webgpu')
      api.SessionOptionsAppendExecutionProvider(options, 'WebGPU', ['preferredLayout'], ['NCHW'], 1);
    if (model.ownOperators.size > 0) addOwnOperators(options, table, library);
    return typeof request.model === 'string'
      ? made(api.CreateSession, environment, request.model, options)
      : made(api.CreateSessionFromArray, environment, request.model, request.model.byteLength, options);
  } finally {
    api.ReleaseSessionOptions(options);
  }
}

/** Adds the CUDA provider with its options. */
function addCuda(api: OrtApi, options: Pointer, device: Device, request: SessionRequest, cudaGraph: boolean): void {
  const cuda = made(api.CreateCUDAProviderOptions);
  try {
    const entries: readonly (readonly [string, string])[] = [
      ['device_id', String(device.index)],
      ['use_tf32', (request.tf32 ?? true) ? '1' : '0'],
      ['enable_cuda_graph', cudaGraph ? '1' : '0'],
    ];
    const [keys, values] = [entries.map(([key]) => key), entries.map(([, value]) => value)];
    api.UpdateCUDAProviderOptions(cuda, keys, values, entries.length);
    api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda);
  } finally {
    api.ReleaseCUDAProviderOptions(cuda);
  }
}

const [deviceAllocator, arenaAllocator] = [0, 1];

function memoryInfo(api: OrtApi, { place }: Memory, arena: boolean): Pointer {
  return made(api.CreateMemoryInfo, place.name, arena ? arenaAllocator : deviceAllocator, place.id, 0);
}

function bytesOf({ data }: TensorData): Uint8Array {
  // Of a buffer that was given away nothing is left to make a view of.
  if (data.byteLength === 0) return new Uint8Array(0);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function read({ dtype, shape, block }: Bound): TensorData {
  const bytes = block.read();
  const { buffer, byteOffset } = bytes;
  const count = bytes.byteLength / bytesPerElement[dtype];
  switch (dtype) {
    case 'float32':
      return { dtype, shape, data: new Float32Array(buffer, byteOffset, count) };
    case 'int64':
      return { dtype, shape, data: new BigInt64Array(buffer, byteOffset, count) };
    default:
      throw new InternalError(`tensors of ${dtype} are not exchanged with models`);
  }
}
