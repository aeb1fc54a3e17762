/** @file Tensors in memory of ours, to which a session's inputs, outputs and state are bound. */

import { bytesPerElement, type DType, elementCount, InternalError, type TensorData } from '../../../ir/index.js';
import { elementTypes } from '../../../onnx/index.js';
import { extentsForC, made, type OrtApi, type Pointer } from './api.js';
import type { Block, Memory } from './memory.js';

/** A tensor in memory of ours, as the runtime knows it. */
export interface Bound {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly block: Block;
  readonly value: Pointer;
}

/** Makes tensors in a memory, and frees them. */
export class Tensors {
  constructor(
    private readonly api: OrtApi,
    private readonly memory: Memory,
  ) {}

  /** A tensor whose elements have yet to be written. */
  allocate(dtype: DType, shape: readonly number[]): Bound {
    const { api } = this;
    const bytes = elementCount(shape) * bytesPerElement[dtype];
    const block = this.memory.allocate(bytes);
    const info = memoryInfo(api, this.memory, 'device');
    try {
      const type = elementTypes[dtype];
      const operands = [info, block.address, bytes, extentsForC(shape), shape.length, type];
      return { dtype, shape, block, value: made(api.CreateTensorWithDataAsOrtValue, ...operands) };
    } finally {
      api.ReleaseMemoryInfo(info);
    }
  }

  free({ value, block }: Bound): void {
    this.api.ReleaseValue(value);
    block.free();
  }
}

/** The runtime's numbers of its allocators. */
const allocators = { device: 0, arena: 1 } as const;

/** What the runtime calls a memory; to be released. */
export function memoryInfo(api: OrtApi, { place }: Memory, allocator: keyof typeof allocators): Pointer {
  return made(api.CreateMemoryInfo, place.name, allocators[allocator], place.id, 0);
}

/** Writes the elements of a tensor of the same type and shape. */
export function write({ block }: Bound, { data }: TensorData): void {
  // Of a buffer that was given away nothing is left to make a view of.
  const isEmpty = data.byteLength === 0;
  block.write(isEmpty ? new Uint8Array(0) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** A copy of a tensor. @throws InternalError for one of a type that models don't give */
export function read({ dtype, shape, block }: Bound): TensorData {
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
