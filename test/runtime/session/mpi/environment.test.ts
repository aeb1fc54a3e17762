/** @file What launchers of several processes say in the environment. */

import { afterEach, expect, it, vi } from 'vitest';
import { launchedSize } from '../../../../src/runtime/session/mpi/environment.js';

afterEach(() => vi.unstubAllEnvs());

it.each([
  ["MPICH's, and Slurm's with PMI-2", { PMI_RANK: '1', PMI_SIZE: '4' }, 4],
  ["Open MPI's", { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '3' }, 3],
  ["MVAPICH's", { MV2_COMM_WORLD_SIZE: '2' }, 2],
  ["Cray's", { PALS_SIZE: '64' }, 64],
  ["Slurm's with PMIx", { PMIX_RANK: '5', SLURM_STEP_NUM_TASKS: '16', SLURM_PROCID: '5' }, 16],
  // A batch script of Slurm, or a shell within one, starts a single process.
  ["Slurm's without an MPI", { SLURM_STEP_NUM_TASKS: '16', SLURM_PROCID: '0' }, undefined],
  ['no launcher', {}, undefined],
])('%s', (_, environment, size) => {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  expect(launchedSize()).toBe(size);
});
