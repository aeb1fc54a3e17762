/** @file onnxruntime's C API: the library inside the npm package, reached by koffi, its function table by position. */

import '../telemetry.js';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import { FailureError } from '../../../ir/index.js';
import { explainRuntime, libraryFolder, wantedVersion } from '../runtime-package.js';
import { keepMapped, koffi as loadKoffi } from './native.js';

/** An address that C gave us; null for none. */
export type Pointer = unknown;

/** The version whose table was tried; positions are append-only, but what functions take is not promised. */
const triedVersion = wantedVersion;

const koffi = loadKoffi();
const apiVersion = 30;

/** Functions that return a status, by their positions in the table and what they take. */
const functions = {
  CreateEnv: [3, 'int level, const char *id, _Out_ void **env'],
  CreateSession: [7, 'void *env, const char *path, void *options, _Out_ void **session'],
  CreateSessionFromArray: [8, 'void *env, const void *bytes, size_t length, void *options, _Out_ void **session'],
  CreateSessionOptions: [10, '_Out_ void **options'],
  SetOptimizedModelFilePath: [11, 'void *options, const char *path'],
  EnableProfiling: [14, 'void *options, const char *prefix'],
  EnableMemPattern: [16, 'void *options'],
  DisableMemPattern: [17, 'void *options'],
  SetSessionLogSeverityLevel: [22, 'void *options, int level'],
  SetSessionGraphOptimizationLevel: [23, 'void *options, int level'],
  SetIntraOpNumThreads: [24, 'void *options, int threads'],
  CreateCustomOpDomain: [26, 'const char *domain, _Out_ void **made'],
  CustomOpDomain_Add: [27, 'void *domain, void *operator'],
  AddCustomOpDomain: [28, 'void *options, void *domain'],
  CreateRunOptions: [39, '_Out_ void **options'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void *info, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, _Out_ void **value',
  ],
  GetTensorMutableData: [51, 'void *value, _Out_ void **data'],
  GetDimensionsCount: [61, 'void *info, _Out_ size_t *count'],
  GetDimensions: [62, 'void *info, int64_t *extents, size_t count'],
  GetTensorTypeAndShape: [65, 'void *value, _Out_ void **info'],
  CreateMemoryInfo: [68, 'const char *name, int allocator, int id, int type, _Out_ void **info'],
  CreateCpuMemoryInfo: [69, 'int allocator, int type, _Out_ void **info'],
  KernelInfoGetAttribute_float: [85, 'void *info, const char *name, _Out_ float *value'],
  KernelInfoGetAttribute_int64: [86, 'void *info, const char *name, _Out_ int64_t *value'],
  KernelContext_GetInputCount: [88, 'void *context, _Out_ size_t *count'],
  KernelContext_GetOutputCount: [89, 'void *context, _Out_ size_t *count'],
  KernelContext_GetInput: [90, 'void *context, size_t index, _Out_ void **value'],
  KernelContext_GetOutput: [91, 'void *context, size_t index, const int64_t *extents, size_t rank, _Out_ void **value'],
  SessionEndProfiling: [110, 'void *session, void *allocator, _Out_ void **file'],
  GetAvailableProviders: [125, '_Out_ void **names, _Out_ int *count'],
  ReleaseAvailableProviders: [126, 'void *names, int count'],
  AddSessionConfigEntry: [130, 'void *options, const char *key, const char *value'],
  CreateAllocator: [131, 'void *session, void *info, _Out_ void **allocator'],
  RunWithBinding: [133, 'void *session, void *options, void *binding'],
  CreateIoBinding: [134, 'void *session, _Out_ void **binding'],
  BindInput: [136, 'void *binding, const char *name, void *value'],
  BindOutput: [137, 'void *binding, const char *name, void *value'],
  KernelInfoGetAttributeArray_int64: [163, 'void *info, const char *name, int64_t *values, _Inout_ size_t *count'],
  AddRunConfigEntry: [165, 'void *options, const char *key, const char *value'],
  KernelContext_GetGPUComputeStream: [193, 'void *context, _Out_ void **stream'],
  SessionOptionsAppendExecutionProvider: [
    216,
    'void *options, const char *provider, const char **keys, const char **values, size_t count',
  ],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'void *options, void *cuda'],
  CreateCUDAProviderOptions: [205, '_Out_ void **cuda'],
  UpdateCUDAProviderOptions: [206, 'void *cuda, const char **keys, const char **values, size_t count'],
  GetAllocatorWithDefaultOptions: [78, '_Out_ void **allocator'],
  AllocatorFree: [76, 'void *allocator, void *memory'],
  AllocatorGetStats: [319, 'void *allocator, _Out_ void **pairs'],
  Session_GetEpGraphAssignmentInfo: [407, 'void *session, _Out_ void **parts, _Out_ size_t *count'],
  EpAssignedSubgraph_GetEpName: [408, 'void *part, _Out_ const char **name'],
  EpAssignedSubgraph_GetNodes: [409, 'void *part, _Out_ void **nodes, _Out_ size_t *count'],
  EpAssignedNode_GetName: [410, 'void *node, _Out_ const char **name'],
  EpAssignedNode_GetOperatorType: [412, 'void *node, _Out_ const char **name'],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

