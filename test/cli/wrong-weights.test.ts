/** @file Weights that are no numbers, and files of other formats given as weights. */

import { readFileSync, writeFileSync } from 'node:fs';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type FloatTensor, floatTensor, type TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();

beforeAll(async () => {
  const shape = ['--block-config', '1', '--growth-rate', '2', '--image-size', '4', '--classes', '3'];
  const built = await densec(['build', ...shape, '-o', path('net')]);
  expect(built.code, built.stderr).toBe(0);
  const batch = { images: floatTensor([1, 3, 4, 4], new Float32Array(48)) };
  const labels = { dtype: 'int64' as const, shape: [1], data: BigInt64Array.of(0n) };
  await writeSafetensors(path('batch.safetensors'), [
    ['images', batch.images],
    ['labels', labels],
  ]);
  const exported = await densec([...exportOf('net/initial'), '-o', path('good.onnx')]);
  expect(exported.code, exported.stderr).toBe(0);
});

const exportOf = (name: string): string[] => ['export', path('net'), '--weights', path(`${name}.safetensors`)];

describe('weights that are not finite', () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY])('(%s) are refused by name', async (value) => {
    const { tensors } = await readSafetensors(path('net', 'initial.safetensors'));
    (tensors.get('classifier.weight') as FloatTensor).data[2] = value;
    await writeSafetensors(path('broken.safetensors'), tensors);
    const evaluate = [
      'eval',
      path('net'),
      '--weights',
      path('broken.safetensors'),
      '--batch',
      path('batch.safetensors'),
    ];
    for (const args of [evaluate, [...exportOf('broken'), '-o', path('broken.onnx')]]) {
      const { code, stdout, stderr } = await densec(args);
      expect([code, stdout, stderr]).toEqual([1, '', expect.stringMatching(/classifier\.weight is not finite/)]);
    }
  });

  it('in a batch are no answer of predict', async () => {
    await writeSafetensors(path('nan.safetensors'), [
      ['images', floatTensor([1, 3, 4, 4], new Float32Array(48).fill(Number.NaN))],
    ]);
    const { code, stdout, stderr } = await densec(['predict', path('good.onnx'), '--batch', path('nan.safetensors')]);
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringMatching(/image 0 are not finite/)]);
  });
});

describe('a file that is no safetensors', () => {
  it.each<[string, Buffer, RegExp]>([
    ['new.pth', Buffer.from('504b030400000808000000000000', 'hex'), /file of torch\.save.*save_file.*torch\.load/],
    ['old.pth', Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex'), /file of torch\.save.*save_file.*torch\.load/],
    ['weights.h5', Buffer.from('894844460d0a1a0a0000000000', 'hex'), /HDF5/],
    ['weights.gz', Buffer.from('1f8b0800000000000003aabb', 'hex'), /gzip.*unpack/],
    ['pointer', Buffer.from('version https://git-lfs.github.com/spec/v1'), /Git LFS pointer.*git lfs pull/],
  ])('(%s) is told for what it is', async (name, bytes, message) => {
    writeFileSync(path(name), bytes);
    const { code, stderr } = await densec(['export', path('net'), '--weights', path(name), '-o', path('x.onnx')]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
  });

  it('(an ONNX model) is told for what it is', async () => {
    const { code, stderr } = await densec([
      'export',
      path('net'),
      '--weights',
      path('good.onnx'),
      '-o',
      path('x.onnx'),
    ]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/is an ONNX model, not safetensors; .*save_file.*onnx\.load/),
    ]);
  });
});

describe('an exported model', () => {
  const { ModelProto } = onnxProto.onnx;
  type Tensor = { name: string; dataType: number; rawData: Uint8Array };

  it.each<[string, number, (length: number) => Uint8Array]>([
    ['float32', 1, (length) => new Uint8Array(Float32Array.from({ length: length / 4 }, () => Number.NaN).buffer)],
    ['float16', 10, (length) => new Uint8Array(Uint16Array.from({ length: length / 4 }, () => 0xfc00).buffer)],
  ])('with weights that are not finite (%s) is refused by the tensor', async (_, dataType, broken) => {
    const model = ModelProto.decode(readFileSync(path('good.onnx')));
    const weights = model.graph?.initializer as unknown as Tensor[];
    const last = weights.findLast((tensor) => tensor.dataType === 1) as Tensor;
    last.rawData = broken(last.rawData.length);
    last.dataType = dataType;
    writeFileSync(path('broken.onnx'), ModelProto.encode(model).finish());
    const args = ['predict', path('broken.onnx'), '--batch', path('batch.safetensors')];
    const { code, stdout, stderr } = await densec(args);
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining(`${last.name} (read by `)]);
    expect(stderr).toMatch(/ is not finite; .*export earlier weights/);
  });

  it('gives outputs that no node reads, as converters to float16 need it', () => {
    const { graph } = ModelProto.decode(readFileSync(path('good.onnx')));
    const read = new Set(graph?.node?.flatMap(({ input }) => input ?? []));
    const outputs = graph?.output?.map(({ name }) => name ?? '') ?? [];
    expect(outputs).toEqual(['logits', 'probabilities']);
    expect(outputs.filter((name) => read.has(name))).toEqual([]);
  });
});

describe('names behind a prefix', () => {
  it('are read without it, which is said', async () => {
    const { tensors } = await readSafetensors(path('net', 'initial.safetensors'));
    const wrapped = [...tensors].map(([name, tensor]) => [`module.model.${name}`, tensor] as [string, TensorData]);
    await writeSafetensors(path('wrapped.safetensors'), wrapped);
    const { code, stderr } = await densec([...exportOf('wrapped'), '-o', path('wrapped.onnx')]);
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('the names begin with module.model., which was stripped'),
    ]);
    expect(readFileSync(path('wrapped.onnx'))).toEqual(readFileSync(path('good.onnx')));
  });
});
