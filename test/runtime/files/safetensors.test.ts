/** @file Reading and writing safetensors: round trips, conversions, and every way in which a file can be broken. */

import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailureError, RequestError } from '../../../src/ir/errors.js';
import { floatTensor, int64Tensor, type TensorData } from '../../../src/ir/tensor-data.js';
import { readSafetensors, writeSafetensors } from '../../../src/runtime/files/safetensors.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'densec-safetensors-'));
  path = join(folder, 'state.safetensors');
});
afterEach(() => rm(folder, { recursive: true }));

/** Writes a file of a header (JSON text or what becomes it) and data bytes, right or wrong. */
async function writeRaw(header: unknown, data: Uint8Array = new Uint8Array(0), announced?: bigint): Promise<void> {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(announced ?? BigInt(text.length));
  await writeFile(path, Buffer.concat([length, text, data]));
}

const samples: [string, TensorData][] = [
  ['flag', { dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) }],
  ['weight', floatTensor([2, 3], [1, -2.5, 3e-38, 0, Number.POSITIVE_INFINITY, 1e10])],
  ['tracked', int64Tensor([], [-(2n ** 62n)])],
  ['index', { dtype: 'uint32', shape: [1, 2], data: Uint32Array.of(1, 2 ** 32 - 1) }],
  ['empty', floatTensor([0, 4], [])],
  ['größe "a\\b"', floatTensor([1], [7])],
  ['__proto__', floatTensor([1], [8])],
];

describe('round trip', () => {
  test('all types, names and metadata', async () => {
    await writeSafetensors(path, samples, { format: 'pt', note: 'ünï' });
    const { tensors, metadata } = await readSafetensors(path);
    expect(Object.fromEntries(tensors)).toEqual(Object.fromEntries(samples));
    expect(metadata).toEqual({ format: 'pt', note: 'ünï' });
    expect(await readdir(folder)).toEqual(['state.safetensors']);
  });

  test('a tensor that is a part of a larger buffer', async () => {
    const view = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    await writeSafetensors(path, [['x', floatTensor([2], view)]]);
    expect([...((await readSafetensors(path)).tensors.get('x')?.data ?? [])]).toEqual([1, 2]);
  });

  test('no tensors at all', async () => {
    await writeSafetensors(path, []);
    expect(await readSafetensors(path)).toEqual({ tensors: new Map(), metadata: {} });
  });
});

test('the header is padded with spaces to 8 bytes and wide elements come first', async () => {
  await writeSafetensors(path, samples);
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE());
  expect(length % 8).toBe(0);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  expect(header.tracked).toEqual({ dtype: 'I64', shape: [], data_offsets: [0, 8] });
  expect(header.flag.data_offsets[1]).toBe(bytes.length - 8 - length);
  expect(header).not.toHaveProperty('__metadata__');
});

describe('refuses to write', () => {
  test.each([
    [
      'equal names',
      [
        ['a', floatTensor([1], [1])],
        ['a', floatTensor([1], [2])],
      ],
      "name 'a'",
    ],
    ['the name of the metadata', [['__metadata__', floatTensor([1], [1])]], "name '__metadata__'"],
    [
      'a wrong shape',
      [['a', { dtype: 'float32', shape: [3], data: new Float32Array(2) }]],
      '2 elements for the shape [3]',
    ],
  ] as [string, [string, TensorData][], string][])('%s', async (_, tensors, message) => {
    const writing = writeSafetensors(path, tensors);
    await expect(writing).rejects.toThrow(RequestError);
    await expect(writing).rejects.toThrow(message);
  });

  test('into a missing folder', async () => {
    const target = join(folder, 'missing', 'x');
    await expect(writeSafetensors(target, samples)).rejects.toThrow('there is no folder');
  });
});

