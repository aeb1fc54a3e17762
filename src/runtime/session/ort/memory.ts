/** @file Memory that a session's inputs and outputs are bound to: on the host, or on a card by CUDA's driver library. */

import { Driver } from '../cuda/driver.js';
import { type CudaLibraries, installedLibraries } from '../cuda/libraries.js';
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
export function memoryOf(device: Device, libraries = installedLibraries): Memory {
  return device.target === 'cuda' ? cudaMemory(device.index, libraries) : hostMemory;
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

const cards = new Map<string, Memory>();

function cudaMemory(index: number, libraries: CudaLibraries): Memory {
  const key = `${index} ${libraries.driver.linux[0]}`;
  const known = cards.get(key);
  if (known) return known;
  const driver = new Driver(libraries, index);
  const memory: Memory = {
    place: { name: 'Cuda', id: index },
    allocate(bytes) {
      driver.makeCurrent();
      const address = driver.allocate(Math.max(bytes, 16), 'what a session reads and writes');
      return {
        bytes,
        address,
        write(data) {
          driver.makeCurrent();
          driver.upload(address, data);
        },
        read() {
          driver.makeCurrent();
          const copy = new Uint8Array(new ArrayBuffer(Math.max(bytes, 16)), 0, bytes);
          driver.download(copy, address);
          return copy;
        },
        free() {
          driver.makeCurrent();
          driver.free(address);
        },
      };
    },
  };
  cards.set(key, memory);
  return memory;
}
