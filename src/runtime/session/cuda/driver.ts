/** @file CUDA's driver: the card's context, memory, streams, events, modules and launches. */

import { FailureError, InternalError } from '../../../ir/index.js';
import { koffi } from '../ort/native.js';
import { type CudaLibraries, cString, loadLibrary, type NativeFunction, Out } from './libraries.js';

/** A kernel's code on the card. */
export type KernelHandle = bigint;

/** What is known of a card. */
export interface CardProperties {
  readonly name: string;
  readonly multiprocessors: number;
  /** Compute capability as `90` for 9.0. */
  readonly capability: number;
}

// Values of CUdevice_attribute and of other enumerations of cuda.h.
const attributeMultiprocessors = 16;
const attributeCapabilityMajor = 75;
const attributeCapabilityMinor = 76;
const streamNonBlocking = 1;
const outOfMemory = 2;

/** The most bytes a kernel's parameters may take. */
const parameterLimit = 4096;

/** The driver's functions on one card, in its primary context, which the runtime uses too. */
export class Driver {
  readonly card: CardProperties;
  private readonly device: number;
  private readonly context: bigint;
  private readonly functions: ReturnType<typeof declare>;
  /** Native memory for a launch's parameters, and the list of one address that points there. */
  private readonly parameters: Uint8Array;
  private readonly parameterList: unknown;

  /**
   * Makes the card's primary context current on this thread.
   * @param ordinal the card's number, from 0
   * @throws FailureError when the driver or the card is missing
   */
  constructor(libraries: CudaLibraries, ordinal: number) {
    this.functions = declare(libraries);
    this.call('cuInit', 0);
    const count = this.outInt('cuDeviceGetCount');
    if (ordinal >= count) {
      throw new FailureError(
        `there is no CUDA device ${ordinal}: the driver sees ${count}; choose one from 0 to ${count - 1}`,
      );
    }
    const out = new Out();
    this.call('cuDeviceGet', out.bytes, ordinal);
    this.device = out.int;
    this.call('cuDevicePrimaryCtxRetain', out.bytes, this.device);
    this.context = out.address;
    this.makeCurrent();
    const name = new Uint8Array(256);
    this.call('cuDeviceGetName', name, name.length, this.device);
    this.card = {
      name: cString(name),
      multiprocessors: this.attribute(attributeMultiprocessors),
      capability: 10 * this.attribute(attributeCapabilityMajor) + this.attribute(attributeCapabilityMinor),
    };
    const memory = koffi().alloc('uint8_t', parameterLimit);
    this.parameters = new Uint8Array(koffi().view(memory, parameterLimit));
    this.parameterList = koffi().alloc('uint64_t', 1);
    koffi().encode(this.parameterList, 'uint64_t', koffi().address(memory));
  }

  /** Makes the card's context current on this thread, as every other function here expects. */
  makeCurrent(): void {
    this.call('cuCtxSetCurrent', this.context);
  }

  private attribute(which: number): number {
    const out = new Out();
    this.call('cuDeviceGetAttribute', out.bytes, which, this.device);
    return out.int;
  }

  private outInt(name: 'cuDeviceGetCount'): number {
    const out = new Out();
    this.call(name, out.bytes);
    return out.int;
  }

  private outAddress(name: keyof ReturnType<typeof declare>, ...rest: readonly unknown[]): bigint {
    const out = new Out();
    this.call(name, out.bytes, ...rest);
    return out.address;
  }

  /** Loads machine code. The module stays loaded as long as the process. @throws FailureError */
  loadModule(code: Uint8Array): bigint {
    return this.outAddress('cuModuleLoadDataEx', code, 0, null, null);
  }

  /** A module's kernel by its name. @throws FailureError */
  kernel(module: bigint, name: string): KernelHandle {
    return this.outAddress('cuModuleGetFunction', module, name);
  }

  /**
   * Puts a kernel with one structure as its parameter on a stream.
   * @param grid blocks along x and y
   * @param threads threads a block
   */
  launch(
    kernel: KernelHandle,
    grid: readonly [number, number],
    threads: number,
    stream: bigint,
    parameters: Uint8Array,
  ): void {
    if (parameters.length > parameterLimit) throw new InternalError(`${parameters.length} bytes of kernel parameters`);
    // The driver copies the parameters before it returns.
    this.parameters.set(parameters);
    this.call('cuLaunchKernel', kernel, grid[0], grid[1], 1, threads, 1, 1, 0, stream, this.parameterList, null);
  }

  /**
   * Memory on the card, aligned to 256 bytes at least.
   * @throws FailureError naming `purpose` when there is not enough
   */
  allocate(bytes: number, purpose: string): bigint {
    const out = new Out();
    const status = this.functions.cuMemAlloc_v2(out.bytes, bytes) as number;
    if (status === outOfMemory) {
      throw new FailureError(
        `the card has no ${bytes} bytes left for ${purpose}; use a smaller batch, a plan with less memory (--remat max) or a smaller workspace`,
      );
    }
    this.check('cuMemAlloc', status);
    return out.address;
  }

