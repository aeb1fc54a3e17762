/** @file What the environment says of the launcher that started this process. */

/** Variables by which launchers tell how many processes they started. */
const sizes = ['PMI_SIZE', 'OMPI_COMM_WORLD_SIZE', 'MV2_COMM_WORLD_SIZE', 'PALS_SIZE'];

/** How many processes an MPI launcher has started together with this one; undefined where none has. */
export function launchedSize(): number | undefined {
  const { env } = process;
  const name = sizes.find((variable) => Number(env[variable]) >= 1);
  if (name !== undefined) return Number(env[name]);
  // Slurm's srun with PMIx.
  if (env.PMIX_RANK !== undefined && Number(env.SLURM_STEP_NUM_TASKS) >= 1) return Number(env.SLURM_STEP_NUM_TASKS);
  return undefined;
}
