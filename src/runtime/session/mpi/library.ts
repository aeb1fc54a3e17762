/** @file The MPI library of this system, reached by koffi: where it is, which ABI it has, and the few functions we call. */

import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import { FailureError } from '../../../ir/index.js';
import { keepMapped, koffi } from '../ort/native.js';

/** How an MPI writes its handles; programs of one ABI run with any library of it. */
export type MpiAbi = 'MPICH' | 'Open MPI' | 'standard';

/** A library that was found. */
export interface FoundMpi {
  readonly path: string;
  readonly abi: MpiAbi;
  /** As the library names itself: `MPICH Version: 4.0.2`. */
  readonly version: string;
}

type Handle = number | bigint;

/** What is called of MPI. Buffers are addresses or typed arrays; those of non-blocking calls must stay where they are. */
export interface Mpi extends FoundMpi {
  readonly rank: () => number;
  readonly size: () => number;
  /** Begins. @throws FailureError where only the thread that began could call it */
  readonly init: () => void;
  readonly finalize: () => void;
  /** Begins a sum of floats over all processes. */
  readonly startSum: (from: Float32Array, to: Float32Array, request: BigInt64Array) => void;
  /** Begins to gather the same number of bytes of each process, in the order of their ranks. */
  readonly startGather: (from: Uint8Array, to: Uint8Array, request: BigInt64Array) => void;
  /** Whether what was begun is done; MPI makes progress in here. */
  readonly test: (request: BigInt64Array) => boolean;
}

/** Handles of MPICH's ABI and of the standard one (MPI 5), which are numbers. */
const handles = {
  MPICH: { world: 0x44000000, float: 0x4c00040a, byte: 0x4c00010d, sum: 0x58000003 },
  standard: { world: 0x101n, float: 0x210n, byte: 0x247n, sum: 0x21n },
} as const;

/** Those of Open MPI are the addresses of these. */
const symbols = {
  world: 'ompi_mpi_comm_world',
  float: 'ompi_mpi_float',
  byte: 'ompi_mpi_byte',
  sum: 'ompi_mpi_op_sum',
} as const;

const extension = process.platform === 'darwin' ? 'dylib' : 'so';

/** File names of libraries that were tried, by ABI; by their versions, since another one may have another ABI. */
const fileNames: readonly string[] =
  process.platform === 'darwin'
    ? ['libmpi.12.dylib', 'libmpi_abi.1.dylib', 'libmpi_abi.0.dylib', 'libmpi.40.dylib']
    : ['libmpich.so.12', 'libmpi.so.12', 'libmpi_abi.so.1', 'libmpi_abi.so.0', 'libmpi.so.40'];

/** How to get an MPI. */
export const mpiRemedy =
  'install one, as in apt-get install mpich (or libopenmpi-dev openmpi-bin), or name its library with DENSEC_MPI=/path/to/libmpi.so.12';

/** The program that starts processes, by the PATH; undefined where there is none. */
export function mpiLauncher(): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of ['mpiexec', 'mpirun']) {
      const path = join(folder, name);
      if (folder !== '' && existsSync(path)) return path;
    }
  }
  return undefined;
}

/** Whether a launcher is Open MPI's. */
export function isOpenMpiLauncher(path: string): boolean {
  return /openmpi|orterun|prterun|ompirun/.test(realpathSync(path));
}

/** Where a library might be: what the environment names, beside the launcher, where the system looks. */
function candidates(): readonly string[] {
  const named = process.env.DENSEC_MPI;
  if (named !== undefined && named !== '') return [named];
  const launcher = mpiLauncher();
  const beside = launcher === undefined ? [] : [launcher, realpathSync(launcher)].map((path) => dirname(dirname(path)));
  const folders = [...new Set(beside)].flatMap((prefix) => [join(prefix, 'lib'), join(prefix, 'lib64')]);
  const isOpenMpi =
    process.env.OMPI_COMM_WORLD_SIZE !== undefined || (launcher !== undefined && isOpenMpiLauncher(launcher));
  const names = isOpenMpi ? [...fileNames].reverse() : fileNames;
  return [...folders.flatMap((folder) => names.map((name) => join(folder, name)).filter(existsSync)), ...names];
}

let loaded: { readonly library: LibraryHandle; readonly found: FoundMpi } | undefined;

/**
 * The MPI library of this system.
 * @throws FailureError when there is none, or none whose ABI is known
 */
export function findMpi(): FoundMpi {
  return load().found;
}

function load(path?: string): NonNullable<typeof loaded> {
  if (loaded) return loaded;
  tameUcx();
  const tried: string[] = [];
  for (const candidate of path === undefined ? candidates() : [path]) {
    let library: LibraryHandle;
    try {
      library = koffi().load(candidate, { global: true });
    } catch (error) {
      tried.push(`${candidate} (${(error as Error).message.split('\n')[0]})`);
      continue;
    }
    keepMapped(candidate);
    loaded = { library, found: { path: candidate, ...describe(library, candidate) } };
    return loaded;
  }
  const named = process.env.DENSEC_MPI ? `, which DENSEC_MPI names` : '';
  throw new FailureError(
    `no MPI library was found: tried ${tried.join(', ') || fileNames.join(', ')}${named}; ${mpiRemedy}`,
  );
}

