/** @file bench:gpu from end to end, with the CPU in the card's place. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CliResult, run } from '../helpers/cli.js';

const script = fileURLToPath(new URL('../../dist/bench/gpu.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'densec-bench-gpu-'));
let result: CliResult;

/** Operators of our own need the runtime's C API. */
const runsOwn = process.platform === 'linux' && process.arch === 'x64' && process.env.DENSEC_RUNTIME !== 'binding';

beforeAll(async () => {
  const only = runsOwn ? '' : 'plain';
  result = await run(process.execPath, [script, '--device', 'cpu', '--quick', '--out', folder, '--only', only]);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const written = () =>
  JSON.parse(readFileSync(join(folder, 'gpu.json'), 'utf8')) as {
    device: string;
    rows: { name: string; kind: string; passed?: boolean; stepMs?: number; planBytes?: number; nodes?: number }[];
    leftOut: unknown[];
  };

it('checks the reference steps and measures each bundle', () => {
  expect(result.code, result.stderr).toBe(0);
  const { device, rows, leftOut } = written();
  expect([device, leftOut]).toEqual(['cpu', []]);
  const checks = rows.filter(({ kind }) => kind === 'check');
  expect(checks.length).toBeGreaterThan(0);
  expect(checks.filter(({ passed }) => !passed)).toEqual([]);
  const kinds = runsOwn ? ['cudnn', 'plain'] : ['plain'];
  const names = kinds.flatMap((kernels) =>
    ['none', 'max'].map((remat) => `densec ${remat}, ${kernels}, depth 16, batch 8`),
  );
  const steps = rows.filter(({ kind }) => kind === 'steps');
  expect(steps.map(({ name }) => name)).toEqual(names);
  for (const { stepMs, planBytes, nodes } of steps) {
    expect(stepMs).toBeGreaterThan(0);
    expect(planBytes).toBeGreaterThan(0);
    expect(nodes).toBeGreaterThan(100);
  }
});

it('writes a table of it, which it prints', () => {
  const markdown = readFileSync(join(folder, 'gpu.md'), 'utf8');
  expect(result.stdout).toBe(markdown);
  for (const { name } of written().rows) expect(markdown).toContain(name);
});
