/** @file Runs that go on with more epochs, other options or another training model, and what of a run can't change. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { expectSameEnd, expectWhole, killAt } from '../helpers/runs.js';
import { writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.2'];
const training = ['--batch-size', '16', '--valid-size', '20', '--lr', '0.05', '--schedule', 'constant', '--json'];

function start(save: string, flags: readonly string[]): Promise<CliResult> {
  const own = ['--data', path('digits'), '--save', path(save)];
  return densec(['train', ...network, ...training, ...own, ...flags]);
}

function resume(save: string, flags: readonly string[] = []): Promise<CliResult> {
  return densec(['train', '--resume', '--save', path(save), '--json', ...flags]);
}

/** The checkpoint that a run kept of a step. */
function kept(save: string, step: number): string[] {
  return ['--resume-from', path(save, 'checkpoints', `step-${String(step).padStart(9, '0')}.safetensors`)];
}

function copy(from: string, to: string): void {
  cpSync(path(from), path(to), { recursive: true });
}

async function expectDone(result: Promise<CliResult>): Promise<CliResult> {
  const done = await result;
  expect([done.code, done.stderr]).toEqual([0, expect.any(String)]);
  return done;
}

const results = (save: string): string => readFileSync(path(save, 'results.csv'), 'utf8');
const manifestOf = (save: string): { remat: string } =>
  JSON.parse(readFileSync(path(save, 'bundle', 'manifest.json'), 'utf8'));

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 120, 40);
  await expectDone(start('four', ['--epochs', '4']));
  // Of seven steps an epoch; every one is kept.
  await expectDone(start('two', ['--epochs', '2', '--checkpoint-every', '1', '--keep', '40']));
});

