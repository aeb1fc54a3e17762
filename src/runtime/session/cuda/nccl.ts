/** @file NVIDIA's library for sums over cards: it adds tensors of all processes of a run on the stream that computes. */

import type { TypeObject } from 'koffi';
import { elementCount, FailureError, InternalError } from '../../../ir/index.js';
import { type Mpi, openMpi } from '../mpi/library.js';
import { Peers, type ProcessLink } from '../mpi/meeting.js';
import { koffi as loadKoffi } from '../ort/native.js';
import type { DeviceKernel, DeviceLibrary } from '../ort/own-operators.js';
import { Driver } from './driver.js';
import { type CudaLibraries, installedLibraries, loadLibrary, type NativeFunction, Out } from './libraries.js';

// Values of nccl.h.
const idBytes = 128;
const float32 = 7;
const sum = 0;

/** Between looks at the other processes, in ms. */
const lookEveryMs = 100;

let idType: TypeObject | undefined;

/** Signatures as in nccl.h; handles and addresses are 64-bit numbers. */
function declare(libraries: CudaLibraries) {
  const { find, file } = loadLibrary('nccl', libraries);
  const koffi = loadKoffi();
  idType ??= koffi.struct({ internal: koffi.array('uint8_t', idBytes, 'Typed') });
  const status = (name: string, ...parameters: readonly (string | TypeObject)[]): NativeFunction =>
    find(name, 'int', parameters);
  return {
    file,
    getUniqueId: status('ncclGetUniqueId', 'void *'),
    initRank: status('ncclCommInitRank', 'void *', 'int', idType, 'int'),
    allReduce: status('ncclAllReduce', 'uint64_t', 'uint64_t', 'size_t', 'int', 'int', 'uint64_t', 'uint64_t'),
    destroy: status('ncclCommDestroy', 'uint64_t'),
    errorString: find('ncclGetErrorString', 'str', ['int']),
  };
}

/** The processes of a run, as their cards meet. One thread uses it. */
export class Communicator {
  private readonly functions: ReturnType<typeof declare>;
  private readonly handle: bigint;

  /**
   * Waits until all processes of the run have come here; the card's context must be current on this thread.
   * @throws FailureError when the library is missing or refuses, or another process has ended
   */
  constructor(link: ProcessLink, libraries: CudaLibraries = installedLibraries) {
    this.functions = declare(libraries);
    const { getUniqueId, initRank } = this.functions;
    const own = new Uint8Array(idBytes);
    if (link.rank === 0) this.check('ncclGetUniqueId', getUniqueId(own));
    const internal = firstOf(own, openMpi(link.library), new Peers(link), link.peers.length);
    const out = new Out();
    this.check('ncclCommInitRank', initRank(out.bytes, link.peers.length, { internal }, link.rank));
    this.handle = out.address;
  }

  /** Puts the sum of `count` floats over all processes on a stream; `to` may be where `from` is. */
  sum(from: bigint, to: bigint, count: number, stream: bigint): void {
    this.check('ncclAllReduce', this.functions.allReduce(from, to, count, float32, sum, this.handle, stream));
  }

  close(): void {
    this.check('ncclCommDestroy', this.functions.destroy(this.handle));
  }

  private check(name: string, status: unknown): void {
    if (status === 0) return;
    const text = this.functions.errorString(status) as string | null;
    throw new FailureError(
      `${name} of ${this.functions.file} failed: ${text ?? 'unknown'} (code ${status}). Each process needs a card of its own; NCCL_DEBUG=WARN tells more, and --collective mpi sums through the host`,
    );
  }
}

/** What the first of all processes gives, in a thread that may wait. */
function firstOf(own: Uint8Array, mpi: Mpi, peers: Peers, size: number): Uint8Array {
  const all = new Uint8Array(new ArrayBuffer(own.length * size));
  const request = new BigInt64Array(new ArrayBuffer(16));
  const pause = new Int32Array(new SharedArrayBuffer(4));
  mpi.startGather(own, all, request);
  const began = performance.now();
  let nextLook = began + lookEveryMs;
  while (!mpi.test(request)) {
    const now = performance.now();
    if (now >= nextLook) {
      nextLook = now + lookEveryMs;
      peers.look(0, 'meetings', now - began);
    }
    Atomics.wait(pause, 0, 0, 1);
  }
  return all.slice(0, own.length);
}

/** Why cards can't meet by NCCL here; undefined where they can. */
export function missingNccl(libraries: CudaLibraries = installedLibraries): string | undefined {
  try {
    declare(libraries);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Kernels on a card together with sums over the processes of a run.
 * @param own other kernels that the model needs, where it needs any; closed with these
 * @throws FailureError as `Communicator`
 */
export function withSums(
  own: DeviceLibrary | undefined,
  device: number,
  link: ProcessLink,
  libraries: CudaLibraries = installedLibraries,
): DeviceLibrary {
  // Kernels of ours have made the card's context current already.
  const driver = own ? undefined : new Driver(libraries, device);
  const communicator = new Communicator(link, libraries);
  const kernel: DeviceKernel = {
    launch([x], [y], stream) {
      if (x && y) communicator.sum(x.address, y.address, elementCount(x.shape), stream);
    },
  };
  return {
    has: (name) => name === 'AllReduce' || own?.has(name) === true,
    create(name, attributes) {
      if (name === 'AllReduce') return kernel;
      if (!own) throw new InternalError(`there is no kernel for ${name} among sums`);
      return own.create(name, attributes);
    },
    close() {
      communicator.close();
      own?.close();
      driver?.close();
    },
  };
}
