/** @file Processes whose cards meet by NCCL, with a double of it: there is no card here. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { installedLibraries } from '../../../../src/runtime/session/cuda/libraries.js';
import { missingNccl } from '../../../../src/runtime/session/cuda/nccl.js';
import { run, temporaryFolder } from '../../../helpers/cli.js';
import { hasMpi } from '../../../helpers/mpi.js';
import { noEmulator } from './emulator.js';

const path = temporaryFolder();
const dist = fileURLToPath(new URL('../../../../dist', import.meta.url));
const script = fileURLToPath(new URL('nccl-process.mjs', import.meta.url));

function processes(what: string, libraries = path()) {
  const env = { LD_LIBRARY_PATH: libraries };
  return run('mpiexec', ['-n', '2', process.execPath, script, dist, what], { env });
}

describe.skipIf(!hasMpi || noEmulator !== undefined)('cards of two processes', () => {
  beforeAll(() => {
    const source = fileURLToPath(new URL('nccl-double.cpp', import.meta.url));
    execFileSync('g++', ['-O1', '-shared', '-fPIC', source, '-o', join(path(), 'libnccl.so.2'), '-lrt']);
  });

  it('have the same sums', async () => {
    const { code, stdout, stderr } = await processes('sum');
    expect(code, stderr).toBe(0);
    expect(stdout.trim().split('\n').sort()).toEqual([
      'process 0 has 3 and 2997',
      'process 0 sums by nccl on card 0',
      'process 1 has 3 and 2997',
      'process 1 sums by nccl on card 1',
    ]);
  });

  it('do not wait for ever for one that has stopped', async () => {
    const { code, stderr } = await processes('stop');
    expect(code).toBe(1);
    expect(stderr).toMatch(/error:.*process 0 has waited 3 s for process 1 \(pid \d+ on .*\)/);
  });

  it('meet on the host where that is asked for, or where there is no NCCL', async () => {
    const asked = await processes('mpi');
    expect(asked.stdout).toContain('process 1 sums by mpi on card 1');
    const without = await processes('mpi', '/nowhere');
    expect(without.code, without.stderr).toBe(0);
  });
});

it('says how to get NCCL', () => {
  const nowhere = { ...installedLibraries, nccl: { linux: ['/nowhere/libnccl.so.2'], windows: [] } };
  expect(missingNccl(nowhere)).toMatch(
    /\/nowhere\/libnccl\.so\.2 can't be loaded .*nvidia-nccl-cu13.*--collective mpi/,
  );
});
