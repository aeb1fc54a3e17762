/** @file Runs the built command line as its users do. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** What a run of the command line left behind. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The only JSON document on stdout. */
  json(): Record<string, unknown>;
  /** The JSON documents on stdout, one a line. */
  jsonLines(): Record<string, unknown>[];
}

/** How to treat a running command. */
export interface CliOptions {
  /** Folder to run in; that of the tests unless told. */
  readonly cwd?: string;
  /** Variables of the environment, beside those of the tests. */
  readonly env?: Readonly<Record<string, string>>;
  /** Kills the process (-9) once it is aborted. */
  readonly signal?: AbortSignal;
  /** Called with each piece of stdout; may signal the process. */
  readonly onStdout?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** The same for stderr. */
  readonly onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** Runs `densec ARGS` and waits for its end. */
export function densec(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return run(process.execPath, [main, ...args], options);
}

/** Runs a program and waits for its end. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, env, signal, onStdout, onStderr }: CliOptions = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, NO_COLOR: '1', ...env },
      ...(cwd && { cwd }),
    });
    signal?.addEventListener('abort', () => child.kill('SIGKILL'));
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onStdout?.(text, (signal) => child.kill(signal));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onStderr?.(text, (signal) => child.kill(signal));
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const jsonLines = (): Record<string, unknown>[] =>
        stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      resolve({ code, stdout, stderr, jsonLines, json: () => JSON.parse(stdout) as Record<string, unknown> });
    });
  });
}

/** A folder for the tests of a file, gone when they are done; returns paths in it. */
export function temporaryFolder(): (...names: string[]) => string {
  const root = mkdtempSync(join(tmpdir(), 'densec-test-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return (...names) => join(root, ...names);
}
