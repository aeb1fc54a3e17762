/** @file The elements of a MATLAB file of version 5: tags, the head of a matrix, and its types of numbers. */

import type { FailureError } from '../../ir/errors.js';

/** Types of elements that hold variables. */
export const [miMatrix, miCompressed] = [14, 15] as const;

const [miInt8, miInt32, miUint32] = [1, 5, 6] as const;

/** What comes before an element's bytes. */
export interface Tag {
  readonly type: number;
  readonly bytes: number;
  /** Where the bytes begin, after the tag's first. */
  readonly offset: number;
}

/** What a matrix says of itself before its numbers. */
export interface MatrixHead {
  readonly name: string;
  readonly shape: readonly number[];
  /** How the numbers are stored. */
  readonly type: number;
  /** Where they begin, from the beginning of the element's content. */
  readonly dataAt: number;
  readonly dataBytes: number;
}

/** Types of numbers: the bytes of each, and how they are read. */
export const numberTypes: ReadonlyMap<
  number,
  { readonly width: number; readonly reader: (view: DataView, count: number) => ArrayLike<number> }
> = new Map([
  [1, { width: 1, reader: (view, count) => Int8Array.from({ length: count }, (_, at) => view.getInt8(at)) }],
  // Images: no copy.
  [2, { width: 1, reader: (view, count) => new Uint8Array(view.buffer, view.byteOffset, count) }],
  [
    3,
    { width: 2, reader: (view, count) => Int16Array.from({ length: count }, (_, at) => view.getInt16(2 * at, true)) },
  ],
  [
    4,
    { width: 2, reader: (view, count) => Uint16Array.from({ length: count }, (_, at) => view.getUint16(2 * at, true)) },
  ],
  [
    5,
    { width: 4, reader: (view, count) => Int32Array.from({ length: count }, (_, at) => view.getInt32(4 * at, true)) },
  ],
  [
    6,
    { width: 4, reader: (view, count) => Uint32Array.from({ length: count }, (_, at) => view.getUint32(4 * at, true)) },
  ],
  [
    7,
    {
      width: 4,
      reader: (view, count) => Float32Array.from({ length: count }, (_, at) => view.getFloat32(4 * at, true)),
    },
  ],
  [
    12,
    {
      width: 8,
      reader: (view, count) => Float64Array.from({ length: count }, (_, at) => Number(view.getBigInt64(8 * at, true))),
    },
  ],
  [
    13,
    {
      width: 8,
      reader: (view, count) => Float64Array.from({ length: count }, (_, at) => Number(view.getBigUint64(8 * at, true))),
    },
  ],
  [
    9,
    {
      width: 8,
      reader: (view, count) => Float64Array.from({ length: count }, (_, at) => view.getFloat64(8 * at, true)),
    },
  ],
]);

/** The tag at a place; small elements have type and length in one word and their bytes in the other. */
export function readTag(content: Buffer, at = 0): Tag {
  if (content.length < at + 8) return { type: 0, bytes: 0, offset: 8 };
  const word = content.readUInt32LE(at);
  if (word >>> 16 > 0) return { type: word & 0xffff, bytes: word >>> 16, offset: 4 };
  return { type: word, bytes: content.readUInt32LE(at + 4), offset: 8 };
}

/**
 * The head of a matrix.
 * @param content its beginning, at least up to the numbers
 * @param at where the flags' tag is
 * @param broken makes the error to throw
 */
export function parseMatrixHead(content: Buffer, at: number, broken: (problem: string) => FailureError): MatrixHead {
  let place = at;
  const element = (type: number, what: string): Buffer => {
    const tag = readTag(content, place);
    const [begin, end] = [place + tag.offset, place + tag.offset + tag.bytes];
    if (tag.type !== type || end > content.length) throw broken(`a variable has no ${what} where it should be`);
    place += tag.offset === 4 ? 8 : 8 + Math.ceil(tag.bytes / 8) * 8;
    return content.subarray(begin, end);
  };
  element(miUint32, 'flags');
  const dimensions = element(miInt32, 'shape');
  const shape = Array.from({ length: dimensions.length / 4 }, (_, axis) => dimensions.readInt32LE(4 * axis));
  const name = element(miInt8, 'name').toString('latin1');
  if (shape.length < 2 || shape.some((extent) => extent < 0)) {
    throw broken(`the variable ${name} has the shape [${shape.join(', ')}]`);
  }
  const { type, bytes, offset } = readTag(content, place);
  return { name, shape, type, dataAt: place + offset, dataBytes: bytes };
}
