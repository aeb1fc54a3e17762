/**
 * @file Runs the tests, says which are left out and why, and closes with one line of counts.
 *
 *     node scripts/test.mjs [--long] [vitest's arguments]
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const given = process.argv.slice(2);
const long = given.includes('--long') || Boolean(process.env.DENSEC_LONG);

const hasMpi = spawnSync('mpiexec', ['--version']).status === 0;

const leftOut = [
  {
    what: 'the package in an empty project',
    why: 'installs it from the npm registry',
    how: 'scripts/check-package.sh',
  },
  { what: "ONNX's own checker over written bundles", why: 'needs Python', how: 'scripts/check-onnx.sh' },
  ...(hasMpi
    ? []
    : [{ what: 'runs of several processes', why: 'need an MPI', how: 'apt-get install mpich, then npm test' }]),
  ...(long
    ? []
    : [{ what: 'long runs: test/long, more property cases', why: 'take many minutes', how: 'npm test -- --long' }]),
];

const folder = mkdtempSync(join(tmpdir(), 'densec-tests-'));
const report = join(folder, 'report.json');
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const options = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const { status } = spawnSync(process.execPath, [vitest, ...options, ...given.filter((option) => option !== '--long')], {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: long ? { ...process.env, DENSEC_LONG: '1' } : process.env,
});
const counts = readCounts(report);
rmSync(folder, { recursive: true, force: true });

for (const { what, why, how } of leftOut) console.log(`left out: ${what} (${why}; run ${how})`);
console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = status === 0 && counts.failed > 0 ? 1 : (status ?? 1);

/** Counts from vitest's report. A file that fails without a failing test of its own counts as one. */
function readCounts(path) {
  let results;
  try {
    results = JSON.parse(readFileSync(path, 'utf8')).testResults;
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const statuses = results.flatMap(({ status, assertionResults }) => {
    const found = assertionResults.map((result) => result.status);
    return status === 'failed' && !found.includes('failed') ? [...found, 'failed'] : found;
  });
  const passed = statuses.filter((found) => found === 'passed').length;
  const failed = statuses.filter((found) => found === 'failed').length;
  return { passed, failed, skipped: statuses.length - passed - failed };
}