  free(address: bigint): void {
    this.call('cuMemFree_v2', address);
  }

  /** Sets `words` of 32 bits to 0 and waits for it. */
  clear(address: bigint, words: number): void {
    this.call('cuMemsetD32_v2', address, 0, words);
    this.call('cuCtxSynchronize');
  }

  /** Copies host memory to the card and waits for it. */
  upload(address: bigint, data: Uint8Array | Float32Array): void {
    this.call('cuMemcpyHtoD_v2', address, data, data.byteLength);
  }

  /** Copies the card's memory to the host, after all that is on the default stream, and waits for it. */
  download(data: Uint8Array | Float32Array, address: bigint): void {
    this.call('cuMemcpyDtoH_v2', data, address, data.byteLength);
  }

  createStream(): bigint {
    return this.outAddress('cuStreamCreate', streamNonBlocking);
  }

  /** Waits until all that is on a stream is done. @throws FailureError when a kernel has failed */
  synchronize(stream: bigint): void {
    this.call('cuStreamSynchronize', stream);
  }

  /** Milliseconds that the card spends on what `work` puts on a stream; waits for it. */
  time(stream: bigint, work: () => void): number {
    const start = this.outAddress('cuEventCreate', 0);
    const end = this.outAddress('cuEventCreate', 0);
    try {
      this.call('cuEventRecord', start, stream);
      work();
      this.call('cuEventRecord', end, stream);
      this.call('cuEventSynchronize', end);
      const out = new Out();
      this.call('cuEventElapsedTime', out.bytes, start, end);
      return out.float;
    } finally {
      this.call('cuEventDestroy_v2', start);
      this.call('cuEventDestroy_v2', end);
    }
  }

  /** Gives the context back. */
  close(): void {
    this.call('cuDevicePrimaryCtxRelease_v2', this.device);
  }

  private call(name: keyof ReturnType<typeof declare>, ...args: readonly unknown[]): void {
    this.check(name, this.functions[name](...args) as number);
  }

  private check(name: string, status: number): void {
    if (status === 0) return;
    const out = new Out();
    const known = this.functions.cuGetErrorString(status, out.bytes) === 0 && out.address !== 0n;
    const text = known ? koffi().decode.string(out.address) : 'unknown to this driver';
    throw new FailureError(
      `CUDA's ${name} failed: ${text} (code ${status}). If this persists, check the card with nvidia-smi, or run with --kernels plain`,
    );
  }
}

/** Signatures as in cuda.h; handles and addresses are 64-bit numbers. */
function declare(libraries: CudaLibraries) {
  const { find } = loadLibrary('driver', libraries);
  const status = (name: string, ...parameters: readonly string[]): NativeFunction => find(name, 'int', parameters);
  const [word, size, address, handle, out] = ['unsigned int', 'size_t', 'uint64_t', 'uint64_t', 'void *'] as const;
  return {
    cuInit: status('cuInit', word),
    cuGetErrorString: status('cuGetErrorString', 'int', out),
    cuDeviceGetCount: status('cuDeviceGetCount', out),
    cuDeviceGet: status('cuDeviceGet', out, 'int'),
    cuDeviceGetName: status('cuDeviceGetName', out, 'int', 'int'),
    cuDeviceGetAttribute: status('cuDeviceGetAttribute', out, 'int', 'int'),
    cuDevicePrimaryCtxRetain: status('cuDevicePrimaryCtxRetain', out, 'int'),
    cuDevicePrimaryCtxRelease_v2: status('cuDevicePrimaryCtxRelease_v2', 'int'),
    cuCtxSetCurrent: status('cuCtxSetCurrent', handle),
    cuCtxSynchronize: status('cuCtxSynchronize'),
    cuModuleLoadDataEx: status('cuModuleLoadDataEx', out, 'void *', word, 'void *', 'void *'),
    cuModuleGetFunction: status('cuModuleGetFunction', out, handle, 'str'),
    cuLaunchKernel: status(
      'cuLaunchKernel',
      ...[handle, word, word, word, word, word, word, word, handle, 'void *', 'void *'],
    ),
    cuMemAlloc_v2: status('cuMemAlloc_v2', out, size),
    cuMemFree_v2: status('cuMemFree_v2', address),
    cuMemsetD32_v2: status('cuMemsetD32_v2', address, word, size),
    cuMemcpyHtoD_v2: status('cuMemcpyHtoD_v2', address, 'void *', size),
    cuMemcpyDtoH_v2: status('cuMemcpyDtoH_v2', 'void *', address, size),
    cuStreamCreate: status('cuStreamCreate', out, word),
    cuStreamSynchronize: status('cuStreamSynchronize', handle),
    cuEventCreate: status('cuEventCreate', out, word),
    cuEventDestroy_v2: status('cuEventDestroy_v2', handle),
    cuEventRecord: status('cuEventRecord', handle, handle),
    cuEventSynchronize: status('cuEventSynchronize', handle),
    cuEventElapsedTime: status('cuEventElapsedTime', out, handle, handle),
  };
}