describe('a finished run', () => {
  it('goes on to the bits of a longer one, and tells so', async () => {
    copy('two', 'extended');
    const result = await expectDone(resume('extended', ['--epochs', '4']));
    expect(result.stderr).toMatch(/from epoch 3: number of epochs 2 → 4; the learning rate goes on at 0\.05/);
    expect(result.jsonLines()[0]).toEqual({
      ...{ event: 'change', epoch: 3, changes: ['number of epochs 2 → 4'], learningRate: 0.05 },
    });
    await expectSameEnd(path('extended'), path('four'));
    const report = readFileSync(path('extended', 'report.html'), 'utf8');
    expect(report.match(/changed from.*/g)).toEqual([expect.stringMatching(/epoch 3 on.*>number of epochs 2 → 4; /)]);
  });

  it('changes by no flag that says what it has', async () => {
    const result = await expectDone(resume('four', ['--epochs', '4', '--lr', '0.05', '--batch-size', '16']));
    expect(result.stdout).not.toMatch(/"event":"(change|step)"/);
    expect(readFileSync(path('four', 'report.html'), 'utf8').match(/changed from/)).toBe(null);
  });

  it.each<[string, string[], RegExp]>([
    [
      'another rate without more epochs',
      ['--lr', '0.01'],
      /another learning rate would begin with epoch 3; .*--epochs/,
    ],
    ['fewer epochs than it has', ['--epochs', '1'], /can't end after 1; give --epochs 2 or more/],
    ['a warm-up as long as it', ['--epochs', '3', '--warmup', '3'], /warm-up takes 3 of 3/],
    ['other images held out', ['--epochs', '3', '--valid-size', '10'], /held out for validation 20, not 10.*chosen by/],
    ['other images', ['--epochs', '3', '--limit', '50'], /limit of images by default, not 50.*--limit/],
    ['another optimizer', ['--momentum', '0.5'], /--momentum would change the optimizer \(momentum 0\.9, not 0\.5\)/],
    ['another network', ['--growth-rate', '8', '--block-config', '1,1'], /would change the network/],
  ])('is refused %s', async (_, flags, message) => {
    const result = await resume('two', flags);
    expect([result.code, result.stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(result.stdout).toBe('');
  });
});

describe('a run that is stopped', () => {
  const changes = ['--epochs', '4', '--lr', '0.02', '--schedule', 'cosine', '--batch-size', '10', '--augment'];

  it('ends its epoch as it began and goes on otherwise, to the same bits however often it is stopped', async () => {
    copy('two', 'once');
    const once = await expectDone(resume('once', [...kept('two', 10), ...changes]));
    const steps = once.jsonLines().filter(({ event }) => event === 'step');
    const inEpoch = (epoch: number): Record<string, unknown>[] => steps.filter((step) => step.epoch === epoch);
    // Of epoch 2, four of seven steps of the old kind are left; then ten steps of ten images.
    expect(inEpoch(2).map(({ learningRate, batches }) => [learningRate, batches])).toEqual(Array(4).fill([0.05, 7]));
    expect(inEpoch(3)).toHaveLength(10);
    // Half a cosine over four epochs, taken up at half of it.
    expect(inEpoch(3)[0]?.learningRate).toBeCloseTo(0.01, 10);
    const rows = results('once').trim().split('\n');
    expect(rows.map((row) => row.slice(0, 3))).toEqual(['epo', '001', '002', '003', '004', ',,,']);

    // Stopped before the change, which the checkpoint knows of, and in mid-segment.
    for (const step of [12, 18]) {
      copy('once', `again ${step}`);
      const again = await expectDone(resume(`again ${step}`, kept('once', step)));
      expect(again.stdout).not.toMatch(/"event":"change"/);
      await expectSameEnd(path(`again ${step}`), path('once'));
    }
  });

  it('changes its mind before the change has begun', async () => {
    copy('two', 'regret');
    await expectDone(resume('regret', [...kept('two', 10), '--epochs', '4', '--lr', '0.5']));
    await expectDone(resume('regret', [...kept('regret', 12), '--lr', '0.05']));
    await expectSameEnd(path('regret'), path('four'));
    const report = readFileSync(path('regret', 'report.html'), 'utf8');
    expect(report.match(/changed from.*/g)).toEqual([expect.stringMatching(/epoch 3 on.*>number of epochs 2 → 4; /)]);
  });
});

describe('a run whose network is compiled otherwise', () => {
  it('goes on with the new models, says so, and keeps them', async () => {
    copy('two', 'max');
    const result = await expectDone(resume('max', [...kept('two', 3), '--remat', 'max']));
    expect(result.stderr).toMatch(/from epoch 1: goes on with another lowering: remat none → max/);
    expect(manifestOf('max').remat).toBe('max');
    const rest = await expectDone(resume('max', kept('max', 5)));
    expect(rest.stderr).not.toMatch(/another lowering/);
    const report = readFileSync(path('max', 'report.html'), 'utf8');
    expect(report.match(/compiled anew.*/g)).toEqual([expect.stringMatching(/in epoch 1, after batch 3<.*none → max/)]);
    expect(readdirSync(path('max')).filter((name) => /tmp|before/.test(name))).toEqual([]);
    // The same run, but for the last bits.
    const [a, b] = await Promise.all(['max', 'two'].map((run) => readSafetensors(path(run, 'last.safetensors'))));
    for (const [name, { data }] of a?.tensors ?? []) {
      const other = b?.tensors.get(name)?.data ?? [];
      const far = [...data].map((value, at) => Math.abs(Number(value) - Number(other[at])));
      expect(Math.max(...far), name).toBeLessThan(1e-3);
    }
  });

  it("finds its bundle though it was killed while that was replaced, and resumes an older version's checkpoint", async () => {
    copy('two', 'killed');
    renameSync(path('killed', 'bundle'), path('killed', 'bundle.before'));
    const [, file = ''] = kept('killed', 3);
    const { tensors, metadata } = await readSafetensors(file);
    const { identity, lowering, earlier, relowered, ...older } = JSON.parse(metadata['densec.progress'] ?? '');
    expect([identity, lowering.remat, earlier, relowered]).toEqual([expect.any(Object), 'none', [], []]);
    await writeSafetensors(file, tensors as ReadonlyMap<string, TensorData>, {
      ...metadata,
      'densec.progress': JSON.stringify(older),
    });
    const result = await expectDone(resume('killed', [...kept('killed', 3), '--remat', 'max']));
    expect(result.stderr).toMatch(/goes on with another lowering: remat none → max/);
    expect([manifestOf('killed').remat, existsSync(path('killed', 'bundle.before'))]).toEqual(['max', false]);
  });

  it.each<[string, RegExp]>([
    ['while the new bundle is written', /tmp$/],
    ['while the new bundle takes the place of the old one', /^bundle/],
    ['when the first checkpoint with it is written', /^last/],
  ])(
    'goes on to the same bits though it is killed %s',
    async (_, moment) => {
      const [save, whole] = [`killed at ${moment.source}`, `not killed at ${moment.source}`].map((name) =>
        name.replace(/[^\w ]/g, ''),
      ) as [string, string];
      for (const name of [save, whole]) copy('two', name);
      const anew = [...kept('two', 3), '--remat', 'max'];
      const again = ['train', '--resume', '--save', path(save), '--json', ...anew];
      expect((await killAt(again, path(save), moment)).killed).toBe(true);
      await expectWhole(path(save));
      // Asked for no other models it goes on with the bundle that is there, whichever that is.
      copy(save, `${save} as it is`);
      await expectDone(resume(`${save} as it is`, kept('two', 3)));

      await expectDone(resume(whole, anew));
      await expectDone(resume(save, anew));
      await expectSameEnd(path(save), path(whole));
      expect(manifestOf(save).remat).toBe('max');
      expect(readdirSync(path(save)).filter((name) => /tmp|before|lock/.test(name))).toEqual([]);
    },
    180_000,
  );

  it('keeps its bundle where the new models are refused', async () => {
    copy('two', 'refused');
    const result = await resume('refused', [...kept('two', 3), '--device', 'cuda:99']);
    expect([result.code, result.stdout]).toEqual([expect.any(Number), '']);
    expect(result.code).not.toBe(0);
    expect(readFileSync(path('refused', 'bundle', 'manifest.json'))).toEqual(
      readFileSync(path('two', 'bundle', 'manifest.json')),
    );
    expect(readdirSync(path('refused')).filter((name) => /tmp|before|lock/.test(name))).toEqual([]);
    await expectDone(resume('refused', kept('two', 3)));
  });
});
