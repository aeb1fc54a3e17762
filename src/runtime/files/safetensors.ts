/** @file Reads and writes safetensors, the format of state and batch files: an 8-byte length, a JSON header, bytes. */

import { type FileHandle, open } from 'node:fs/promises';
import { aPath, checkValue } from '../../ir/check.js';
import { FailureError, RequestError } from '../../ir/errors.js';
import { bytesPerElement, type DType, elementCount, type TensorData } from '../../ir/tensor-data.js';
import { fileFailure, writeFileAtomic } from './atomic-file.js';
import { brokenSafetensors, parseHeader } from './safetensors-header.js';

/** What a safetensors file holds. The tensors come in the order of their bytes in the file. */
export interface SafetensorsContent {
  readonly tensors: Map<string, TensorData>;
  readonly metadata: Record<string, string>;
}

/** The limit of the reference implementation. */
const maxHeaderBytes = 100_000_000;

/** `FileHandle.read` takes at most 2³¹−1 bytes at once. */
const maxReadBytes = 2 ** 30;

const writtenTypes: Readonly<Record<DType, string>> = { float32: 'F32', int64: 'I64', uint32: 'U32', bool: 'BOOL' };

/**
 * Reads a whole safetensors file. F16, BF16 and F64 tensors are converted to float32 (F64 by rounding),
 * I32 to int64.
 * @throws FailureError when the file can't be read, is not valid safetensors, or holds another type than F32, I64,
 * I32, U32, BOOL, F16, BF16 and F64; no tensor is allocated before all are checked against the size of the file
 */
export async function readSafetensors(path: string): Promise<SafetensorsContent> {
  checkValue('the path of the file', path, aPath);
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { size } = await handle.stat();
    await refuseOtherFormat(path, handle, size);
    const headerBytes = await readHeaderLength(path, handle, size);
    const header = new Uint8Array(headerBytes);
    await readExactly(path, handle, header, 8);
    const { stored, metadata } = parseHeader(path, header, size - 8 - headerBytes);

    const tensors = new Map<string, TensorData>();
    for (const { name, begin, end, decode } of stored) {
      // A buffer of its own for each tensor: offsets in the file need not be aligned to the element's size.
      const buffer = allocate(path, name, end - begin);
      await readExactly(path, handle, new Uint8Array(buffer), 8 + headerBytes + begin);
      tensors.set(name, decode(buffer));
    }
    return { tensors, metadata };
  } catch (error) {
    throw fileFailure('read', path, error);
  } finally {
    await handle?.close();
  }
}

/**
 * Writes a safetensors file, atomically (see `writeFileAtomic`). Tensors of wider elements come first, so that each
 * is aligned for readers that map the file. The tensors must not change until the promise resolves.
 * @param metadata free text by name, kept in the header
 * @throws FailureError when the file can't be written
 * @throws RequestError when a name comes twice, or a tensor's data does not fit its shape
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<[string, TensorData]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  checkValue('the path of the file', path, aPath);
  const ordered = [...tensors].sort(([, a], [, b]) => bytesPerElement[b.dtype] - bytesPerElement[a.dtype]);
  // JSON leaves out what is undefined; the key is there in any case, so that no tensor takes its name.
  const header = new Map<string, unknown>([['__metadata__', Object.keys(metadata).length > 0 ? metadata : undefined]]);
  const pieces: Uint8Array[] = [];
  let position = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (header.has(name)) {
      throw new RequestError(`a tensor to save has the name '${name}', which is taken; give each a name of its own`);
    }
    if (data.length !== elementCount(shape)) {
      throw new RequestError(
        `tensor '${name}' has ${data.length} elements for the shape [${shape.join(', ')}], which takes ${elementCount(shape)}`,
      );
    }
    const end = position + data.byteLength;
    header.set(name, { dtype: writtenTypes[dtype], shape, data_offsets: [position, end] });
    pieces.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    position = end;
  }
  await writeFileAtomic(path, [encodeHeader(header), ...pieces]);
}

/** The length and the header, padded with spaces so that the tensors begin at a multiple of 8 bytes. */
function encodeHeader(header: ReadonlyMap<string, unknown>): Uint8Array {
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)), 'utf8');
  const bytes = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  json.copy(bytes, 8);
  return bytes;
}

