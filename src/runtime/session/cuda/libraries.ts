/** @file Finding and loading NVIDIA's shared libraries, with the remedy where one is missing. */

import type { LibraryHandle, TypeObject } from 'koffi';
import { FailureError } from '../../../ir/index.js';
import { koffi } from '../ort/native.js';

/** File names of a library, the preferred one first. */
export interface LibraryNames {
  readonly linux: readonly string[];
  readonly windows: readonly string[];
}

/** The libraries of CUDA that we call; tests put others in their place. */
export interface CudaLibraries {
  readonly driver: LibraryNames;
  readonly nvrtc: LibraryNames;
  readonly cudnn: LibraryNames;
  /** Sums over the cards of several processes; there is none for Windows. */
  readonly nccl: LibraryNames;
  /** NVIDIA's management library, which comes with the driver. */
  readonly management: LibraryNames;
}

/** The libraries as NVIDIA names them. */
export const installedLibraries: CudaLibraries = {
  driver: { linux: ['libcuda.so.1'], windows: ['nvcuda.dll'] },
  nvrtc: {
    linux: ['libnvrtc.so.13', 'libnvrtc.so.12'],
    windows: ['nvrtc64_130_0.dll', 'nvrtc64_120_0.dll'],
  },
  cudnn: { linux: ['libcudnn.so.9'], windows: ['cudnn64_9.dll'] },
  nccl: { linux: ['libnccl.so.2'], windows: [] },
  management: { linux: ['libnvidia-ml.so.1', 'libnvidia-ml.so'], windows: ['nvml.dll'] },
};

const driverRemedy = 'install the NVIDIA driver of the card (nvidia-smi shows whether it works)';

const remedies: Readonly<Record<keyof CudaLibraries, string>> = {
  driver: driverRemedy,
  management: driverRemedy,
  nvrtc:
    'install CUDA 13 or 12 (pip install nvidia-cuda-nvrtc, or NVIDIA’s package cuda-nvrtc-13-0) and put its lib folder on LD_LIBRARY_PATH (on Windows, PATH)',
  nccl: 'install NCCL 2 (pip install nvidia-nccl-cu13, or NVIDIA’s package libnccl2) and put its lib folder on LD_LIBRARY_PATH, or let sums go through the host with --collective mpi',
  cudnn:
    'install cuDNN 9 (pip install nvidia-cudnn-cu13, or NVIDIA’s package libcudnn9-cuda-13) and put its lib folder on LD_LIBRARY_PATH (on Windows, PATH)',
};

/** What koffi calls: numbers, big integers, strings and memory in, a number or a string out. */
export type NativeFunction = (...args: readonly unknown[]) => unknown;

/** A loaded library. */
export interface NativeLibrary {
  /** The file that was loaded. */
  readonly file: string;
  /** A function by its C name. @throws FailureError when the library lacks it */
  find(name: string, result: string, parameters: readonly (string | TypeObject)[]): NativeFunction;
}

/**
 * Loads the first library that can be loaded.
 * @throws FailureError that names every file tried, why each failed, and what to install
 */
export function loadLibrary(kind: keyof CudaLibraries, libraries: CudaLibraries): NativeLibrary {
  const names = process.platform === 'win32' ? libraries[kind].windows : libraries[kind].linux;
  const reasons: string[] = [];
  const { load } = koffi();
  for (const file of names) {
    let handle: LibraryHandle;
    try {
      handle = load(file);
    } catch (error) {
      reasons.push(`${file}: ${error instanceof Error ? error.message : error}`);
      continue;
    }
    return { file, find: (name, result, parameters) => find(handle, kind, file, name, result, parameters) };
  }
  throw new FailureError(`${names.join(' or ')} can't be loaded (${reasons.join('; ')}); ${remedies[kind]}`);
}

function find(
  handle: LibraryHandle,
  kind: keyof CudaLibraries,
  file: string,
  name: string,
  result: string,
  parameters: readonly (string | TypeObject)[],
): NativeFunction {
  try {
    return handle.func(name, result, [...parameters]);
  } catch (error) {
    throw new FailureError(
      `${file} has no function ${name}, so its version is not one densec knows; ${remedies[kind]}`,
      {
        cause: error,
      },
    );
  }
}

/** Memory for one result that a C function writes. */
export class Out {
  readonly bytes = new Uint8Array(8);
  private readonly cells = new DataView(this.bytes.buffer);

  get int(): number {
    return this.cells.getInt32(0, true);
  }

  get float(): number {
    return this.cells.getFloat32(0, true);
  }

  /** A size in bytes. */
  get size(): number {
    return Number(this.cells.getBigUint64(0, true));
  }

  /** An address or a handle. */
  get address(): bigint {
    return this.cells.getBigUint64(0, true);
  }
}

/** A C string in memory that a function has written. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Why the kernels of ours can't run on a card here: the first library that can't be loaded; undefined where all can. */
export function missingLibrary(): string | undefined {
  try {
    for (const kind of ['driver', 'nvrtc', 'cudnn'] as const) loadLibrary(kind, installedLibraries);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
