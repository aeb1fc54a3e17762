/** @file Creates a session at the runtime's C API: its options, its providers, our operators. */

import { allReduce, type OwnOperator, ownOperators } from '../../../operators/index.js';
import type { Device } from '../devices.js';
import type { SessionRequest } from '../model-session.js';
import { made, type OrtApi, type Pointer } from './api.js';
import type { ModelFacts } from './model-facts.js';
import { addOwnOperators, type DeviceLibrary } from './own-operators.js';
import { accountEntry } from './placement.js';

/** The runtime's levels of optimization. */
export const levels = { disabled: 0, basic: 1, extended: 2, layout: 3, all: 99 } as const;

const severity = { error: 3, fatal: 4 } as const;

/** Operators of our own, and where they have kernels on a device. */
export interface OwnKernels {
  readonly table: Readonly<Record<string, OwnOperator>>;
  readonly library: DeviceLibrary | undefined;
}

/** What a card's kernels must be loaded for; sums over processes that meet by MPI run on the host. */
export async function cardKernels(
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
export async function operatorsFor({ link }: SessionRequest): Promise<OwnKernels['table']> {
  if (!link) return ownOperators;
  const { allReduceOf } = await import('../mpi/sums.js');
  return { ...ownOperators, [allReduce.name]: allReduceOf(link) };
}

let environment: Pointer;

/**
 * Loads a model.
 * @param cudaGraph whether steps on CUDA are to be captured
 * @throws Error of the runtime when it can't be loaded
 */
export function createSession(
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
