/** @file The values that pickles hold. */

import { FailureError } from '../../ir/errors.js';

/** A value that a pickle holds. Texts of Python 2, which are bytes, come as bytes. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | PickleDict
  | PickleGlobal
  | NumpyArray
  | NumpyType;

/** A dict; keys that are bytes are texts here. */
export class PickleDict extends Map<string | number, PickleValue> {}

/** Bytes as text, as Python 2 has it; texts as they are. */
export function textOf(value: PickleValue | undefined): string | undefined {
  return value instanceof Uint8Array
    ? Buffer.from(value).toString('latin1')
    : typeof value === 'string'
      ? value
      : undefined;
}

/** What a name in a pickle stands for: numpy's ways to write an array, a number, a type and bytes. */
export type GlobalName = 'array' | 'scalar' | 'buffer' | 'class' | 'type' | 'encode';

/** A function or class that a pickle names. */
export class PickleGlobal {
  constructor(readonly name: GlobalName) {}
}

/** Type of an array's elements. */
export class NumpyType {
  littleEndian = true;
  /** @param code a letter for the kind and the bytes of an element, as in u1 */
  constructor(readonly code: string) {}
}

/** A numpy array. */
export class NumpyArray {
  shape: readonly number[] = [];
  /** Row-major. */
  data: Uint8Array = new Uint8Array(0);
  type: NumpyType | undefined;

  /** The elements as numbers. @throws FailureError where they are none */
  numbers(path: string): ArrayLike<number> {
    const { data, type } = this;
    const code = type?.code ?? '';
    if (code === 'u1') return data;
    const read = readers[code];
    if (!read)
      throw new FailureError(`${path}: an array holds ${code || 'nothing'}, not numbers; take the original file`);
    const size = Number(code.slice(1));
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    return Float64Array.from({ length: data.length / size }, (_, at) =>
      read(view, at * size, type?.littleEndian ?? true),
    );
  }
}

const readers: Readonly<Record<string, (view: DataView, at: number, littleEndian: boolean) => number>> = {
  b1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  i2: (view, at, little) => view.getInt16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};