/** Functions that release what was made. */
const releases = {
  ReleaseEnv: 92,
  ReleaseMemoryInfo: 94,
  ReleaseSession: 95,
  ReleaseValue: 96,
  ReleaseRunOptions: 97,
  ReleaseTensorTypeAndShapeInfo: 99,
  ReleaseSessionOptions: 100,
  ReleaseAllocator: 132,
  ReleaseIoBinding: 135,
  ReleaseCUDAProviderOptions: 208,
  ReleaseKeyValuePairs: 300,
} as const;

type FunctionName = keyof typeof functions;
type ReleaseName = keyof typeof releases;

/** The C API. Every call throws the message of a status that isn't success. */
export type OrtApi = { readonly [K in FunctionName]: (...operands: unknown[]) => void } & {
  readonly [K in ReleaseName]: (pointer: Pointer) => void;
} & {
  /** Version of the library. */
  readonly version: string;
  /** A status with a message of ours, for callbacks to return. */
  status(message: string): Pointer;
  /** The names of the providers that the library was built with. */
  providers(): readonly string[];
  /** Pairs of text that the runtime made. */
  pairs(pointer: Pointer): ReadonlyMap<string, string>;
};

/** What a function that gives something back through its last operand gives. */
export function made(call: (...operands: unknown[]) => void, ...operands: unknown[]): Pointer {
  const result: [Pointer] = [null];
  call(...operands, result);
  return result[0];
}

/** What a function that gives a list through its last two operands, its beginning and its length, gives. */
export function listed(call: (...operands: unknown[]) => void, owner: Pointer): readonly Pointer[] {
  const [list, count]: [[Pointer], [number]] = [[null], [0]];
  call(owner, list, count);
  return Number(count[0]) === 0 ? [] : (koffi.decode(list[0], koffi.array('void *', Number(count[0]))) as Pointer[]);
}

/** Room for so many 64-bit numbers that stays where it is; small typed arrays made by themselves may move. */
export function int64s(count: number): BigInt64Array {
  return new BigInt64Array(new ArrayBuffer(8 * Math.max(1, count)));
}

/** Extents as C takes them. */
export function extentsForC(shape: readonly number[]): BigInt64Array {
  const extents = int64s(shape.length);
  for (const [axis, extent] of shape.entries()) extents[axis] = BigInt(extent);
  return extents;
}

let loaded: OrtApi | undefined;

/** The library, which koffi would unload under the functions of its table if nothing held it. */
let library: LibraryHandle | undefined;

/**
 * The C API of this installation, loaded once in a thread.
 * @throws FailureError when the library isn't there, or is of a version that was not tried
 */
