/**
 * @file Runs the tests, says which are left out and why, and closes with one line of counts.
 *
 *     node scripts/test.mjs [--long] [--both] [vitest's arguments]
 *
 * With --long and with --both, what opens a session runs once more by Node's binding, where the C API is the default; in CI,
 * which has 20 minutes, the tests of sessions themselves and of a few commands do.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const given = process.argv.slice(2);
const long = given.includes('--long') || Boolean(process.env.DENSEC_LONG);

const hasMpi = spawnSync('mpiexec', ['--version']).status === 0;
const isWhole = given.every((option) => option === '--long' || option === '--both');
const both = isWhole && !process.env.DENSEC_RUNTIME && (long || given.includes('--both'));
const some = isWhole && !process.env.DENSEC_RUNTIME && !both && Boolean(process.env.CI);

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
  ...(both || !isWhole
    ? []
    : [{ what: "tests of sessions once more by Node's binding", why: 'take minutes', how: 'npm test -- --both' }]),
  ...(long
    ? []
    : [{ what: 'long runs: test/long, more property cases', why: 'take many minutes', how: 'npm test -- --long' }]),
];

const folder = mkdtempSync(join(tmpdir(), 'densec-tests-'));
const report = join(folder, 'report.json');
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const options = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const passed = given.filter((option) => option !== '--long' && option !== '--both');
const passes = [{ files: passed, environment: {} }];
if (both || some) {
  const files = both ? filesWithSessions() : filesWithSessions().filter(isQuick);
  passes.push({ files, environment: { DENSEC_RUNTIME: 'binding' } });
}

let failed = 0;
const counts = { passed: 0, failed: 0, skipped: 0 };
for (const { files, environment } of passes) {
  if (environment.DENSEC_RUNTIME) console.log(`once more with DENSEC_RUNTIME=${environment.DENSEC_RUNTIME}:`);
  const env = { ...process.env, ...environment, ...(long && { DENSEC_LONG: '1' }) };
  const { status } = spawnSync(process.execPath, [vitest, ...options, ...files], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env,
  });
  const found = readCounts(report);
  for (const kind of Object.keys(counts)) counts[kind] += found[kind];
  failed ||= status ?? 1;
  rmSync(report, { force: true });
}
rmSync(folder, { recursive: true, force: true });

for (const { what, why, how } of leftOut) console.log(`left out: ${what} (${why}; run ${how})`);
console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = failed === 0 && counts.failed > 0 ? 1 : failed;

/** Tests that open a session: those that import one, and those of commands that step, train and verify. */
function filesWithSessions() {
  const commands = ['faults', 'go-on', 'interrupt', 'repeat', 'step', 'train', 'verify'].map(
    (name) => `test/cli/${name}.test.ts`,
  );
  const files = readdirSync('test', { recursive: true }).map((name) => join('test', name));
  const sessions = files.filter(
    (file) => file.endsWith('.test.ts') && !file.startsWith(join('test', 'long')) && opensSession(file),
  );
  // Those that choose the runtime themselves have run by both.
  return [
    ...commands,
    ...sessions.filter((file) => !readFileSync(file, 'utf8').includes('process.env.DENSEC_RUNTIME =')),
  ];
}

/** Whether tests of sessions are among those that CI runs twice. */
function isQuick(file) {
  return file.startsWith(join('test', 'runtime', 'session')) || /cli\/step\./.test(file);
}

/** Whether a file imports what opens sessions, itself or by what it imports. */
function opensSession(file, seen = new Set()) {
  if (seen.has(file)) return false;
  seen.add(file);
  if (/src\/runtime\/session\/(open-)?session\.ts$/.test(file)) return true;
  const imports = [...readFileSync(file, 'utf8').matchAll(/(?:from|import\() ?'(\.[^']+)'/g)];
  return imports
    .map(([, name]) => join(dirname(file), name).replace(/\.js$/, '.ts'))
    .some((name) => existsSync(name) && opensSession(name, seen));
}

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
