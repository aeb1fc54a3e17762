/** @file Reads members of a zip archive, as numpy's .npz are: stored or deflated, without trusting what it announces. */

import { constants } from 'node:buffer';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from '../files/atomic-file.js';

const inflate = promisify(inflateRaw);

/** Signatures of the records, and the lengths of their fixed parts. */
const [endMark, endBytes] = [0x06054b50, 22];
const [entryMark, entryBytes] = [0x02014b50, 46];
const [localMark, localBytes] = [0x04034b50, 30];

/** The end record may be followed by a comment of so many bytes. */
const maxComment = 65_535;

/** Says that a number stands in the zip64 extension, which archives above 4 GB have. */
const inExtension = 0xffffffff;
const zip64Field = 1;

/** Ways in which members are stored. */
const [stored, deflated] = [0, 8];

/** A member of an archive. */
export interface ZipMember {
  readonly name: string;
  readonly method: number;
  readonly isEncrypted: boolean;
  readonly checksum: number;
  /** Bytes in the archive, and once inflated. */
  readonly bytes: number;
  readonly size: number;
  /** Where its local header begins. */
  readonly begin: number;
}

/** An open archive. */
export class ZipFile {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly length: number,
    /** The members by name. */
    readonly members: ReadonlyMap<string, ZipMember>,
  ) {}

  /** @throws FailureError when the file can't be read or is no whole zip archive */
  static async open(path: string): Promise<ZipFile> {
    const handle = await open(path).catch((error: unknown) => {
      throw fileFailure('read', path, error);
    });
    try {
      const { size } = await handle.stat();
      const members = await readMembers(path, handle, size);
      return new ZipFile(path, handle, size, members);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The bytes of a member. @throws FailureError when they are damaged, or stored in a way that is not read */
  async read({ name, method, isEncrypted, checksum, bytes, size, begin }: ZipMember): Promise<Buffer> {
    if (isEncrypted) throw new FailureError(`${this.path}: ${name} is encrypted; write it without a password`);
    if (method !== stored && method !== deflated) {
      throw new FailureError(
        `${this.path}: ${name} is compressed by method ${method}; what is read is stored or deflated, as numpy writes it`,
      );
    }
    if (Math.max(bytes, size) >= constants.MAX_LENGTH) {
      throw new FailureError(`${this.path}: ${name} has ${size} bytes, more than can be in memory at once; write less`);
    }
    const local = await bytesAt(this.path, this.handle, begin, localBytes, this.length);
    if (local.readUInt32LE(0) !== localMark) throw broken(this.path, `${name} has no header where it should be`);
    const from = begin + localBytes + local.readUInt16LE(26) + local.readUInt16LE(28);
    const content = await bytesAt(this.path, this.handle, from, bytes, this.length);
    const data = method === stored ? content : await this.inflated(content, name, size);
    if (data.length !== size || crc32(data) !== checksum) throw broken(this.path, `${name} is not what it was`);
    return data;
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  private async inflated(content: Buffer, name: string, size: number): Promise<Buffer> {
    try {
      return await inflate(content, { maxOutputLength: Math.max(1, size) });
    } catch (error) {
      throw broken(this.path, `${name} can't be inflated (${(error as Error).message})`);
    }
  }
}

async function readMembers(path: string, handle: FileHandle, length: number): Promise<Map<string, ZipMember>> {
  const tailBytes = Math.min(length, endBytes + maxComment);
  const tail = await bytesAt(path, handle, length - tailBytes, tailBytes, length);
  let end = tail.length - endBytes;
  while (end >= 0 && tail.readUInt32LE(end) !== endMark) end--;
  if (end < 0) throw new FailureError(`${path}: not a zip archive, as .npz files are, or cut off; write it again`);
  // Where archives are above 4 GB, the numbers here are all ones, and those of the zip64 record before it count.
  const [directoryBytes, directoryBegin] = [tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  const { begin, bytes } =
    directoryBegin === inExtension || directoryBytes === inExtension
      ? await zip64Directory(path, handle, length, length - tailBytes + end)
      : { begin: directoryBegin, bytes: directoryBytes };
  const directory = await bytesAt(path, handle, begin, bytes, length);
  const members = new Map<string, ZipMember>();
  for (let at = 0; at + entryBytes <= directory.length; ) {
    if (directory.readUInt32LE(at) !== entryMark) throw broken(path, 'its list of members is damaged');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ];
    const next = at + entryBytes + nameBytes + extraBytes + commentBytes;
    if (next > directory.length) throw broken(path, 'its list of members is cut off');
    const name = directory.toString('utf8', at + entryBytes, at + entryBytes + nameBytes);
    const extra = directory.subarray(at + entryBytes + nameBytes, at + entryBytes + nameBytes + extraBytes);
    const [size, packed, place] = wideNumbers(
      [24, 20, 42].map((field) => directory.readUInt32LE(at + field)),
      extra,
    ) as [number, number, number];
    members.set(name, {
      name,
      method: directory.readUInt16LE(at + 10),
      isEncrypted: (directory.readUInt16LE(at + 8) & 1) === 1,
      checksum: directory.readUInt32LE(at + 16),
      ...{ size, bytes: packed, begin: place },
    });
    at = next;
  }
  return members;
}

async function zip64Directory(
  path: string,
  handle: FileHandle,
  length: number,
  end: number,
): Promise<{ begin: number; bytes: number }> {
  const locator = await bytesAt(path, handle, end - 20, 20, length);
  const record = await bytesAt(path, handle, Number(locator.readBigUInt64LE(8)), 56, length);
  if (record.readUInt32LE(0) !== 0x06064b50) throw broken(path, 'its zip64 record is missing');
  return { bytes: Number(record.readBigUInt64LE(40)), begin: Number(record.readBigUInt64LE(48)) };
}

/** Numbers of which those that don't fit 32 bits are in the zip64 extension, in this order. */
function wideNumbers(narrow: readonly number[], extra: Buffer): number[] {
  let at = 0;
  while (at + 4 <= extra.length && extra.readUInt16LE(at) !== zip64Field) at += 4 + extra.readUInt16LE(at + 2);
  let wide = at + 4;
  return narrow.map((value) => {
    if (value !== inExtension || wide + 8 > extra.length) return value;
    wide += 8;
    return Number(extra.readBigUInt64LE(wide - 8));
  });
}

async function bytesAt(
  path: string,
  handle: FileHandle,
  position: number,
  length: number,
  fileLength: number,
): Promise<Buffer> {
  if (position < 0 || position + length > fileLength) {
    throw broken(path, `it has ${fileLength} bytes, and bytes up to ${position + length} are announced`);
  }
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), position + done);
    if (bytesRead === 0) throw broken(path, 'it became shorter while it was read');
    done += bytesRead;
  }
  return bytes;
}

function broken(path: string, problem: string): FailureError {
  return new FailureError(`${path}: ${problem}; the archive is damaged: write or download it again`);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) {
    value = (crcTable[(value ^ (bytes[at] as number)) & 255] as number) ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}
