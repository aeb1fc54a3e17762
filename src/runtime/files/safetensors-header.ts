/** @file The header of a safetensors file: the element types we read, and every check on names, shapes and offsets. */

import { FailureError } from '../../ir/errors.js';
import { elementCount, int64Tensor, type TensorData } from '../../ir/tensor-data.js';

/** A tensor that a checked header describes. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** First byte and the one after the last, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
  /** Makes the tensor of its bytes, which the buffer holds and nothing else. */
  readonly decode: (buffer: ArrayBuffer) => TensorData;
}

interface StoredType {
  readonly bytes: number;
  readonly decode: (shape: readonly number[], buffer: ArrayBuffer) => TensorData;
}

// Typed arrays have the byte order of the host, which is the file's (little-endian) wherever the runtime is built.
const storedTypes: ReadonlyMap<string, StoredType> = new Map<string, StoredType>([
  ['F32', { bytes: 4, decode: (shape, buffer) => ({ dtype: 'float32', shape, data: new Float32Array(buffer) }) }],
  ['I64', { bytes: 8, decode: (shape, buffer) => ({ dtype: 'int64', shape, data: new BigInt64Array(buffer) }) }],
  ['U32', { bytes: 4, decode: (shape, buffer) => ({ dtype: 'uint32', shape, data: new Uint32Array(buffer) }) }],
  ['I32', { bytes: 4, decode: (shape, buffer) => int64Tensor(shape, [...new Int32Array(buffer)]) }],
  ['BOOL', { bytes: 1, decode: (shape, buffer) => ({ dtype: 'bool', shape, data: decodeBool(buffer) }) }],
  ['F16', { bytes: 2, decode: (shape, buffer) => ({ dtype: 'float32', shape, data: decodeHalf(buffer) }) }],
  ['BF16', { bytes: 2, decode: (shape, buffer) => ({ dtype: 'float32', shape, data: decodeBrainFloat(buffer) }) }],
  ['F64', { bytes: 8, decode: (shape, buffer) => ({ dtype: 'float32', shape, data: decodeDouble(buffer) }) }],
]);

/** The error for a file that is not valid safetensors. */
export function brokenSafetensors(path: string, problem: string): FailureError {
  return new FailureError(`${path}: ${problem}; the file is truncated or not safetensors: copy or export it again`);
}

/**
 * Reads and checks a header.
 * @param text the header's bytes, UTF-8 JSON
 * @param dataBytes how many bytes the file has after the header
 * @returns the tensors in the order of their bytes, which fill `dataBytes` without gap or overlap, and the metadata
 * @throws FailureError when a rule of the format is broken, or a tensor has a type that is not read
 */
export function parseHeader(
  path: string,
  text: Uint8Array,
  dataBytes: number,
): { stored: StoredTensor[]; metadata: Record<string, string> } {
  let json: string;
  let header: unknown;
  try {
    json = new TextDecoder('utf-8', { fatal: true }).decode(text);
    header = JSON.parse(json);
  } catch (error) {
    throw brokenSafetensors(path, `the header is not JSON (${(error as Error).message})`);
  }
  if (!isObject(header)) {
    throw brokenSafetensors(path, 'the header is JSON but not an object of tensors');
  }
  refuseDuplicates(path, json);

  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw brokenSafetensors(path, `'__metadata__' is ${JSON.stringify(metadata)} but must map names to text`);
  }
  const stored = Object.entries(entries).map(([name, entry]) => checkEntry(path, name, entry, dataBytes));
  stored.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(path, stored, dataBytes);
  return { stored, metadata: metadata as Record<string, string> };
}

function checkEntry(path: string, name: string, entry: unknown, dataBytes: number): StoredTensor {
  if (!isObject(entry)) {
    throw brokenSafetensors(path, `the entry of tensor '${name}' is ${JSON.stringify(entry)} but must be an object`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  const type = typeof dtype === 'string' ? storedTypes.get(dtype) : undefined;
  if (type === undefined) {
    const problem = `tensor '${name}' has dtype ${JSON.stringify(dtype)}`;
    const supported = [...storedTypes.keys()].join(', ');
    throw new FailureError(`${path}: ${problem} but supported are ${supported}; export it as one of these`);
  }
  if (!isCountList(shape)) {
    const problem = `tensor '${name}' has shape ${JSON.stringify(shape)}`;
    throw brokenSafetensors(path, `${problem} but sizes must be whole numbers from 0 up`);
  }
  if (!isCountList(offsets) || offsets.length !== 2) {
    const problem = `tensor '${name}' has data_offsets ${JSON.stringify(offsets)}`;
    throw brokenSafetensors(path, `${problem} but must have two whole numbers, begin and end`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataBytes) {
    const problem = `tensor '${name}' has bytes ${begin} to ${end}`;
    throw brokenSafetensors(path, `${problem} but the file has ${dataBytes} after its header`);
  }
  const expected = elementCount(shape) * type.bytes;
  if (end - begin !== expected) {
    const problem = `tensor '${name}' has ${end - begin} bytes`;
    throw brokenSafetensors(path, `${problem} but ${dtype} of shape [${shape.join(', ')}] needs ${expected}`);
  }
  return { name, shape, begin, end, decode: (buffer) => type.decode(shape, buffer) };
}

function checkCoverage(path: string, stored: readonly StoredTensor[], dataBytes: number): void {
  let position = 0;
  let previous = 'the header';
  for (const { name, begin, end } of stored) {
    if (begin !== position) {
      const relation = begin < position ? 'overlaps' : 'leaves a gap after';
      const problem = `tensor '${name}' begins at byte ${begin} but ${position} is next`;
      throw brokenSafetensors(path, `${problem}: it ${relation} ${previous}`);
    }
    position = end;
    previous = `tensor '${name}'`;
  }
  if (position !== dataBytes) {
    throw brokenSafetensors(path, `the tensors end at byte ${position} but the file has ${dataBytes}`);
  }
}

/** JSON.parse keeps the last of equal names in silence, so the outermost object's are read from the (valid) text. */
function refuseDuplicates(path: string, json: string): void {
  const seen = new Set<string>();
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === '{' || char === '[') {
      depth++;
    } else if (char === '}' || char === ']') {
      depth--;
    } else if (char === '"') {
      const begin = at;
      at = closingQuote(json, begin);
      const name: unknown = depth === 1 ? JSON.parse(json.slice(begin, at + 1)) : undefined;
      if (typeof name === 'string' && seen.has(name)) {
        throw brokenSafetensors(path, `the header has the name '${name}' twice but names must be unique`);
      }
      if (typeof name === 'string') {
        seen.add(name);
      }
    }
  }
}

function closingQuote(json: string, opening: number): number {
  let at = opening + 1;
  while (json[at] !== '"') {
    at += json[at] === '\\' ? 2 : 1;
  }
  return at;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Any byte but 0 is true for PyTorch; the runtime wants exactly 1. */
function decodeBool(buffer: ArrayBuffer): Uint8Array {
  return new Uint8Array(buffer).map((value) => (value === 0 ? 0 : 1));
}

function decodeDouble(buffer: ArrayBuffer): Float32Array {
  return Float32Array.from(new Float64Array(buffer));
}

function decodeHalf(buffer: ArrayBuffer): Float32Array {
  return Float32Array.from(new Uint16Array(buffer), (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = (bits & 0x3ff) / 1024;
    if (exponent === 0x1f) {
      return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    }
    return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
  });
}

/** A bfloat16 is the upper half of a float32. */
function decodeBrainFloat(buffer: ArrayBuffer): Float32Array {
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
}
