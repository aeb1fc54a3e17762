/** @file Reads numeric arrays from MATLAB files of version 5, without trusting the sizes they announce. */

import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, inflate as inflateCallback, inflateSync } from 'node:zlib';
import { FailureError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import { fileFailure } from '../files/atomic-file.js';
import { type MatrixHead, miCompressed, miMatrix, numberTypes, parseMatrixHead, readTag } from './mat-elements.js';

/** An array in MATLAB's order: the first axis changes fastest. */
export interface MatArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

const headerBytes = 128;

/** As much of a variable as its name and shape take. */
const headBytes = 4096;

/** Deflate can't make more than this many bytes of one. */
const maxInflation = 1032;

const inflate = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflateCallback);

/** A variable of a file, before its numbers are read. */
interface Variable {
  readonly head: MatrixHead;
  readonly compressed: boolean;
  /** Where its element's bytes are in the file. */
  readonly begin: number;
  readonly bytes: number;
}

/**
 * Reads variables of a MATLAB file.
 * @param names variables that must be there
 * @param check is given a variable's name and shape before memory is taken for it; throws where it is of no use
 * @throws FailureError when the file can't be read, is damaged or of another version, or lacks a variable
 */
export async function readMat(
  path: string,
  names: readonly string[],
  check: (name: string, shape: readonly number[]) => void,
): Promise<ReadonlyMap<string, MatArray>> {
  const handle = await open(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  try {
    const file = new MatFile(path, handle, (await handle.stat()).size);
    const variables = await file.variables();
    const missing = names.filter((name) => !variables.some(({ head }) => head.name === name));
    if (missing.length > 0) {
      const found = variables.map(({ head }) => head.name).join(', ') || 'none';
      throw new FailureError(`${path} has no variable ${missing.join(', ')} (there are: ${found}); use the right file`);
    }
    const wanted = variables.filter(({ head }) => names.includes(head.name));
    for (const { head } of wanted) {
      file.checkNumbers(head);
      check(head.name, head.shape);
    }
    const arrays = new Map<string, MatArray>();
    for (const variable of wanted) arrays.set(variable.head.name, await file.read(variable));
    return arrays;
  } catch (error) {
    throw fileFailure('read', path, error);
  } finally {
    await handle.close();
  }
}

class MatFile {
  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly size: number,
  ) {}

  /** The variables of the file; every announced size has been held against the bytes that are there. */
  async variables(): Promise<Variable[]> {
    await this.checkHeader();
    const variables: Variable[] = [];
    for (let at = headerBytes; at < this.size; ) {
      const { type, bytes } = readTag(await this.bytes(at, 8));
      const begin = at + 8;
      if (begin + bytes > this.size) {
        throw this.broken(`an element at byte ${at} announces ${bytes} bytes but ${this.size - begin} follow`);
      }
      if (type === miCompressed || type === miMatrix) {
        variables.push(await this.variable(begin, bytes, type === miCompressed));
      }
      at = begin + bytes;
    }
    return variables;
  }

  /** @throws FailureError when a variable is no array of numbers, or has others than its shape asks for */
  checkNumbers({ name, shape, type, dataBytes }: MatrixHead): void {
    const width = numberTypes.get(type)?.width;
    if (width === undefined) throw this.broken(`${name} is stored as type ${type}, not as numbers`);
    const announced = elementCount(shape) * width;
    if (announced !== dataBytes) {
      const needed = `${shape.join('×')} of ${width} byte(s), ${announced} bytes in all`;
      throw this.broken(`${name} is announced as ${needed}, but there are ${dataBytes}`);
    }
  }

  /** @throws FailureError when the numbers are damaged or fewer than announced */
  async read({ head, compressed, begin, bytes }: Variable): Promise<MatArray> {
    const stored = await this.bytes(begin, bytes);
    const content = compressed ? await this.inflated(stored, head) : stored;
    const { reader, width } = numberTypes.get(head.type) as { reader: NumberReader; width: number };
    const view = new DataView(content.buffer, content.byteOffset + head.dataAt, head.dataBytes);
    return { shape: head.shape, data: reader(view, head.dataBytes / width) };
  }

  private async checkHeader(): Promise<void> {
    if (this.size < headerBytes + 8) throw this.broken(`the file has ${this.size} bytes, too few for any variable`);
    const header = await this.bytes(0, headerBytes);
    const [version, endian] = [header.readUInt16LE(124), header.toString('latin1', 126, 128)];
    if (endian === 'IM' && version === 0x0100) return;
    const version73 = header.toString('latin1', 0, 10) === 'MATLAB 7.3';
    const found = version73
      ? 'MATLAB 7.3 (HDF5)'
      : `version ${version.toString(16)}, byte order '${printable(endian)}'`;
    throw new FailureError(
      `${this.path}: not a MATLAB file of version 5, little-endian (found ${found}); download it again, or save it with -v7`,
    );
  }

  private async variable(begin: number, bytes: number, compressed: boolean): Promise<Variable> {
    const start = await this.bytes(begin, Math.min(bytes, headBytes));
    // An uncompressed element's own tag has been read; a compressed one holds a tag of its own.
    const content = compressed ? this.inflatedStart(start) : start;
    const own = compressed ? readTag(content) : { type: miMatrix, bytes };
    const offset = compressed ? 8 : 0;
    const room = compressed ? bytes * maxInflation : bytes;
    if (own.type !== miMatrix) throw this.broken(`element type ${own.type} where a matrix is expected`);
    if (own.bytes + offset > room) {
      throw this.broken(`a variable announces ${own.bytes} bytes, but there is room for ${room} at most`);
    }
    const head = parseMatrixHead(content, offset, (problem) => this.broken(problem));
    if (head.dataAt + head.dataBytes > own.bytes + offset) {
      throw this.broken(`${head.name} announces ${head.dataBytes} bytes of numbers in an element of ${own.bytes}`);
    }
    return { head, compressed, begin, bytes };
  }

  private async inflated(stored: Buffer, head: MatrixHead): Promise<Buffer> {
    const end = head.dataAt + head.dataBytes;
    try {
      // The last numbers may be followed by up to seven bytes of padding.
      const content = await inflate(stored, { maxOutputLength: end + 8 });
      if (content.length >= end) return content;
      throw this.broken(`${head.name} ends after ${content.length} of ${end} bytes`);
    } catch (error) {
      throw this.brokenZlib(error, head.name);
    }
  }

  private inflatedStart(start: Buffer): Buffer {
    try {
      return inflateSync(start, { finishFlush: constants.Z_SYNC_FLUSH });
    } catch (error) {
      throw this.brokenZlib(error, 'a variable');
    }
  }

  private async bytes(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(Math.min(length, this.size - position));
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.handle.read(
        bytes,
        done,
        Math.min(bytes.length - done, 2 ** 30),
        position + done,
      );
      if (bytesRead === 0) throw this.broken('the file became shorter while it was read');
      done += bytesRead;
    }
    if (bytes.length < length) throw this.broken(`the file ends in the middle of an element, at byte ${this.size}`);
    return bytes;
  }

  private broken(problem: string): FailureError {
    return new FailureError(`${this.path}: ${problem}; the file is damaged: download it again`);
  }

  private brokenZlib(error: unknown, what: string): unknown {
    const { code, message } = error as NodeJS.ErrnoException;
    const expected = code?.startsWith('Z_') === true || code === 'ERR_BUFFER_TOO_LARGE';
    return expected ? this.broken(`${what} can't be inflated (${message})`) : error;
  }
}

type NumberReader = (view: DataView, count: number) => ArrayLike<number>;

function printable(text: string): string {
  return text.replaceAll(/[^ -~]/g, '?');
}
