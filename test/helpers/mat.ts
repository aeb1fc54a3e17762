/** @file Writes MATLAB files of version 5, as SVHN's are. */

import { deflateSync } from 'node:zlib';

/** A variable to write; its numbers in MATLAB's order, the first axis fastest. */
export interface MatVariable {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array | Float64Array;
  /** What the head announces instead of the truth. */
  readonly announcedShape?: readonly number[];
}

/** Types and classes of the arrays written here. */
const codes = { uint8: { type: 2, matrixClass: 9 }, float64: { type: 9, matrixClass: 6 } } as const;

/** The bytes of a MATLAB file. @param compressed as MATLAB saves by default */
export function matFile(variables: readonly MatVariable[], { compressed = true } = {}): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('MATLAB 5.0 MAT-file, written by a test');
  header.fill(0, 116, 124);
  header.writeUInt16LE(0x0100, 124);
  header.write('IM', 126);
  const elements = variables.map((variable) => {
    const matrix = element(14, matrixContent(variable));
    if (!compressed) return matrix;
    const deflated = deflateSync(matrix);
    // Compressed elements have no padding.
    return Buffer.concat([tag(15, deflated.length), deflated]);
  });
  return Buffer.concat([header, ...elements]);
}

function matrixContent({ name, shape, data, announcedShape = shape }: MatVariable): Buffer {
  const { type, matrixClass } = data instanceof Uint8Array ? codes.uint8 : codes.float64;
  const flags = Buffer.alloc(8);
  flags.writeUInt32LE(matrixClass);
  const dimensions = Buffer.alloc(4 * announcedShape.length);
  announcedShape.forEach((extent, axis) => {
    dimensions.writeInt32LE(extent, 4 * axis);
  });
  const numbers = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([element(6, flags), element(5, dimensions), nameElement(name), element(type, numbers)]);
}

/** Names of up to four letters are small elements: type and length in one word. */
function nameElement(name: string): Buffer {
  if (name.length > 4) return element(1, Buffer.from(name, 'latin1'));
  const small = Buffer.alloc(8);
  small.writeUInt16LE(1, 0);
  small.writeUInt16LE(name.length, 2);
  small.write(name, 4, 'latin1');
  return small;
}

function element(type: number, content: Buffer): Buffer {
  const padding = Buffer.alloc((8 - (content.length % 8)) % 8);
  return Buffer.concat([tag(type, content.length), content, padding]);
}

function tag(type: number, bytes: number): Buffer {
  const result = Buffer.alloc(8);
  result.writeUInt32LE(type, 0);
  result.writeUInt32LE(bytes, 4);
  return result;
}
