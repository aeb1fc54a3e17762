/** @file Training runs that are interrupted, and what must be true of their folders at any moment. */

import { existsSync, type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec } from './cli.js';
import type { RandomSource } from './random.js';

/** When a run is to be killed. */
type KillMoment =
  /** Some time after a random number of its events. */
  | 'anywhere'
  /** As soon as a checkpoint's temporary file is there. */
  | 'while writing';

/** Runs a training and kills it (-9) at the moment; returns its events, and whether it was killed before its end. */
async function runAndKill(
  args: readonly string[],
  folder: string,
  moment: KillMoment,
  random: RandomSource,
): Promise<{ events: Record<string, unknown>[]; killed: boolean }> {
  let watcher: FSWatcher | undefined;
  // Session and data take a while: the first events come together.
  let left = 1 + Math.floor(random() * 12);
  const wait = random() * 40;
  const onStdout = (text: string, kill: (signal: NodeJS.Signals) => void): void => {
    left -= text.split('\n').length - 1;
    if (left > 0 || watcher) return;
    if (moment === 'anywhere') {
      left = Number.POSITIVE_INFINITY;
      setTimeout(() => kill('SIGKILL'), wait);
      return;
    }
    watcher = watch(folder, (_, name) => {
      if (name?.endsWith('.tmp')) kill('SIGKILL');
    });
  };
  const result = await densec(args, { onStdout });
  watcher?.close();
  // A killed process may leave half a line.
  const lines = result.stdout.slice(0, result.stdout.lastIndexOf('\n') + 1).trim();
  const events = lines === '' ? [] : lines.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  if (result.code !== 0 && result.code !== null) throw new Error(`ended with ${result.code}: ${result.stderr}`);
  return { events, killed: result.code === null };
}

/**
 * Runs a training and kills it (-9) as soon as something appears or changes in its folder under a name that fits, or after
 * some milliseconds.
 * @returns what it said until then; whether it was killed before its end
 */
export async function killAt(
  args: readonly string[],
  folder: string,
  moment: RegExp | number,
): Promise<{ stdout: string; killed: boolean }> {
  const stop = new AbortController();
  let watcher: FSWatcher | undefined;
  if (typeof moment === 'number') setTimeout(() => stop.abort(), moment);
  else watcher = watch(folder, (_, name) => moment.test(name ?? '') && stop.abort());
  const result = await densec(args, { signal: stop.signal });
  watcher?.close();
  if (result.code !== 0 && result.code !== null) throw new Error(`ended with ${result.code}: ${result.stderr}`);
  return { stdout: result.stdout, killed: result.code === null };
}

/** Everything in a run's folder under its final name is whole. */
export async function expectWhole(folder: string): Promise<void> {
  for (const name of ['last.safetensors', 'best.safetensors']) {
    const path = join(folder, name);
    if (existsSync(path)) expect((await readSafetensors(path)).tensors.size).toBeGreaterThan(0);
  }
  for (const [name, end] of [
    ['results.csv', '\n'],
    ['curves.svg', '</svg>\n'],
    ['report.html', '</html>\n'],
  ] as const) {
    const path = join(folder, name);
    if (existsSync(path)) expect(readFileSync(path, 'utf8').endsWith(end), name).toBe(true);
  }
}

/** Two runs ended in the same weights, state and results, to the bit. */
export async function expectSameEnd(folder: string, other: string): Promise<void> {
  for (const file of ['results.csv', 'best.safetensors']) {
    expect(readFileSync(join(folder, file)).equals(readFileSync(join(other, file))), file).toBe(true);
  }
  const [a, b] = await Promise.all([folder, other].map((run) => readSafetensors(join(run, 'last.safetensors'))));
  expect(a?.tensors).toEqual(b?.tensors);
}

/**
 * Trains with kills and resumes until `kills` have happened, then to the end.
 * @param begin the command of a new run with --json; its folder is `folder`
 * @returns how many kills there were
 */
export async function trainThroughKills(
  begin: readonly string[],
  folder: string,
  kills: number,
  random: RandomSource,
): Promise<number> {
  const resume = ['train', '--resume', '--save', folder, '--json'];
  let [done, saved] = [0, 0];
  let args = begin;
  for (;;) {
    const moment: KillMoment = random() < 0.5 ? 'anywhere' : 'while writing';
    const { events, killed } = done < kills ? await runAndKill(args, folder, moment, random) : await finish(args);
    expectNothingLost(events, saved);
    await expectWhole(folder);
    saved = Math.max(saved, ...events.filter(({ event }) => event === 'checkpoint').map(({ step }) => step as number));
    if (!killed) return done;
    done++;
    args = resume;
  }
}

async function finish(args: readonly string[]): Promise<{ events: Record<string, unknown>[]; killed: boolean }> {
  const result: CliResult = await densec(args);
  expect(result.code, result.stderr).toBe(0);
  return { events: result.jsonLines(), killed: false };
}

/** The first step of a resumed run comes right after a checkpoint that is no older than the last one told of. */
function expectNothingLost(events: readonly Record<string, unknown>[], saved: number): void {
  const first = events.find(({ event }) => event === 'step') as
    | { epoch: number; batch: number; batches: number }
    | undefined;
  if (first) expect((first.epoch - 1) * first.batches + first.batch).toBeGreaterThan(saved);
}