/** UCX, below many MPIs, would watch the memory of this process by patching functions and catch its signals. */
function tameUcx(): void {
  for (const [name, value] of [
    ['UCX_MEM_EVENTS', 'n'],
    ['UCX_MEM_MMAP_HOOK_MODE', 'none'],
    ['UCX_MEM_MALLOC_HOOKS', 'n'],
    ['UCX_HANDLE_ERRORS', 'none'],
    ['UCX_WARN_UNUSED_ENV_VARS', 'n'],
  ] as const) {
    process.env[name] ??= value;
  }
}

function describe(library: LibraryHandle, path: string): Omit<FoundMpi, 'path'> {
  const text = Buffer.alloc(8192);
  const length = new Int32Array(new ArrayBuffer(16));
  library.func('MPI_Get_library_version', 'int', ['void *', 'void *'])(text, length);
  const version = (text.subarray(0, length[0]).toString('utf8').split('\n')[0] ?? '').replace(/[\s\0]+/g, ' ').trim();
  if (/libmpi_abi\./.test(path)) return { abi: 'standard', version };
  if (/open mpi/i.test(version)) return { abi: 'Open MPI', version };
  if (/mpich|intel|mvapich|cray/i.test(version)) return { abi: 'MPICH', version };
  throw new FailureError(
    `${path} says that it is ${JSON.stringify(version)}, an MPI whose handles are not known; name a library of MPICH, Open MPI or the standard ABI (libmpi_abi.${extension}) with DENSEC_MPI`,
  );
}

/**
 * The functions of an MPI library.
 * @param path the library that another thread of this process has loaded
 * @throws FailureError when there is none
 */
export function openMpi(path?: string): Mpi {
  const { library, found } = load(path);
  const handle = found.abi === 'MPICH' ? 'int' : 'uint64_t';
  const { world, float, byte, sum } = handlesOf(library, found.abi);
  const call = (name: string, operands: readonly string[]): ((...given: unknown[]) => void) => {
    const function_ = library.func(name, 'int', [...operands]);
    return (...given) => {
      const code = function_(...given) as number;
      if (code !== 0) throw new FailureError(`${name} of ${found.version} failed with the code ${code}`);
    };
  };
  const number = (): Int32Array => new Int32Array(new ArrayBuffer(64));
  const initialize = call('MPI_Init_thread', ['void *', 'void *', 'int', 'void *']);
  const finalize = call('MPI_Finalize', []);
  const rank = call('MPI_Comm_rank', [handle, 'void *']);
  const size = call('MPI_Comm_size', [handle, 'void *']);
  const reduce = call('MPI_Iallreduce', ['void *', 'void *', 'int', handle, handle, handle, 'void *']);
  const gather = call('MPI_Iallgather', ['void *', 'int', handle, 'void *', 'int', handle, handle, 'void *']);
  const test = call('MPI_Test', ['void *', 'void *', 'void *']);
  const [flag, status] = [number(), number()];
  const ask = (question: (comm: Handle, answer: Int32Array) => void): number => {
    const answer = number();
    question(world, answer);
    return answer[0] ?? 0;
  };
  return {
    ...found,
    init() {
      const level = number();
      // One thread calls at a time: the main one, or that of the session while it runs a step.
      const wanted = serialized[found.abi];
      initialize(null, null, wanted, level);
      if ((level[0] ?? 0) >= wanted) return;
      throw new FailureError(
        `${found.version} lets only one thread call it (level ${level[0]}, ${wanted} is needed); take an MPI that was built with threads`,
      );
    },
    finalize: () => finalize(),
    rank: () => ask(rank),
    size: () => ask(size),
    startSum: (from, to, request) => reduce(from, to, from.length, float, sum, world, request),
    startGather: (from, to, request) => gather(from, from.length, byte, to, from.length, byte, world, request),
    test(request) {
      test(request, flag, status);
      return flag[0] !== 0;
    },
  };
}

/** MPI_THREAD_SERIALIZED. */
const serialized: Readonly<Record<MpiAbi, number>> = { MPICH: 2, 'Open MPI': 2, standard: 2048 };

function handlesOf(library: LibraryHandle, abi: MpiAbi): Readonly<Record<keyof typeof symbols, Handle>> {
  if (abi !== 'Open MPI') return handles[abi];
  const entries = Object.entries(symbols).map(([name, symbol]) => [
    name,
    BigInt(koffi().address(library.symbol(symbol, 'char') as never)),
  ]);
  return Object.fromEntries(entries) as Record<keyof typeof symbols, bigint>;
}
