/** @file densec bench: its fields, exit codes and every kind of bad flag. */

import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();

beforeAll(async () => {
  const flags = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];
  for (const remat of ['none', 'efficient']) {
    const result = await densec(['build', ...flags, '--remat', remat, '-o', path(remat)]);
    expect(result.code, result.stderr).toBe(0);
  }
});

const figures = {
  stepMs: { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) },
  peakGrowthBytes: process.platform === 'linux' ? expect.any(Number) : null,
  predictedLivePeakBytes: expect.any(Number),
  sessionMs: expect.any(Number),
  nodes: expect.any(Number),
};

describe('bench', () => {
  it('measures a bundle beside another', async () => {
    const flags = ['--batch-size', '4', '--steps', '2', '--rounds', '2', '--threads', '1', '--json'];
    const result = await densec(['bench', path('none'), '--against', path('efficient'), ...flags]);
    expect(result.code, result.stderr).toBe(0);
    expect(result.json()).toMatchObject({
      ...figures,
      batchSize: 4,
      steps: 2,
      rounds: 2,
      threads: 1,
      device: 'cpu',
      remat: 'none',
      session: { optimization: expect.any(String), memoryPattern: expect.any(Boolean), reason: expect.any(String) },
      against: { ...figures, remat: 'efficient' },
      ratio: {
        stepMs: expect.any(Number),
        predictedLivePeakBytes: expect.any(Number),
        sessionMs: expect.any(Number),
      },
    });
    expect(result.stderr).toMatch(/measured 1\/4 .* left/);
    const { firstLoss, against } = result.json() as { firstLoss: number; against: { firstLoss: number } };
    expect(against.firstLoss).toBeCloseTo(firstLoss, 4);
  });

  it('shows people tables', async () => {
    const result = await densec(['bench', path('none'), '--batch-size', '2', '--steps', '1', '--rounds', '1']);
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/session options +level \w+, memory pattern o/);
    expect(result.stdout).toMatch(/step ms .* growth .* predicted live peak/);
  });

  it('measures the alternatives of the session options', async () => {
    const flags = ['--batch-size', '2', '--steps', '1', '--rounds', '1', '--sweep', '--json'];
    const { sweep, session } = (await densec(['bench', path('none'), ...flags])).json() as {
      sweep: { optimization: string; memoryPattern: boolean; chosen: boolean }[];
      session: object;
    };
    expect(new Set(sweep.map(({ optimization, memoryPattern }) => `${optimization} ${memoryPattern}`)).size).toBe(8);
    const chosen = sweep.filter((row) => row.chosen);
    expect(chosen).toHaveLength(1);
    expect(session).toMatchObject({ optimization: chosen[0]?.optimization, memoryPattern: chosen[0]?.memoryPattern });
  }, 180_000);

  it('says where the time goes', async () => {
    const flags = ['--batch-size', '2', '--steps', '1', '--rounds', '1', '--profile'];
    const { profile, nodes } = (await densec(['bench', path('efficient'), ...flags, '--json'])).json() as {
      nodes: number;
      profile: { total: { kernels: number; flops: number; bytes: number } } & Record<string, { name: string }[]>;
    };
    expect(profile.total.kernels).toBe(nodes);
    expect(profile.total.flops).toBeGreaterThan(0);
    expect(profile.byPhase?.map(({ name }) => name).sort()).toEqual(['backward', 'forward', 'recompute', 'update']);
    expect(profile.byOperator?.map(({ name }) => name)).toContain('Conv');
    expect(profile.byLayer?.map(({ name }) => name)).toContain('features.conv0');
    const people = await densec(['bench', path('efficient'), ...flags]);
    expect(people.stdout).toMatch(/GB\/s at most here/);
    expect(people.stdout).toMatch(/^ *backward +\d/m);
  }, 180_000);

  it('info says what a bundle is run with', async () => {
    const info = await densec(['info', path('none'), '--json']);
    expect(info.json().session).toMatchObject({ optimization: expect.any(String), reason: expect.any(String) });
  });
});

describe('bad input', () => {
  it.each<[string, string[], number, RegExp]>([
    ['no batch size', [], 2, /--batch-size/],
    ['a batch of none', ['--batch-size', '0'], 2, /whole number, at least 1/],
    ['no steps', ['--batch-size', '2', '--steps', '0'], 2, /whole number, at least 1/],
    ['half a round', ['--batch-size', '2', '--rounds', '0.5'], 2, /whole number, at least 1/],
    ['no threads', ['--batch-size', '2', '--threads', '0'], 2, /whole number, at least 1/],
    ['an unknown flag', ['--batch-size', '2', '--agianst', 'x'], 2, /Did you mean --against/],
    ['an unknown device', ['--batch-size', '2', '--device', 'tpu'], 2, /choose cpu, webgpu, cuda/],
    ['a device it was not built for', ['--batch-size', '2', '--device', 'webgpu'], 2, /--target webgpu/],
    ['no such other bundle', ['--batch-size', '2', '--against', 'nowhere'], 1, /nowhere is not a bundle/],
  ])('%s', async (_, flags, code, message) => {
    const result = await densec(['bench', path('none'), ...flags]);
    expect([result.code, result.stdout, result.stderr]).toEqual([code, '', expect.stringMatching(message)]);
  });

  it('no such bundle, and a batch too small for batch norm', async () => {
    const none = await densec(['bench', path('nothing'), '--batch-size', '2']);
    expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/is not a bundle/)]);
    const small = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '2'];
    expect((await densec(['build', ...small, '-o', path('small')])).code).toBe(0);
    const one = await densec(['bench', path('small'), '--batch-size', '1']);
    expect([one.code, one.stderr]).toEqual([2, expect.stringMatching(/--batch-size 1 is too small.*at least 2/)]);
  });
});
