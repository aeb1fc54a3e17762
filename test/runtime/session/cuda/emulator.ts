/** @file Builds the emulated card of emulator.cpp, and runs operators of our own on it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { elementCount } from '../../../../src/ir/index.js';
import type { Attributes, HostTensor } from '../../../../src/operators/index.js';
import { Driver } from '../../../../src/runtime/session/cuda/driver.js';
import { type DeviceLibraryOptions, openDeviceLibrary } from '../../../../src/runtime/session/cuda/index.js';
import { kernelSource } from '../../../../src/runtime/session/cuda/kernels.js';
import type { CudaLibraries } from '../../../../src/runtime/session/cuda/libraries.js';
import type { DeviceLibrary, DeviceTensor } from '../../../../src/runtime/session/ort/own-operators.js';
import { row } from '../../../operators/tensors.js';

/** Why the kernels can't be run here, or nothing. */
export const noEmulator: string | undefined =
  process.platform !== 'linux'
    ? 'the emulated card needs Linux'
    : spawnSync('g++', ['--version']).status !== 0
      ? 'the emulated card needs g++'
      : undefined;

/** What has happened on the card so far. */
export interface Counts {
  readonly launches: number;
  readonly allocations: number;
  /** Allocations and descriptors that have not been freed. */
  readonly live: number;
  readonly waits: number;
}

/** The emulated card. */
export interface Emulator {
  readonly libraries: CudaLibraries;
  counts(): Counts;
  /** How often each of cuDNN's four emulated algorithms has run, and the last one. */
  algorithms(): { readonly runs: readonly number[]; readonly last: number };
}

/** Compiles the kernels' text for the CPU. */
export function buildEmulator(): Emulator {
  const folder = mkdtempSync(join(tmpdir(), 'densec-emulator-'));
  try {
    const text = join(folder, 'kernels.h');
    writeFileSync(text, kernelSource);
    const library = join(folder, 'emulator.so');
    const source = fileURLToPath(new URL('emulator.cpp', import.meta.url));
    const options = ['-std=c++17', '-O2', '-ffp-contract=off', '-w', '-shared', '-fPIC', `-DKERNELS="${text}"`];
    execFileSync('g++', [...options, source, '-o', library]);
    const handle = koffi.load(library);
    const countsOf = handle.func('emulator_counts', 'void', ['void *']);
    const algorithmsOf = handle.func('emulator_algorithms', 'void', ['void *']);
    const names = { linux: [library], windows: [] };
    // Loaded once and kept, so the file may go.
    keep.push(handle);
    return {
      libraries: { driver: names, nvrtc: names, cudnn: names, nccl: names, management: names },
      counts() {
        const numbers = new BigInt64Array(4);
        countsOf(numbers);
        const [launches, allocations, live, waits] = [...numbers].map(Number) as [number, number, number, number];
        return { launches, allocations, live, waits };
      },
      algorithms() {
        const numbers = new Int32Array(5);
        algorithmsOf(numbers);
        return { runs: [...numbers.subarray(0, 4)], last: numbers[4] as number };
      },
    };
  } finally {
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
}

const keep: unknown[] = [];

/** How a call lays out its tensors. */
export interface Layout {
  /** Elements by which every address is moved, so that it isn't a multiple of 16 bytes. */
  readonly shift?: number;
  /** Whether outputs take the memory of operands where the table allows it. */
  readonly inPlace?: boolean;
}

/** An opened library on the emulated card. */
export class Card {
  readonly library: DeviceLibrary;
  readonly driver: Driver;
  readonly stream: bigint;

  constructor(libraries: CudaLibraries, options: DeviceLibraryOptions = { tf32: true, workspaceBytes: 5000 }) {
    this.library = openDeviceLibrary(options, libraries);
    this.driver = new Driver(libraries, 0);
    this.stream = this.driver.createStream();
  }

  /** An operator's outputs by its device kernel. */
  run(name: string, inputs: readonly HostTensor[], attributes: Attributes, layout: Layout = {}): HostTensor[] {
    const { shift = 0, inPlace = false } = layout;
    const allocated: bigint[] = [];
    const place = (shape: readonly number[]): DeviceTensor => {
      const base = this.driver.allocate(4 * (elementCount(shape) + shift) + 4, 'a test');
      allocated.push(base);
      return { shape, address: base + 4n * BigInt(shift) };
    };
    // One tensor given twice is one in the card's memory.
    const placed = new Map<HostTensor, DeviceTensor>();
    const operands = inputs.map((tensor) => {
      const known = placed.get(tensor);
      if (known) return known;
      const there = place(tensor.shape);
      if (tensor.data.length > 0) this.driver.upload(there.address, tensor.data);
      placed.set(tensor, there);
      return there;
    });
    const shapes = row(name).shapes(
      inputs.map(({ shape }) => shape),
      attributes,
    );
    const results = shapes.map((shape, output) => {
      const pair = inPlace ? row(name).inPlace.find(([, to]) => to === output) : undefined;
      const operand = pair && operands[pair[0]];
      return operand && elementCount(operand.shape) === elementCount(shape) ? { ...operand, shape } : place(shape);
    });
    const kernel = this.library.create(name, attributes);
    kernel.launch(operands, results, this.stream);
    this.driver.synchronize(this.stream);
    const outputs = results.map(({ shape, address }) => {
      const data = new Float32Array(elementCount(shape));
      if (data.length > 0) this.driver.download(data, address);
      return { shape, data };
    });
    for (const address of allocated) this.driver.free(address);
    return outputs;
  }
}
