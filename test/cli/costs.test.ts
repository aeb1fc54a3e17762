/** @file --costs: a machine's own table is taken where it fits, named wherever it decides something, and never in silence. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Calibration,
  cacheFolder,
  calibrationFile,
  nameOfCosts,
  thisMachine,
  writeCalibration,
} from '../../src/runtime/measure/calibration.js';
import { runtimeVersion } from '../../src/runtime/session/runtime-package.js';
import { type Costs, targets } from '../../src/targets/index.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const small = ['--block-config', '2,2', '--growth-rate', '4', '--image-size', '8'];
const batch = ['--batch-size', '64'];
const threads = 3;

/** Where the caches are of a user whose home is a folder of the tests. */
function homeOf(user: string): Record<string, string> {
  return { HOME: path(user), XDG_CACHE_HOME: path(user, 'cache'), LOCALAPPDATA: path(user, 'cache') };
}

/** The file of this machine's table in that user's cache. */
function cacheOf(user: string, count = threads): string {
  return join(cacheFolder(process.platform, homeOf(user), path(user)), basename(calibrationFile(count)));
}

function as(user: string, ...args: string[]): Promise<CliResult> {
  return densec(args, { env: homeOf(user) });
}

/** This machine's table with the default's figures, changed. */
function calibration(change: Partial<Calibration> = {}, costs: Partial<Costs> = {}): Calibration {
  const facts = {
    ...{ machine: thisMachine(), threads, onnxruntime: runtimeVersion(), date: '2026-01-31T12:00:00Z' },
    ...change,
  };
  return { ...facts, costs: { ...targets.cpu.costs, ...costs, name: nameOfCosts(facts) } };
}

/** A table by which some kinds of kernels take all of the time. */
function dear(...kinds: (keyof Costs['rates'])[]): Partial<Costs> {
  const slow = { bytesPerSecond: 1e6, flopsPerSecond: 1e6 };
  return {
    nodeUs: 0.01,
    rates: { ...targets.cpu.costs.rates, ...Object.fromEntries(kinds.map((kind) => [kind, slow])) },
  };
}

const planned = ['plan', path('plain'), ...batch, '--threads', String(threads)];

interface Planned {
  readonly costs: string;
  readonly estimatedStepMs: number;
}

beforeAll(async () => {
  await writeCalibration(cacheOf('calibrated'), calibration({}, { nodeUs: 1000 * targets.cpu.costs.nodeUs }));
  const built = await as('fresh', 'build', ...small, '-o', path('plain'));
  expect(built.code, built.stderr).toBe(0);
});

describe('times', () => {
  it('are modelled by the default table for who never measured, without a word', async () => {
    const result = await as('fresh', ...planned, '--json');
    expect(result.json().costs).toBe('default');
    expect(result.stderr).not.toMatch(/costs/);
  });

  it('are modelled by the table of this machine once it is there, which is named', async () => {
    const [fresh, own] = [await as('fresh', ...planned, '--json'), await as('calibrated', ...planned, '--json')];
    const [before, after] = [fresh, own].map((result) => result.json() as unknown as Planned);
    expect(after?.costs).toBe(calibration().costs.name);
    expect(after?.costs).toContain(`measured 2026-01-31T12:00:00Z on ${thisMachine().name}`);
    expect(own.stderr).toContain(`costs: ${after?.costs}`);
    expect(after?.estimatedStepMs).toBeGreaterThan(10 * (before?.estimatedStepMs ?? Number.POSITIVE_INFINITY));
    expect((await as('calibrated', ...planned)).stdout).toContain('by costs measured 2026-01-31');
  });

  it('are the default’s again with --costs default, and those of a file with --costs FILE', async () => {
    const fresh = (await as('fresh', ...planned, '--json')).json();
    expect((await as('calibrated', ...planned, '--costs', 'default', '--json')).json()).toEqual(fresh);
    const own = (await as('calibrated', ...planned, '--json')).json();
    expect((await as('fresh', ...planned, '--costs', cacheOf('calibrated'), '--json')).json()).toEqual(own);
  });

  it('of a dry run of many processes are by that table, too', async () => {
    const flags = ['train', ...small, '--dry-run', '--processes', '2', '--threads', String(threads), '--json'];
    expect((await as('fresh', ...flags)).json().costs).toBe('default');
    expect((await as('calibrated', ...flags)).json().costs).toBe(calibration().costs.name);
  });
});

