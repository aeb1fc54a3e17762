/** @file Runs of several processes: whether an MPI is here, how they are started, and which processes there are. */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CliOptions, type CliResult, run } from './cli.js';

/** Whether an MPI launcher is installed, and sums can run: operators of ours need the runtime's C API. */
export const hasMpi =
  process.platform === 'linux' &&
  process.arch === 'x64' &&
  process.env.DENSEC_RUNTIME !== 'binding' &&
  spawnSync('mpiexec', ['--version']).status === 0;

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs `mpiexec -n COUNT densec ARGS`. */
export function mpiexec(count: number, args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return run('mpiexec', ['-n', String(count), process.execPath, main, ...args], options);
}

/** The processes of runs whose command lines name something, by rank; those that start them excepted. */
export function ranksOf(name: string): number[] {
  const found = readdirSync('/proc').flatMap((entry): [number, number][] => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const [command, environment] = ['cmdline', 'environ'].map((file) =>
        readFileSync(`/proc/${entry}/${file}`, 'utf8'),
      );
      const rank = /(?:^|\0)(?:PMI_RANK|OMPI_COMM_WORLD_RANK)=(\d+)\0/.exec(environment ?? '')?.[1];
      return command?.includes(name) && command.includes(main) && rank !== undefined
        ? [[Number(rank), Number(entry)]]
        : [];
    } catch {
      return [];
    }
  });
  return found.sort(([a], [b]) => a - b).map(([, pid]) => pid);
}

/** Waits until no process of runs that name something is left. @throws Error naming those that stay */
export async function untilGone(name: string, milliseconds = 8000): Promise<void> {
  const began = performance.now();
  while (ranksOf(name).length > 0) {
    if (performance.now() - began > milliseconds) throw new Error(`processes are left behind: ${ranksOf(name).join()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
