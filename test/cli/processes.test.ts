/** @file Training with several processes: the same numbers as one, and every way in which such a run can end. */

import { mkdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { conv2d, dropout, flatten, linear, maxPool2d, relu } from '../../src/builders/index.js';
import type { OptimizerChoice } from '../../src/index.js';
import { compile, type Network, writeBundle } from '../../src/index.js';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { hasMpi, hasNamespaces, mpiexec, mpiexecOnHosts, ranksOf, untilGone } from '../helpers/mpi.js';
import { expectSameEnd, expectWhole } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const seconds = 1000;

/** Three batches of 2 × 8 and one of 5 rows, so that shares are unequal; no batch norm. */
const digits = { training: 73, validation: 20, test: 30 };
const plain: Network = {
  name: 'plain',
  inputShape: [1, 8, 8],
  classes: 10,
  forward: (images) => {
    const features = relu(conv2d(images, { name: 'conv', filters: 6, kernel: 3, padding: 1 }));
    return linear(dropout(flatten(maxPool2d(features, { kernel: 2 })), { name: 'drop', rate: 0.3 }), {
      name: 'fc',
      features: 10,
    });
  },
};

const common = ['--data-workers', '1', '--threads', '1', '--valid-size', '20', '--json'];
const dense = ['--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.1', '--lr', '0.02', '--augment'];

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, digits.training, digits.test);
});

function train(save: string, ...flags: string[]): string[] {
  return ['train', ...common, '--data', path('digits'), '--save', path(save), ...flags];
}

function losses(result: CliResult): number[] {
  expect(result.code, result.stderr).toBe(0);
  return result.jsonLines().flatMap(({ event, loss }) => (event === 'step' ? [loss as number] : []));
}

function errorsOf({ stderr }: CliResult): string[] {
  return stderr.split('\n').filter((line) => line.includes('error:'));
}

/** The largest difference of two runs' tensors, over the largest value of each. */
async function difference(a: string, b: string): Promise<number> {
  const [one, other] = await Promise.all([a, b].map((run) => readSafetensors(path(run, 'last.safetensors'))));
  const offs = [...(one?.tensors ?? [])].map(([name, { data }]) => {
    const values = Array.from(data as ArrayLike<number | bigint>, Number);
    const others = Array.from(other?.tensors.get(name)?.data as ArrayLike<number | bigint>, Number);
    const largest = Math.max(1e-6, ...values.map(Math.abs));
    return Math.max(...values.map((value, index) => Math.abs(value - (others[index] ?? Number.NaN)))) / largest;
  });
  return Math.max(...offs);
}