describe('a table that doesn’t fit', () => {
  const machine = thisMachine();

  it.each([
    ['another processor', calibration({ machine: { ...machine, cpu: 'Abacus 2' } }), /on the processor Abacus 2, and/],
    ['other cores', calibration({ machine: { ...machine, cores: 999 } }), /999 cores, and here it is/],
    ['another runtime', calibration({ onnxruntime: '0.0.1' }), /with onnxruntime 0\.0\.1, and here it is/],
    ['other threads in the file', calibration({ threads: 77 }), /with threads: 77, and here it is 3/],
  ])('of %s is not used, which is said with what to do', async (what, foreign, reason) => {
    const user = what.replaceAll(' ', '-');
    await writeCalibration(cacheOf(user), foreign);
    const result = await as(user, ...planned, '--json');
    expect(result.code).toBe(0);
    expect(result.json()).toEqual((await as('fresh', ...planned, '--json')).json());
    expect(result.stderr).toMatch(reason);
    expect(result.stderr).toMatch(/warning: .*densec calibrate --threads 3, or say --costs default/);
  });

  it('of other numbers of threads is told', async () => {
    await writeCalibration(cacheOf('four', 4), calibration({ threads: 4 }));
    const result = await as('four', ...planned, '--json');
    expect(result.json().costs).toBe('default');
    expect(result.stderr).toMatch(/measured with 4 threads, not with 3; .*densec calibrate --threads 3/);
    const silent = await as('four', ...planned, '--costs', 'default', '--json');
    expect(silent.stderr).not.toMatch(/warning/);
  });

  it.each([
    ['no JSON', '{', /is not JSON/],
    ['no table', '{}', /is no table of costs: formatVersion/],
    [
      'figures that are none',
      JSON.stringify(calibration({}, { nodeUs: -1 })).replace('{', '{"formatVersion":1,"densec":"1","target":"cpu",'),
      /costs\.nodeUs/,
    ],
  ])('since it is %s is a warning in the cache, an error as --costs FILE', async (what, text, reason) => {
    const user = what.replaceAll(' ', '-');
    mkdirSync(dirname(cacheOf(user)), { recursive: true });
    writeFileSync(cacheOf(user), text);
    const kept = await as(user, ...planned, '--json');
    expect(kept.code).toBe(0);
    expect(kept.json().costs).toBe('default');
    expect(kept.stderr).toMatch(reason);
    expect(kept.stderr).toMatch(/warning: .*--costs default/);
    const told = await as('fresh', ...planned, '--costs', cacheOf(user));
    expect(told.code).toBe(1);
    expect(told.stderr).toMatch(reason);
    expect(told.stderr).toMatch(/densec calibrate/);
  });

  it('is refused where it can’t be read, for another target, and without a budget', async () => {
    const missing = await as('fresh', ...planned, '--costs', path('missing.json'));
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/missing\.json: there is no such file/);
    const file = ['--costs', cacheOf('calibrated')];
    const cuda = ['--target', 'cuda', '--memory-budget', '10MB', ...batch, '-o', path('cuda')];
    const other = await as('fresh', 'build', ...small, ...file, ...cuda);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/costs of a CPU, and the models are for cuda/);
    const policy = await as('fresh', 'build', ...small, ...file, '-o', path('policy'));
    expect(policy.code).toBe(2);
    expect(policy.stderr).toMatch(/is for --memory-budget SIZE/);
  });
});

describe('models', () => {
  const modelOf = (name: string): Buffer => readFileSync(path(name, 'training_model.onnx'));
  const manifestOf = (name: string): { solver?: { costs: string; microseconds: number } } =>
    JSON.parse(readFileSync(path(name, 'manifest.json'), 'utf8')) as {
      solver?: { costs: string; microseconds: number };
    };

  it.each(['none', 'efficient', 'max'])('of %s are the same bytes whatever the costs', async (remat) => {
    for (const [user, name] of [
      ['fresh', `${remat}-fresh`],
      ['calibrated', `${remat}-calibrated`],
    ] as const) {
      const result = await as(user, 'build', ...small, '--remat', remat, '-o', path(name));
      expect(result.code, result.stderr).toBe(0);
    }
    expect(modelOf(`${remat}-calibrated`).equals(modelOf(`${remat}-fresh`))).toBe(true);
    expect(manifestOf(`${remat}-calibrated`)).toEqual(manifestOf(`${remat}-fresh`));
  });

  it('within a budget are chosen by the table, which the manifest names', async () => {
    const peak = async (remat: string): Promise<number> =>
      Number((await as('fresh', 'plan', path(`${remat}-fresh`), ...batch, '--json')).json().predictedLivePeakBytes);
    const size = String(Math.round(0.5 * (await peak('none')) + 0.5 * (await peak('max'))));
    const budget = ['--memory-budget', size, '--budget-seconds', '15', ...batch];
    const tables = {
      products: dear('pointwise', 'convolution', 'grouped', 'product'),
      passes: dear('elementwise', 'movement', 'reduction'),
    };
    for (const [index, [name, costs]] of Object.entries(tables).entries()) {
      const date = `2026-0${index + 1}-01T12:00:00Z`;
      const file = path(`${name}.json`);
      await writeCalibration(file, calibration({ date }, costs));
      const built = await as('fresh', 'build', ...small, ...budget, '--costs', file, '-o', path(name));
      expect(built.code, built.stderr).toBe(0);
      const named = `measured ${date} on ${thisMachine().name}`;
      expect(built.stderr).toContain(named);
      expect(manifestOf(name).solver?.costs).toContain(named);
      expect((await as('fresh', 'info', path(name))).stdout).toContain(named);
    }
    expect(modelOf('products').equals(modelOf('passes'))).toBe(false);
    // Each is planned again to the same, whoever plans it, since the choice is kept.
    const again = await as('calibrated', 'plan', path('passes'), ...batch, '--json');
    expect(again.code, again.stderr).toBe(0);
    expect(again.json().solver).toMatchObject({ costs: manifestOf('passes').solver?.costs });
  }, 240_000);
});

describe('densec calibrate', () => {
  it('replaces no file of one’s own unless told, and says so before it measures', async () => {
    writeFileSync(path('mine.json'), 'mine');
    const result = await as('fresh', 'calibrate', '-o', path('mine.json'));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/mine\.json exists already; .* --force/);
    expect(result.stderr).not.toMatch(/measured 1/);
  });
});
