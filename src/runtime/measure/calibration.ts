/** @file A machine's own table of costs as a file: where it is kept, for which machine it is, and reading it back. */

import { access, readdir, readFile } from 'node:fs/promises';
import { cpus, homedir, hostname } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { FailureError } from '../../ir/index.js';
import { type Costs, costsSchema } from '../../targets/index.js';
import { version } from '../../version.js';
import { fileFailure, makeFolder, writeFileAtomic } from '../files/atomic-file.js';
import { runtimeVersion } from '../session/runtime-package.js';
import { measuredRates } from './costs.js';

const formatVersion = 1;

/** What a measured table depends on. */
export interface Machine {
  readonly name: string;
  /** The processor's model, as the system names it. */
  readonly cpu: string;
  readonly cores: number;
  readonly platform: string;
  readonly architecture: string;
}

const machineSchema = z.object({
  name: z.string().min(1),
  cpu: z.string(),
  cores: z.number().int().positive(),
  platform: z.string(),
  architecture: z.string(),
});

const schema = z.object({
  formatVersion: z.literal(formatVersion),
  target: z.literal('cpu'),
  machine: machineSchema,
  threads: z.number().int().positive(),
  onnxruntime: z.string(),
  densec: z.string(),
  /** When it was measured, as in 2026-01-31T12:00:00Z. */
  date: z.iso.datetime(),
  costs: costsSchema,
});

/** A machine's table of costs, and what it was measured with. */
export interface Calibration {
  readonly machine: Machine;
  readonly threads: number;
  readonly onnxruntime: string;
  readonly date: string;
  /** Its name tells date, machine and threads. */
  readonly costs: Costs;
}

/** This machine. */
export function thisMachine(): Machine {
  const cores = cpus();
  const cpu = cores[0]?.model.replace(/\s+/g, ' ').trim() || 'unknown';
  return {
    name: hostname() || 'unknown',
    cpu,
    cores: Math.max(1, cores.length),
    platform: process.platform,
    architecture: process.arch,
  };
}

/** What a table that was measured is called in certificates, manifests and reports. */
export function nameOfCosts({ machine, threads, date }: Omit<Calibration, 'costs'>): string {
  return `measured ${date} on ${machine.name} (${machine.cpu}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`;
}

/** The folder in which the system keeps what programs can make again; densec's own in it. */
export function cacheFolder(
  platform: string = process.platform,
  env: Readonly<Record<string, string | undefined>> = process.env,
  home: string = homedir(),
): string {
  if (platform === 'win32') return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'densec');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'densec');
  const told = env.XDG_CACHE_HOME;
  // As its specification says, another path than an absolute one counts for nothing.
  return join(told !== undefined && isAbsolute(told) ? told : join(home, '.cache'), 'densec');
}

/** The file that this machine's table for so many threads is kept in. */
export function calibrationFile(threads: number): string {
  return join(cacheFolder(), `${beginning()}${threads}.json`);
}

function beginning(): string {
  return `costs-cpu-${thisMachine().name.replace(/[^A-Za-z0-9._-]/g, '_')}-`;
}

/** Writes a table. @throws FailureError when it can't be written */
export async function writeCalibration(path: string, calibration: Calibration): Promise<void> {
  const { costs, ...facts } = calibration;
  const rates = measuredRates(costs);
  const file = { formatVersion, densec: version, target: 'cpu', ...facts, costs: { nodeUs: costs.nodeUs, rates } };
  await makeFolder(dirname(path));
  await writeFileAtomic(path, `${JSON.stringify(file, undefined, 2)}\n`);
}

/**
 * Reads a table that `densec calibrate` wrote, whichever machine it is of.
 * @throws FailureError when the file can't be read or is none
 */
export async function readCalibration(path: string): Promise<Calibration> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FailureError(`${path} is not JSON (${(error as Error).message}); ${remedy}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new FailureError(
      `${path} is no table of costs: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}; ${remedy}`,
    );
  }
  const { machine, threads, onnxruntime, date, costs } = parsed.data;
  const facts = { machine, threads, onnxruntime, date };
  return { ...facts, costs: { name: nameOfCosts(facts), ...costs } };
}

const remedy = 'write one with densec calibrate, or say --costs default';

/** The table that is kept for this machine, or why one that is there is not for it. */
export interface Found {
  readonly calibration?: Calibration;
  /** Why what was found isn't used, with what to do. */
  readonly refused?: string;
}

/** Looks for the table of this machine for so many threads. A file that can't be used is told, not thrown. */
export async function findCalibration(threads: number): Promise<Found> {
  const path = calibrationFile(threads);
  const isThere = await access(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  );
  if (!isThere) return otherThreads(path, threads);
  try {
    const calibration = await readCalibration(path);
    const difference = differenceFrom(calibration, threads);
    if (difference === undefined) return { calibration };
    return { refused: `${path} is not used, since it was measured ${difference}; ${again(threads)}` };
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    return { refused: `${error.message.replace(`; ${remedy}`, '')}; ${again(threads)}` };
  }
}

function again(threads: number): string {
  return `densec's default table of costs is taken: measure again with densec calibrate --threads ${threads}, or say --costs default`;
}

/** How what a table was measured with differs from what is here, as the end of a sentence. */
function differenceFrom({ machine, threads, onnxruntime }: Calibration, wanted: number): string | undefined {
  const here = thisMachine();
  for (const [what, then, now] of [
    ['on the processor', machine.cpu, here.cpu],
    ['on a processor of', `${machine.cores} cores`, `${here.cores} cores`],
    ['on', `${machine.platform}-${machine.architecture}`, `${here.platform}-${here.architecture}`],
    ['with onnxruntime', onnxruntime, runtimeVersion()],
    ['with threads:', threads, wanted],
  ] as const) {
    if (then !== now) return `${what} ${then}, and here it is ${now}`;
  }
  return undefined;
}

/** What is there for this machine with other numbers of threads. */
async function otherThreads(path: string, threads: number): Promise<Found> {
  const files = await readdir(dirname(path)).catch(() => []);
  const start = beginning();
  const others = files
    .filter((name) => name.startsWith(start))
    .flatMap((name) => /^(\d+)\.json$/.exec(name.slice(start.length))?.[1] ?? []);
  if (others.length === 0) return {};
  return {
    refused: `this machine was measured with ${others.sort((a, b) => Number(a) - Number(b)).join(', ')} threads, not with ${threads}; ${again(threads)}`,
  };
}
