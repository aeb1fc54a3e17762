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

/** What a process of its own host begins with: process numbers and a name that are its own. */
const ownHost = ['unshare', '--kill-child', '--pid', '--uts', '--fork', '--mount-proc'];

/** Whether processes can be given hosts of their own here. */
export const hasNamespaces = hasMpi && spawnSync(ownHost[0] as string, [...ownHost.slice(1), 'true']).status === 0;

/** As `mpiexec`, each process on a host of its own as far as it can tell, which meet over TCP as hosts do. */
export function mpiexecOnHosts(count: number, args: readonly string[], options?: CliOptions): Promise<CliResult> {
  const naming = ['sh', '-c', 'hostname "host-$PMI_RANK" && exec "$@"', 'sh'];
  const command = ['-n', String(count), ...ownHost, ...naming, process.execPath, main, ...args];
  return run('mpiexec', command, { ...options, env: { UCX_TLS: 'tcp,self', ...options?.env } });
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