async function readHeaderLength(path: string, handle: FileHandle, size: number): Promise<number> {
  if (size < 8) {
    throw brokenSafetensors(path, `the file has ${size} bytes but the length of the header alone takes 8`);
  }
  const bytes = Buffer.alloc(8);
  await readExactly(path, handle, bytes, 0);
  const length = bytes.readBigUInt64LE();
  if (length > BigInt(size - 8)) {
    throw brokenSafetensors(path, `the header announces ${length} bytes but the file has ${size}`);
  }
  if (length > maxHeaderBytes) {
    throw brokenSafetensors(path, `the header announces ${length} bytes but at most ${maxHeaderBytes} are allowed`);
  }
  return Number(length);
}

async function readExactly(path: string, handle: FileHandle, target: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const wanted = Math.min(target.length - done, maxReadBytes);
    const { bytesRead } = await handle.read(target, done, wanted, position + done);
    if (bytesRead === 0) {
      throw brokenSafetensors(path, `the file ended at byte ${position + done} while it was read`);
    }
    done += bytesRead;
  }
}

function allocate(path: string, name: string, bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (error) {
    const problem = `no memory for the ${bytes} bytes of tensor '${name}'`;
    throw new FailureError(`${path}: ${problem}; free some memory or split the file`, { cause: error });
  }
}

/** Files that are given instead of safetensors, by their first bytes, and what to do with them. */
const otherFormats: readonly {
  readonly begins: RegExp;
  readonly what: string;
  readonly remedy: (path: string) => string;
}[] = [
  { begins: /^(504b0304|8002|8003|8004|8005)/, what: 'a file of torch.save', remedy: convertTorch },
  {
    begins: /^08(0[1-9a-f]|1[0-9])(12|1a|22|3a|42)/,
    what: 'an ONNX model',
    remedy: convertOnnx,
  },
  { begins: /^89484446/, what: 'an HDF5 file', remedy: () => 'save the weights as safetensors where they come from' },
  { begins: /^1f8b/, what: 'a gzip archive', remedy: () => 'unpack it first' },
  {
    begins: /^76657273696f6e20/,
    what: 'a Git LFS pointer, not the file itself',
    remedy: () => 'fetch it with git lfs pull',
  },
];

function convertTorch(path: string): string {
  const load = `torch.load(${JSON.stringify(path)}, map_location='cpu', weights_only=True)`;
  return `convert it with python: import torch; from safetensors.torch import save_file; saved = ${load}; save_file({name: tensor.clone().contiguous() for name, tensor in saved.get('state_dict', saved).items()}, 'weights.safetensors')`;
}

function convertOnnx(path: string): string {
  const model = `onnx.load(${JSON.stringify(path)})`;
  return `give the weights it was made of, or take them out with python: import onnx; from onnx.numpy_helper import to_array; from safetensors.numpy import save_file; save_file({tensor.name: to_array(tensor) for tensor in ${model}.graph.initializer}, 'weights.safetensors')`;
}

/** @throws FailureError for a file that is known to be of another format */
async function refuseOtherFormat(path: string, handle: FileHandle, size: number): Promise<void> {
  if (size < 8) return;
  const first = Buffer.alloc(8);
  await readExactly(path, handle, first, 0);
  // A header as long as these bytes say would fit the file: then they are a length.
  if (first.readBigUInt64LE() <= BigInt(size)) return;
  const found = otherFormats.find(({ begins }) => begins.test(first.toString('hex')));
  if (found) throw new FailureError(`${path} is ${found.what}, not safetensors; ${found.remedy(path)}`);
}
