/** @file Reads one IDX file, plain or gzipped, without trusting the sizes it announces. */

import { constants } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FailureError } from '../../ir/errors.js';
import { elementCount } from '../../ir/tensor-data.js';
import { fileFailure } from '../files/atomic-file.js';

/** An array of unsigned bytes, as an IDX file stores it. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Deflate can't make more than this many bytes of one. */
const maxInflation = 1032;

const chunkBytes = 2 ** 20;

/**
 * Reads an IDX file of unsigned bytes, gzipped or not.
 * @param dimensions how many the array must have: 3 for images, 1 for labels
 * @throws FailureError when the file can't be read, has another type or number of dimensions, or is shorter or longer
 * than its header says; memory is taken only for bytes that are there, and no more than the header says
 */
export async function readIdx(path: string, dimensions: number): Promise<IdxArray> {
  try {
    const { size } = await stat(path);
    // By content, not by name: some downloads arrive inflated but keep their name.
    const gzipped = (await readStart(path, 2, false)).toString('hex') === '1f8b';
    const headerBytes = 4 + 4 * dimensions;
    const shape = parseShape(path, await readStart(path, headerBytes, gzipped), dimensions);

    const total = headerBytes + elementCount(shape);
    const announced = `${path}: the header announces ${shape.join('×')}, ${total} bytes in all`;
    const room = Math.min(gzipped ? size * maxInflation : size, constants.MAX_LENGTH - 1);
    if (total > room) {
      throw new FailureError(`${announced}, but there is room for ${room} at most; download the file again`);
    }
    const bytes = await readStart(path, total + 1, gzipped);
    if (bytes.length !== total) {
      const problem = bytes.length > total ? 'but more follow' : `but there are ${bytes.length}`;
      throw new FailureError(`${announced}, ${problem}; download the file again`);
    }
    // No Buffer: its `slice` shares memory, unlike a Uint8Array's.
    return { shape, data: new Uint8Array(bytes.buffer, bytes.byteOffset + headerBytes, total - headerBytes) };
  } catch (error) {
    throw brokenGzip(path, error) ?? fileFailure('read', path, error);
  }
}

/** The first bytes of a file, or of what it inflates to: `limit` of them, or all when there are fewer. */
async function readStart(path: string, limit: number, gzipped: boolean): Promise<Buffer> {
  const source = createReadStream(path, { highWaterMark: Math.min(limit, chunkBytes) });
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of gzipped ? inflate(source) : source) {
      pieces.push(chunk);
      length += chunk.length;
      if (length >= limit) {
        break;
      }
    }
  } finally {
    source.destroy();
  }
  return Buffer.concat(pieces, Math.min(length, limit));
}

/** Not `pipeline`, which takes a reader that stops early for a failure. */
function inflate(source: Readable): Readable {
  const gunzip = createGunzip({ chunkSize: chunkBytes });
  source.on('error', (error) => gunzip.destroy(error));
  return source.pipe(gunzip);
}

function parseShape(path: string, header: Buffer, dimensions: number): number[] {
  const expected = `00 00 08 0${dimensions}`;
  if (header.length < 4 + 4 * dimensions) {
    const needed = `${4 + 4 * dimensions} of an IDX header with ${dimensions} dimension(s)`;
    throw new FailureError(`${path}: there are ${header.length} bytes but not the ${needed}; download the file again`);
  }
  const magic = header.subarray(0, 4).toString('hex').replace(/..\B/g, '$& ');
  if (magic !== expected) {
    const meaning = `unsigned bytes, ${dimensions} dimension(s)`;
    throw new FailureError(
      `${path}: begins with ${magic} but ${expected} (IDX, ${meaning}) is expected; check that it is the right file`,
    );
  }
  return Array.from({ length: dimensions }, (_, axis) => header.readUInt32BE(4 + 4 * axis));
}

function brokenGzip(path: string, error: unknown): FailureError | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code?.startsWith('Z_') !== true) {
    return undefined;
  }
  return new FailureError(`${path}: not a whole gzip file (${message}); download it again`, { cause: error });
}