describe('reads other types', () => {
  test('unaligned tensors', async () => {
    const data = Buffer.alloc(13);
    data[0] = 2;
    data.writeFloatLE(1.5, 1);
    data.writeBigInt64LE(-3n, 5);
    await writeRaw(
      {
        flag: { dtype: 'BOOL', shape: [1], data_offsets: [0, 1] },
        x: { dtype: 'F32', shape: [1], data_offsets: [1, 5] },
        n: { dtype: 'I64', shape: [1], data_offsets: [5, 13] },
      },
      data,
    );
    const { tensors } = await readSafetensors(path);
    expect(tensors.get('flag')?.data).toEqual(Uint8Array.of(1));
    expect(tensors.get('x')?.data).toEqual(Float32Array.of(1.5));
    expect(tensors.get('n')?.data).toEqual(BigInt64Array.of(-3n));
  });

  test.each([
    [
      'F16',
      [0x3c00, 0xc100, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000],
      [1, -2.5, 2 ** -24, 1023 * 2 ** -24, 65504, Infinity, -Infinity, NaN, -0],
    ],
    [
      'BF16',
      [0x3f80, 0xc020, 0x0001, 0x7f80, 0xff80, 0x7fc0, 0x8000],
      [1, -2.5, 2 ** -133, Infinity, -Infinity, NaN, -0],
    ],
  ] as [string, number[], number[]][])('%s becomes float32', async (dtype, bits, expected) => {
    const data = new Uint8Array(Uint16Array.from(bits).buffer);
    await writeRaw({ x: { dtype, shape: [bits.length], data_offsets: [0, data.length] } }, data);
    expect((await readSafetensors(path)).tensors.get('x')).toEqual(floatTensor([bits.length], expected));
  });

  test('F64 is rounded to float32', async () => {
    const values = [0.1, 1 + 2 ** -24, 1 + 2 ** -23, 1e300];
    const data = new Uint8Array(Float64Array.from(values).buffer);
    await writeRaw({ x: { dtype: 'F64', shape: [4], data_offsets: [0, 32] } }, data);
    const expected = [Math.fround(0.1), 1, 1 + 2 ** -23, Infinity];
    expect((await readSafetensors(path)).tensors.get('x')).toEqual(floatTensor([4], expected));
  });

  test.each(['I8', 'U8', 'I16', 'U64', 'F8_E4M3', 7])('%s is refused by name', async (dtype) => {
    await writeRaw({ 'a.weight': { dtype, shape: [1], data_offsets: [0, 1] } }, new Uint8Array(1));
    await expect(readSafetensors(path)).rejects.toThrow(
      `${path}: tensor 'a.weight' has dtype ${JSON.stringify(dtype)} but supported are F32, I64, U32, I32, BOOL, F16, BF16, F64`,
    );
  });
});

