/** @file The same steps as PyTorch's DistributedDataParallel: every folder of test/fixtures/ddp, under mpiexec. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { type DenseNetConfig, densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import type { OptimizerChoice } from '../../src/passes/optimizers/index.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { hasMpi, mpiexec } from '../helpers/mpi.js';

interface Facts {
  /** The folder of test/fixtures/torch that state and batch are of. */
  readonly from: string;
  readonly processes: number;
  readonly steps: number;
  /** Means over the whole batch. */
  readonly losses: readonly number[];
}

/** Relative for losses, over a tensor's largest value for state. Measured: 1e-7 and 1e-6. */
const tolerance = { loss: 1e-5, state: 1e-4 } as const;

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const folders = readdirSync(join(fixtures, 'ddp'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
const path = temporaryFolder();

function read<T>(...names: string[]): T {
  return JSON.parse(readFileSync(join(fixtures, ...names), 'utf8')) as T;
}

/** Every tensor of a file is that of another, to the tolerance. */
async function expectClose(ours: string, reference: string): Promise<void> {
  const [saved, theirs] = await Promise.all(
    [ours, reference].map(async (file) => (await readSafetensors(file)).tensors),
  );
  for (const [tensor, { data, dtype }] of theirs ?? []) {
    const own = saved?.get(tensor);
    expect(own, tensor).toBeDefined();
    if (dtype !== 'float32') {
      expect(own?.data).toEqual(data);
      continue;
    }
    const values = data as Float32Array;
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
    const off = values.reduce((most, value, index) => Math.max(most, Math.abs(value - Number(own?.data[index]))), 0);
    expect(off / largest, tensor).toBeLessThan(tolerance.state);
  }
}

describe.skipIf(!hasMpi).each(folders.map(({ name }) => name))('%s', (name) => {
  it('takes the steps of DistributedDataParallel', async () => {
    const { from, processes, steps, losses } = read<Facts>('ddp', name, 'losses.json');
    const start = read<{ config: DenseNetConfig; optimizer: OptimizerChoice; lr: number }>(
      'torch',
      from,
      'losses.json',
    );
    const network = densenet(start.config);
    const compiled = compile(network, { optimizer: start.optimizer, remat: 'max', processes: true });
    const { directory } = await writeBundle(path(name), network, compiled);
    const file = (wanted: string): string => join(fixtures, 'torch', from, `${wanted}.safetensors`);
    const result = await mpiexec(processes, [
      ...['step', directory, '--state', file('state'), '--batch', file('batch'), '--lr', String(start.lr)],
      ...['--steps', String(steps), '--save', path(`${name}.safetensors`), '--threads', '1', '--json'],
    ]);
    expect(result.code, result.stderr).toBe(0);
    const ours = result.json() as { losses: number[] };
    expect(ours.losses).toHaveLength(steps);
    for (const [step, loss] of losses.entries()) {
      expect(Math.abs((ours.losses[step] ?? 0) - loss) / loss).toBeLessThan(tolerance.loss);
    }
    await expectClose(path(`${name}.safetensors`), join(fixtures, 'ddp', name, 'after.safetensors'));
  });
});

describe.skipIf(!hasMpi)('synchronized batch norm', () => {
  const fixture = (file: string): string => join(fixtures, 'torch', 'cifar', file);
  const { config, optimizer, lr } = read<{ config: DenseNetConfig; optimizer: OptimizerChoice; lr: number }>(
    ...['torch', 'cifar', 'losses.json'],
  );
  const flags = (directory: string, save: string): string[] => [
    ...['step', directory, '--state', fixture('state.safetensors'), '--batch', fixture('batch.safetensors')],
    ...['--lr', String(lr), '--steps', '4', '--save', path(save), '--threads', '1', '--json'],
  ];
  const network = densenet(config);
  let alone: number[];

  beforeAll(async () => {
    await writeBundle(path('one'), network, compile(network, { optimizer }));
    const result = await densec(flags(path('one'), 'one.safetensors'));
    expect(result.code, result.stderr).toBe(0);
    alone = (result.json() as { losses: number[] }).losses;
  });

  it.each([
    ['none', 2],
    ['max', 3],
    ['efficient', 4],
  ] as const)('%s: %d processes take the steps of one on the whole batch', async (remat, processes) => {
    const compiled = compile(network, { optimizer, remat, processes: true, syncBatchNorm: true });
    await writeBundle(path(remat), network, compiled);
    const result = await mpiexec(processes, flags(path(remat), `${remat}.safetensors`));
    expect(result.code, result.stderr).toBe(0);
    const { losses } = result.json() as { losses: number[] };
    for (const [step, loss] of alone.entries()) {
      expect(Math.abs((losses[step] ?? 0) - loss) / loss).toBeLessThan(tolerance.loss);
    }
    await expectClose(path(`${remat}.safetensors`), path('one.safetensors'));
  });

  it('is refused for one process, and on a card', () => {
    expect(() => compile(network, { syncBatchNorm: true })).toThrow('this step is for one');
    const onCard = { target: 'cuda', processes: true, syncBatchNorm: true } as const;
    expect(() => compile(network, onCard)).toThrow('on the target cpu only in this version, not on cuda');
  });
});