describe.skipIf(!hasMpi)('several processes', () => {
  const optimizers: readonly [string, OptimizerChoice, number][] = [
    ['sgd', { kind: 'sgd' }, 0.02],
    ['adamw, two batches an update', { kind: 'adamw', accumulate: 2 }, 0.002],
    ['sgd, clipped and averaged', { kind: 'sgd', clipNorm: 0.5, ema: 0.9 }, 0.02],
  ];

  it.each(optimizers)(
    'take the steps of one with as many images: %s',
    async (name, optimizer, rate) => {
      const compiled = compile(plain, { optimizer });
      await writeBundle(path(`bundle ${name}`), plain, compiled);
      const start = (save: string, ...more: string[]): string[] => [
        ...train(save, path(`bundle ${name}`), '--epochs', '2', '--lr', String(rate), '--augment', ...more),
      ];
      const one = await densec(start(`${name} one`, '--batch-size', '16'));
      const two = await densec(start(`${name} two`, '--batch-size', '8', '--processes', '2'));
      const [a, b] = [losses(one), losses(two)];
      expect(b).toHaveLength(a.length);
      for (const [step, loss] of a.entries()) expect(Math.abs((b[step] ?? 0) - loss) / loss).toBeLessThan(1e-5);
      expect(await difference(`${name} one`, `${name} two`)).toBeLessThan(1e-5);
      const [last, other] = [one, two].map((result) => result.jsonLines().at(-1));
      expect(other?.processes).toBe(2);
      expect(other?.processWaits).toHaveLength(2);
      expect(other?.testError).toBe(last?.testError);
      expect(Number(other?.testLoss)).toBeCloseTo(Number(last?.testLoss), 5);
    },
    120 * seconds,
  );

  it(
    'end in the same bits twice, also after Ctrl-C, and started by mpiexec',
    async () => {
      const flags = [...dense, '--batch-size', '6', '--epochs', '2'];
      losses(await densec(train('whole', ...flags, '--processes', '2')));
      losses(await mpiexec(2, train('again', ...flags)));
      await expectSameEnd(path('whole'), path('again'));

      let steps = 0;
      const stopped = await densec(train('stopped', ...flags, '--processes', '2'), {
        onStdout: (text, kill) => {
          steps += text.split('"event":"step"').length - 1;
          if (steps < 3) return;
          steps = Number.NEGATIVE_INFINITY;
          kill('SIGINT');
        },
      });
      expect(stopped.code, stopped.stderr).toBe(130);
      expect(stopped.stderr).toContain('interrupted and saved after step');
      await untilGone(path('stopped'));
      losses(await densec(['train', '--resume', '--save', path('stopped'), '--processes', '2', '--json']));
      await expectSameEnd(path('whole'), path('stopped'));
      const report = readFileSync(path('whole', 'report.html'), 'utf8');
      expect(report).toContain('number of processes');
      expect(report).toMatch(/waiting for each other, by process.*0: \d+\.\d %, 1: \d+\.\d %/s);
    },
    120 * seconds,
  );

  it(
    'go on with another number of processes from the next epoch on',
    async () => {
      const flags = [...dense, '--batch-size', '6', '--epochs', '1'];
      losses(await densec(train('number', ...flags, '--processes', '2')));
      const resume = ['train', '--resume', '--save', path('number'), '--json'];
      const three = await densec([...resume, '--processes', '3', '--epochs', '2']);
      expect(losses(three)).toHaveLength(Math.ceil((digits.training - 20) / 18));
      expect(three.stderr).toContain(
        '3 processes go on with the run of 2: batch norm normalizes each process by its own',
      );
      expect(three.stderr).toMatch(/from epoch 2: .*number of processes 2 → 3/);
      const one = await densec([...resume, '--epochs', '3']);
      expect(losses(one)).toHaveLength(Math.floor((digits.training - 20) / 6) + 1);
      expect(one.jsonLines().every((event) => !('processes' in event))).toBe(true);
    },
    120 * seconds,
  );

  it.skipIf(!hasNamespaces)(
    'take the same steps on two hosts (namespaces of this one) as on one',
    async () => {
      const flags = [...dense, '--batch-size', '6', '--epochs', '1'];
      const here = losses(await mpiexec(2, train('one host', ...flags)));
      const apart = await mpiexecOnHosts(2, train('two hosts', ...flags));
      expect(losses(apart)).toEqual(here);
      await expectSameEnd(path('one host'), path('two hosts'));
    },
    120 * seconds,
  );

  describe('end together', () => {
    const endless = [...dense, '--batch-size', '4', '--epochs', '500', '--processes', '2'];

    /** Runs until a few steps are done, then does something to it, and waits for its end. */
    async function until(save: string, act: (kill: (signal: NodeJS.Signals) => void) => void, ...more: string[]) {
      let steps = 0;
      let acted = 0;
      const result = await densec(train(save, ...endless, '--checkpoint-every', '3', ...more), {
        onStdout: (text, kill) => {
          steps += text.split('"event":"step"').length - 1;
          if (steps < 5 || acted > 0) return;
          acted = performance.now();
          act(kill);
        },
      });
      expect(acted).toBeGreaterThan(0);
      const took = performance.now() - acted;
      await untilGone(path(save));
      await expectWhole(path(save));
      return { ...result, took };
    }

    it.each([0, 1])('where process %d is killed', async (rank) => {
      const result = await until(`killed ${rank}`, () =>
        process.kill(ranksOf(path(`killed ${rank}`))[rank] ?? 0, 'SIGKILL'),
      );
      expect(result.code).toBe(1);
      expect(errorsOf(result)).toHaveLength(1);
      expect(result.stderr).toMatch(/ended from outside|has ended/);
      expect(result.took).toBeLessThan(8 * seconds);
    });

    it('where one hangs, which is named', async () => {
      const stop = (): unknown => process.kill(ranksOf(path('hangs'))[1] ?? 0, 'SIGSTOP');
      const result = await until('hangs', stop, '--timeout', '8');
      expect(result.code).toBe(1);
      expect(errorsOf(result)).toHaveLength(1);
      expect(result.stderr).toMatch(/process 0 has waited 8 s for process 1 \(pid \d+ on .*\), in step \d+/);
      expect(result.took).toBeLessThan(20 * seconds);
    });

    it('where the launcher is killed', async () => {
      const result = await until('launcher', (kill) => kill('SIGKILL'));
      expect(result.code).toBe(null);
    });

    it('where the loss is no number', async () => {
      const result = await densec(train('diverges', ...endless, '--lr', '1e25'));
      expect(result.code).toBe(1);
      expect(errorsOf(result)).toHaveLength(1);
      expect(result.stderr).toContain('the loss became NaN at step');
    });

    it('where the folder is taken', async () => {
      const result = await densec(train('diverges', ...endless));
      expect(result.code).toBe(1);
      expect(errorsOf(result)).toHaveLength(1);
      expect(result.stderr).toMatch(/already holds \d+ files/);
    });
  });
});

describe('what several processes can not do', () => {
  it('is refused where there is no MPI', async () => {
    const result = await densec(train('nothing', ...dense, '--processes', '2'), {
      env: { DENSEC_MPI: '/nowhere/libmpi.so' },
    });
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/no MPI library was found: tried \/nowhere\/libmpi\.so .*apt-get install mpich/);
  });

  it.each([
    ['webgpu', [], 'several processes train on the CPU or on NVIDIA cards, not on webgpu'],
    [
      'cuda:1',
      [],
      'each process takes the card of its place on the host, so cuda:1 is none for all; give --device cuda',
    ],
    ['cpu', ['--collective', 'nccl'], '--collective nccl sums between NVIDIA cards; add --device cuda'],
    ['cuda', ['--collective', 'mpi', '--sync-batch-norm'], 'takes hundreds of small sums, which only NCCL makes'],
  ])('is refused on %s %s', async (device, flags, message) => {
    const result = await densec(train('nothing', ...dense, '--processes', '2', '--device', device, ...flags));
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
  });

  it.skipIf(!hasMpi)('is told where cards need NCCL, by one process', async () => {
    const result = await densec(
      train('nothing', ...dense, '--processes', '2', '--device', 'cuda', '--collective', 'nccl'),
    );
    expect(result.code).toBe(1);
    expect(errorsOf(result)).toHaveLength(1);
    expect(result.stderr).toMatch(/libnccl\.so\.2 can't be loaded.*nvidia-nccl-cu13.*--collective mpi/);
  });
});
