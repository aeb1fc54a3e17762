/** @file Runs a program as on a user's own computer: no CI variable, a home folder of its own, every system call seen. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Why system calls can't be watched here, or nothing. */
export const noTrace: string | undefined =
  spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0 ? undefined : 'strace is missing or not allowed';

/** What a program did. */
export interface Traced {
  readonly code: number | null;
  readonly stderr: string;
  /** Paths in the home folder. */
  readonly home: readonly string[];
  /** Connections to other computers and reads of the resolver's settings, one a line of strace; empty where it is missing. */
  readonly network: readonly string[];
}

/** Runs `node ARGS` in a folder that is made, with its home below it. */
export async function atHome(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Traced> {
  const [home, trace] = [join(folder, 'home'), join(folder, 'trace')];
  mkdirSync(home, { recursive: true });
  const { CI: _, ORT_DISABLE_TELEMETRY: __, XDG_CACHE_HOME: ___, ...rest } = process.env;
  const watched = ['-f', '-qq', '-e', 'trace=connect,openat', '-o', trace, process.execPath, ...args];
  const [program, given] = noTrace ? [process.execPath, args] : ['strace', watched];
  const child = spawn(program, given, { cwd: folder, env: { ...rest, HOME: home, NO_COLOR: '1', ...env } });
  let stderr = '';
  child.stdout.resume();
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  const calls = existsSync(trace) ? readFileSync(trace, 'utf8').split('\n') : [];
  return {
    code,
    stderr,
    home: readdirSync(home, { recursive: true }).map(String),
    network: calls.filter((line) => /sa_family=AF_INET|\/etc\/resolv\.conf|nscd/.test(line)),
  };
}
