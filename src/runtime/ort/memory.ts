/** @file Memory that a session's inputs and outputs are bound to: on the host, or on a card by CUDA's driver library. */

import koffi from 'koffi';
import { FailureError } from '../../ir/index.js';
import type { Device } from '../devices.js';
import type { Pointer } from './api.js';

/** Bytes at an address that stays the same until they are freed. */
export interface Block {
  readonly bytes: number;
  readonly address: Pointer;
  write(data: Uint8Array): void;
  /** A copy. */
  read(): Uint8Array<ArrayBuffer>;
  free(): void;
}

/** Where blocks come from. */
export interface Memory {
  /** Name, allocator type and device for the runtime's memory information. */
  readonly place: { readonly name: string; readonly id: number };
  allocate(bytes: number): Block;
}

/** The memory of a device that sessions of ours run on. @throws FailureError where CUDA's driver can't be loaded */
export function memoryOf(device: Device): Memory {
  return device.target === 'cuda' ? cudaMemory(device.index) : hostMemory;
}

const hostMemory: Memory = {
  place: { name: 'Cpu', id: 0 },
  allocate(bytes) {
    // An array buffer of its own never moves; small typed arrays made by themselves may.
    const buffer = new ArrayBuffer(Math.max(bytes, 16));
    const view = new Uint8Array(buffer, 0, bytes);
    return {
      bytes,
      address: new Uint8Array(buffer),
      write: (data) => view.set(data),
      read: () => view.slice(),
      free: () => undefined,
    };
  },
};

const cards = new Map<number, Memory>();

function cudaMemory(index: number): Memory {
  const known = cards.get(index);
  if (known) return known;
  const driver = loadDriver();
  const call = (name: string, operands: string): ((...given: unknown[]) => void) => {
    const run = driver.func(`int ${name}(${operands})`) as unknown as (...given: unknown[]) => number;
    return (...given) => {
      const status = run(...given);
      if (status !== 0) throw new FailureError(`CUDA's driver: ${name} failed with status ${status}`);
    };
  };
  const device: [number] = [0];
  const context: [Pointer] = [null];
  call('cuInit', 'unsigned int flags')(0);
  call('cuDeviceGet', '_Out_ int *device, int index')(device, index);
  call('cuDevicePrimaryCtxRetain', '_Out_ void **context, int device')(context, device[0]);
  const enter = call('cuCtxSetCurrent', 'void *context');
  const allocate = call('cuMemAlloc_v2', '_Out_ uint64_t *address, size_t bytes');
  const free = call('cuMemFree_v2', 'uint64_t address');
  const toDevice = call('cuMemcpyHtoD_v2', 'uint64_t to, const void *from, size_t bytes');
  const toHost = call('cuMemcpyDtoH_v2', 'void *to, uint64_t from, size_t bytes');
  const memory: Memory = {
    place: { name: 'Cuda', id: index },
    allocate(bytes) {
      enter(context[0]);
      const address: [number | bigint] = [0];
      allocate(address, Math.max(bytes, 16));
      const at = BigInt(address[0]);
      return {
        bytes,
        address: at,
        write(data) {
          enter(context[0]);
          toDevice(at, data, data.byteLength);
        },
        read() {
          enter(context[0]);
          const copy = new Uint8Array(new ArrayBuffer(Math.max(bytes, 16)), 0, bytes);
          toHost(copy, at, bytes);
          return copy;
        },
        free() {
          enter(context[0]);
          free(at);
        },
      };
    },
  };
  cards.set(index, memory);
  return memory;
}

function loadDriver(): ReturnType<typeof koffi.load> {
  const name = process.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1';
  try {
    return koffi.load(name);
  } catch (error) {
    throw new FailureError(
      `CUDA's driver (${name}) can't be loaded: ${(error as Error).message}; install NVIDIA's driver`,
    );
  }
}
