/** @file The runtime's C API and Node's binding: the same bits, and a run may go on by the other. */

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const shape = [
  '--block-config',
  '1,1',
  '--growth-rate',
  '4',
  '--drop-rate',
  '0.1',
  '--optimizer',
  'adamw',
  '--accumulate',
  '2',
];
// 50 images in batches of 8: the last batch of an epoch is another shape.
const data = ['--data', 'mnist', '--limit', '60', '--valid-size', '10', '--batch-size', '8', '--threads', '2'];

async function run(api: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await densec(args, { env: { DENSEC_RUNTIME: api } });
  expect(code, stderr).toBe(0);
}

const train = (api: string, folder: string, ...more: string[]) =>
  run(api, 'train', ...shape, ...data, '--save', path(folder), ...more);

/** Every tensor of a file, as bytes. */
async function bits(file: string): Promise<Record<string, string>> {
  const { tensors } = await readSafetensors(file);
  return Object.fromEntries(
    [...tensors].map(
      ([
        name,
        {
          data: { buffer, byteOffset, byteLength },
        },
      ]) => [name, Buffer.from(buffer, byteOffset, byteLength).toString('base64')],
    ),
  );
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('by the C API and by the binding', () => {
  beforeAll(async () => {
    await train('c', 'c', '--epochs', '2');
    await train('binding', 'binding', '--epochs', '2');
  }, 120_000);

  it('training ends in the same state, weights and results', async () => {
    for (const file of ['last.safetensors', 'best.safetensors']) {
      expect(await bits(path('binding', file))).toEqual(await bits(path('c', file)));
    }
    const errors = (folder: string) =>
      readFileSync(path(folder, 'results.csv'), 'utf8')
        .split('\n')
        .map((line) => line.split(',').at(-1));
    expect(errors('binding')).toEqual(errors('c'));
  });

  it('the report says by which', () => {
    expect(readFileSync(path('c', 'report.html'), 'utf8')).toMatch(/1\.30\.0, at its C API/);
    expect(readFileSync(path('binding', 'report.html'), 'utf8')).toMatch(
      /by Node.+s binding: DENSEC_RUNTIME asks for it/,
    );
  });

  it('a run that goes on by the other ends in the same state', async () => {
    await train('binding', 'both', '--epochs', '1');
    await run('c', 'train', '--resume', '--save', path('both'), '--epochs', '2');
    expect(await bits(path('both', 'last.safetensors'))).toEqual(await bits(path('c', 'last.safetensors')));
  }, 120_000);
});
