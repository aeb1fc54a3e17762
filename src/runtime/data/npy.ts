/** @file Reads an array in numpy's .npy form: numbers only. Pickled objects are refused by name, and nothing is run. */

import { endianness } from 'node:os';
import { FailureError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';

/** Numbers of any type that fits them. */
type Numbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/** An array of numpy. */
export interface NpyArray {
  /** The type, as in `u1`, `i8` or `f4`. */
  readonly type: string;
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Numbers;
}

const types: Readonly<Record<string, new (buffer: ArrayBuffer) => Numbers>> = {
  ...{
    b1: Uint8Array,
    u1: Uint8Array,
    i1: Int8Array,
    u2: Uint16Array,
    i2: Int16Array,
    u4: Uint32Array,
    i4: Int32Array,
  },
  ...{ u8: BigUint64Array, i8: BigInt64Array, f4: Float32Array, f8: Float64Array },
};

const magic = '\x93NUMPY';

/**
 * @param name of the array, for messages
 * @throws FailureError when the bytes are no such array, hold anything but numbers, or are fewer or more than announced
 */
export function parseNpy(bytes: Buffer, name: string): NpyArray {
  if (bytes.length < 12 || bytes.toString('latin1', 0, 6) !== magic) {
    throw new FailureError(`${name} is no array of numpy (.npy); write it with numpy.save or numpy.savez`);
  }
  const wide = (bytes[6] as number) > 1;
  const begin = (wide ? 12 : 10) + (wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  if (begin > bytes.length) throw new FailureError(`${name} ends within its header; write it again`);
  const header = bytes.toString('latin1', wide ? 12 : 10, begin);
  const [, order = '', type = ''] = /'descr':\s*'([<>|=])([a-zA-Z]\d*)'/.exec(header) ?? [];
  const Numbers = types[type];
  if (!Numbers)
    throw new FailureError(
      `${name} holds ${inWords(type, header)}; what is read is whole numbers, float32 and float64: ${remedy}`,
    );
  const shape = /'shape':\s*\(([\d,\sL]*)\)/
    .exec(header)?.[1]
    ?.split(',')
    .map((text) => text.trim().replace(/L$/, ''));
  if (!shape) throw new FailureError(`${name} tells no shape in its header; write it again`);
  const extents = shape.filter((text) => text !== '').map(Number);
  if (/'fortran_order':\s*True/.test(header) && extents.length > 1) {
    throw new FailureError(`${name} is stored column by column; write numpy.ascontiguousarray(…) of it`);
  }
  const width = Number(type.slice(1));
  const expected = elementCount(extents) * width;
  if (bytes.length - begin !== expected) {
    throw new FailureError(
      `${name} of ${extents.join('×')} takes ${expected} bytes, and there are ${bytes.length - begin}; write it again`,
    );
  }
  // A copy, since numbers of several bytes have to be aligned.
  const data = new Uint8Array(bytes.subarray(begin));
  const isForeign = width > 1 && (order === '>') !== (endianness() === 'BE');
  if (isForeign) for (let at = 0; at < data.length; at += width) data.subarray(at, at + width).reverse();
  return { type, shape: extents, data: new Numbers(data.buffer) };
}

const remedy = 'convert it, as by numpy.asarray(…).astype(numpy.uint8) or int64, and save it again';

function inWords(type: string, header: string): string {
  if (type.startsWith('O')) return 'Python objects (a pickle, which could run code)';
  if (/^[US]/.test(type)) return 'text';
  return `numbers of the type ${type || /'descr':\s*(.*?),\s*'fortran/.exec(header)?.[1] || 'unknown'}`;
}
