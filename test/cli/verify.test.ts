/** @file densec verify: the contract's fields and codes. */

import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const small = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];

beforeAll(async () => {
  for (const remat of ['none', 'efficient']) {
    expect((await densec(['build', ...small, '--remat', remat, '-o', path(remat)])).code).toBe(0);
  }
});

describe('verify', () => {
  it('passes a bundle and one of another policy', async () => {
    const args = ['verify', path('efficient'), '--against', path('none'), '--batch-size', '5', '--threads', '1'];
    const result = await densec([...args, '--json']);
    const { ok, checks } = result.json() as { ok: boolean; checks: { name: string; ok: boolean; detail: string }[] };
    expect(checks.filter((check) => !check.ok)).toEqual([]);
    expect([ok, result.code]).toEqual([true, 0]);
    expect(checks.find(({ name }) => name === 'live peak, basic')?.detail).toMatch(/predicted for batches of 5$/);
    expect(checks.map(({ name }) => name)).toContain('against: momentum');
  });

  it('ends with code 3 where something differs, and says what', async () => {
    const file = path('efficient', 'manifest.json');
    const before = readFileSync(file, 'utf8');
    const manifest = JSON.parse(before) as { plan: { order: string[] } };
    const { order } = manifest.plan;
    const [one, other] = [order[20] as string, order[21] as string];
    [order[20], order[21]] = [other, one];
    writeFileSync(file, JSON.stringify(manifest));
    const result = await densec(['verify', path('efficient'), '--threads', '1']);
    writeFileSync(file, before);
    expect(result.code).toBe(3);
    expect(result.stdout).toContain(`FAIL  file                        node 21 would be ${one}, the plan has ${other}`);
    expect(result.stdout).toMatch(/^ok {4}simulator, all/m);
    expect(result.stderr).toMatch(/\d+ of \d+ checks failed/);
  });

  it('needs a folder for temporary files, and says which is missing', async () => {
    const env = { TMPDIR: path('missing'), TMP: path('missing'), TEMP: path('missing') };
    const { code, stderr } = await densec(['verify', path('none'), '--threads', '1'], { env });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/no folder .*missing.*TMPDIR names the folder/)]);
    expect(stderr).not.toContain('bug of densec');
  });

  it.each([
    ['a batch of none', ['--batch-size', '0'], /at least 1/],
    ['a folder that is no bundle to compare with', ['--against', path('nowhere')], /is not a bundle/],
  ])('refuses %s', async (_, flags, message) => {
    const result = await densec(['verify', path('none'), ...flags]);
    expect(result.code).toBeGreaterThan(0);
    expect(result.code).toBeLessThan(3);
    expect(result.stderr).toMatch(message);
  });
});