export function ortApi(): OrtApi {
  loaded ??= load();
  return loaded;
}

function load(): OrtApi {
  const path = libraryPath();
  library = koffi.load(path);
  keepMapped(path);
  const base = library.func('void *OrtGetApiBase()')() as Pointer;
  const [getApi, getVersion] = koffi.decode(base, koffi.array('void *', 2)) as [Pointer, Pointer];
  const version = koffi.call(getVersion, versionType) as string;
  if (version !== triedVersion) {
    throw new FailureError(
      `onnxruntime ${version} was never tried through its C API, only ${triedVersion}; install onnxruntime-node ${triedVersion}`,
    );
  }
  const address = koffi.call(getApi, apiType, apiVersion) as Pointer;
  const table = koffi.decode(address, koffi.array('void *', 413)) as Pointer[];
  const message = (status: Pointer): string => koffi.call(table[2], messageType, status) as string;
  const calls: Record<string, unknown> = {
    version,
    status: (text: string) => koffi.call(table[0], statusType, 1, text) as Pointer,
    providers: () => readProviders(calls as unknown as OrtApi),
    pairs: (pointer: Pointer) => readPairs(table[298], pointer),
  };
  for (const [name, [position, operands]] of Object.entries(functions)) {
    const type = koffi.proto(`void *${prefix}${name}(${operands})`);
    calls[name] = (...given: unknown[]) => {
      const status = koffi.call(table[position], type, ...given) as Pointer;
      if (status === null) return;
      const text = message(status);
      koffi.call(table[93], releaseType, status);
      throw new Error(text);
    };
  }
  for (const [name, position] of Object.entries(releases)) {
    calls[name] = (pointer: Pointer) => {
      koffi.call(table[position], releaseType, pointer);
    };
  }
  return calls as unknown as OrtApi;
}

// Names of koffi's types are global to a process, so they begin in a way that nobody else's do.
const prefix = 'DensecOrt';
const versionType = koffi.proto(`const char *${prefix}Version()`);
const apiType = koffi.proto(`void *${prefix}Api(uint32_t version)`);
const messageType = koffi.proto(`const char *${prefix}Message(void *status)`);
const statusType = koffi.proto(`void *${prefix}Status(int code, const char *message)`);
const releaseType = koffi.proto(`void ${prefix}Release(void *pointer)`);
const pairsType = koffi.proto(
  `void ${prefix}Pairs(void *pairs, _Out_ void **keys, _Out_ void **values, _Out_ size_t *count)`,
);

function readProviders(api: OrtApi): readonly string[] {
  const [list, count]: [[Pointer], [number]] = [[null], [0]];
  api.GetAvailableProviders(list, count);
  const names = koffi.decode(list[0], koffi.array('const char *', Number(count[0]))) as string[];
  api.ReleaseAvailableProviders(list[0], Number(count[0]));
  return names;
}

function readPairs(getPairs: Pointer, pairs: Pointer): ReadonlyMap<string, string> {
  const [keys, values, count]: [[Pointer], [Pointer], [number]] = [[null], [null], [0]];
  koffi.call(getPairs, pairsType, pairs, keys, values, count);
  const texts = (list: Pointer): string[] =>
    Number(count[0]) === 0 ? [] : (koffi.decode(list, koffi.array('const char *', Number(count[0]))) as string[]);
  const [names, contents] = [texts(keys[0]), texts(values[0])];
  return new Map(names.map((name, index) => [name, contents[index] ?? '']));
}

/** The library inside onnxruntime-node. @throws FailureError when it isn't there */
function libraryPath(): string {
  const folder = libraryFolder();
  const names = {
    linux: 'libonnxruntime.so.1',
    darwin: `libonnxruntime.${triedVersion}.dylib`,
    win32: 'onnxruntime.dll',
  };
  const path = join(folder, names[process.platform as keyof typeof names] ?? names.linux);
  if (!existsSync(path)) throw new FailureError(explainRuntime(new Error(`${path} is missing`)));
  return path;
}