describe('broken files', () => {
  const one = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
  const cases: [string, unknown, number, string][] = [
    ['not JSON', '{"x": ', 0, 'the header is not JSON'],
    ['an array', '[1]', 0, 'not an object of tensors'],
    ['null', 'null', 0, 'not an object of tensors'],
    ['metadata that is no map of text', { __metadata__: { a: 1 } }, 0, 'must map names to text'],
    ['an entry that is no object', { x: 5 }, 0, "the entry of tensor 'x' is 5"],
    ['no type', { x: { shape: [1], data_offsets: [0, 4] } }, 4, "tensor 'x' has dtype undefined"],
    ['no shape', { x: { dtype: 'F32', data_offsets: [0, 4] } }, 4, "tensor 'x' has shape undefined"],
    ['a negative size', { x: { ...one, shape: [-1] } }, 4, "tensor 'x' has shape [-1]"],
    ['two negative sizes', { x: { ...one, shape: [-1, -1] } }, 4, "tensor 'x' has shape [-1,-1]"],
    ['a fractional size', { x: { ...one, shape: [0.5, 2] } }, 4, "tensor 'x' has shape [0.5,2]"],
    ['a size of terabytes', { x: { ...one, shape: [2 ** 40] } }, 4, 'F32 of shape [1099511627776] needs 4398046511104'],
    ['sizes that overflow', { x: { ...one, shape: [2 ** 52, 2 ** 52] } }, 4, "tensor 'x' has 4 bytes but"],
    ['one offset', { x: { ...one, data_offsets: [0] } }, 4, 'must have two whole numbers'],
    ['a negative offset', { x: { ...one, data_offsets: [-4, 0] } }, 4, 'data_offsets [-4,0]'],
    ['offsets the wrong way', { x: { ...one, data_offsets: [4, 0] } }, 4, "tensor 'x' has bytes 4 to 0"],
    ['offsets outside', { x: { ...one, shape: [2 ** 40], data_offsets: [0, 2 ** 42] } }, 4, 'but the file has 4 after'],
    ['offsets that do not fit', { x: { ...one, shape: [2] } }, 4, 'F32 of shape [2] needs 8'],
    [
      'overlap',
      { x: one, y: { ...one, data_offsets: [2, 6] } },
      6,
      "tensor 'y' begins at byte 2 but 4 is next: it overlaps",
    ],
    ['the same bytes twice', { x: one, y: one }, 4, 'overlaps'],
    ['a gap', { x: one, y: { ...one, data_offsets: [8, 12] } }, 12, "leaves a gap after tensor 'x'"],
    ['bytes left over', { x: one }, 6, 'end at byte 4 but the file has 6'],
    ['equal names', `{"a":${JSON.stringify(one)},"\\u0061" : ${JSON.stringify(one)}}`, 4, "the name 'a' twice"],
  ];
  test.each(cases)('%s', async (_, header, dataBytes, message) => {
    await writeRaw(header, new Uint8Array(dataBytes));
    const reading = readSafetensors(path);
    await expect(reading).rejects.toThrow(FailureError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(`${path}: `);
  });

  test.each([0, 7])('%i bytes', async (size) => {
    await writeFile(path, new Uint8Array(size));
    await expect(readSafetensors(path)).rejects.toThrow(
      `${path}: the file has ${size} bytes but the length of the header alone takes 8; ` +
        'the file is truncated or not safetensors: copy or export it again',
    );
  });

  test('a header longer than the file', async () => {
    await writeRaw('{}', new Uint8Array(0), 2n ** 64n - 1n);
    await expect(readSafetensors(path)).rejects.toThrow('announces 18446744073709551615 bytes but the file has 10;');
  });

  test('a header longer than allowed', async () => {
    await writeRaw('{}', new Uint8Array(0), 100_000_001n);
    await truncate(path, 200_000_000);
    await expect(readSafetensors(path)).rejects.toThrow('at most 100000000 are allowed');
  });

  test('a header that is not UTF-8', async () => {
    const length = Buffer.alloc(8);
    length[0] = 4;
    await writeFile(path, Buffer.concat([length, Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d)]));
    await expect(readSafetensors(path)).rejects.toThrow('the header is not JSON');
  });

  test('every truncation of a good file', async () => {
    await writeSafetensors(path, samples);
    const bytes = await readFile(path);
    for (let size = 0; size < bytes.length; size++) {
      await writeFile(path, bytes.subarray(0, size));
      await expect(readSafetensors(path)).rejects.toThrow(FailureError);
    }
  });

  test('more bytes than memory can hold', async () => {
    const bytes = 2 ** 42;
    await writeRaw({ x: { dtype: 'F32', shape: [bytes / 4], data_offsets: [0, bytes] } });
    await truncate(path, (await readFile(path)).length + bytes);
    await expect(readSafetensors(path)).rejects.toThrow(`no memory for the ${bytes} bytes of tensor 'x'`);
  });

  test('a missing file and a folder', async () => {
    await expect(readSafetensors(path)).rejects.toThrow(`cannot read ${path}: there is no such file or folder`);
    await expect(readSafetensors(folder)).rejects.toThrow(FailureError);
  });
});
