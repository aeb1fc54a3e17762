/** @file Training with several processes: how the command line starts them, and how each takes its part. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailureError, RequestError } from '../src/ir/index.js';
import { thisProcess } from '../src/runtime/files/process-identity.js';
import { missingNccl } from '../src/runtime/session/cuda/nccl.js';
import { type Device, parseDevice } from '../src/runtime/session/devices.js';
import { launchedSize } from '../src/runtime/session/mpi/environment.js';
import { findMpi, isOpenMpiLauncher, mpiLauncher, mpiRemedy } from '../src/runtime/session/mpi/library.js';
import type { Collective } from '../src/runtime/session/mpi/meeting.js';
import { launcherVariable, Processes } from '../src/runtime/session/mpi/processes.js';
import { exitAtOnce } from '../src/runtime/session/ort/native.js';
import { exitCodeOf, ToldError, tellError } from './errors.js';
import { watchInterrupts } from './interrupts.js';
import { note, silence } from './output.js';

/** Flags of a run of several processes. */
export interface ProcessFlags {
  readonly device: string;
  readonly processes?: number;
  readonly syncBatchNorm?: boolean;
  readonly timeout: number;
  readonly collective?: Collective;
}

/** Whether the processes that are asked for have yet to be started. */
export function mustLaunch({ processes = 1 }: ProcessFlags): boolean {
  return processes > 1 && launchedSize() === undefined;
}

/**
 * Joins the processes that an MPI launcher started together with this one; nothing where there are no others.
 * @throws RequestError for what several processes can't do
 */
export async function joinProcesses(flags: ProcessFlags): Promise<Processes | undefined> {
  const size = launchedSize() ?? 1;
  if (flags.processes !== undefined && flags.processes !== size && size > 1) {
    throw new RequestError(
      `the launcher started ${size} processes, but --processes ${flags.processes} is given; leave the flag out`,
    );
  }
  if (size === 1) return undefined;
  refuseDevices(flags);
  const missing = flags.device === 'cuda' && flags.collective !== 'mpi' ? missingNccl() : 'none is asked for';
  const processes = await Processes.start(flags.timeout, missing === undefined);
  if (processes.rank > 0) silence();
  processes.onStuck = (error) => void failTogether(processes, error).catch((told) => exitAtOnce(exitCodeOf(told)));
  if (flags.device !== 'cuda' || flags.collective === 'mpi' || processes.collective === 'nccl') return processes;
  const reason = missing ?? 'another process has no NCCL';
  if (flags.collective === 'nccl') return failTogether(processes, new FailureError(reason));
  if (flags.syncBatchNorm) {
    const refused = `--sync-batch-norm on cards takes hundreds of small sums, which only NCCL makes: ${reason}`;
    return failTogether(processes, new RequestError(refused));
  }
  note(`sums over the processes go through the host: ${reason}`);
  return processes;
}

/** @throws RequestError for devices and sums that several processes can't have */
function refuseDevices({ device, collective, syncBatchNorm }: ProcessFlags): void {
  const { target } = parseDevice(device);
  if (target === 'webgpu') {
    throw new RequestError(
      'several processes train on the CPU or on NVIDIA cards, not on webgpu; leave out --device, or train in one process',
    );
  }
  if (target === 'cuda' && device !== 'cuda') {
    throw new RequestError(
      `each process takes the card of its place on the host, so ${device} is none for all; give --device cuda, and choose cards with CUDA_VISIBLE_DEVICES`,
    );
  }
  if (target === 'cpu' && collective === 'nccl') {
    throw new RequestError('--collective nccl sums between NVIDIA cards; add --device cuda, or leave it out');
  }
  if (target === 'cuda' && collective === 'mpi' && syncBatchNorm) {
    throw new RequestError(
      '--sync-batch-norm on cards takes hundreds of small sums, which only NCCL makes; leave out --collective mpi or --sync-batch-norm',
    );
  }
}

/** The device of this process: on cards, that of its place among the processes of its host. */
export function deviceOf(name: string, processes: Processes | undefined): Device {
  const device = parseDevice(name);
  return processes && device.target === 'cuda' ? { ...device, index: processes.placeOnHost } : device;
}

/**
 * Ends what one of several processes does in vain: tells the others, and people, once.
 * @throws ToldError always
 */
export async function failTogether(processes: Processes, error: unknown): Promise<never> {
  const code = exitCodeOf(error);
  if (processes.isToldByAnother(error)) {
    // A launcher ends all processes with the first that ends: the one that tells goes first.
    await sleep(1000);
    throw new ToldError(code);
  }
  // What all find wrong is told once.
  await sleep(Math.min(1000, 100 * processes.rank));
  if (processes.hasFailedElsewhere) throw new ToldError(code);
  tellError(error, processes.rank > 0 ? `process ${processes.rank}: ` : '');
  processes.fail(error instanceof Error ? error.message : String(error), code);
  throw new ToldError(code);
}

/** Calls back when the launcher passes on that the run is to stop; the first process hears it. */
export function onLauncherStop(stop: () => void): void {
  if (process.env[launcherVariable] === undefined) return;
  process.stdin.on('data', (text: Buffer) => {
    if (text.includes('stop')) stop();
  });
  (process.stdin as typeof process.stdin & { unref?(): void }).unref?.();
}

/**
 * Starts this very command once for each process, by the MPI that is installed, and waits for its end.
 * @returns the exit code
 * @throws FailureError when there is no MPI
 */
export async function launchProcesses(flags: ProcessFlags): Promise<number> {
  refuseDevices(flags);
  const mpi = findMpi();
  const launcher = mpiLauncher();
  if (launcher === undefined) {
    throw new FailureError(`${mpi.version} has no mpiexec in the PATH, which starts the processes; ${mpiRemedy}`);
  }
  // More processes than cores are the user's choice; threads are bound by nobody.
  const options = isOpenMpiLauncher(launcher) ? ['--oversubscribe', '--bind-to', 'none'] : [];
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  note(`starting ${flags.processes} processes by ${launcher} (${mpi.version})`);
  const child = spawn(launcher, [...options, '-n', String(flags.processes), ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Ctrl-C in a terminal reaches a whole group: what the processes hear of it is decided here.
    detached: true,
    env: { ...process.env, DENSEC_MPI: mpi.path, [launcherVariable]: JSON.stringify(thisProcess()) },
  });
  child.stdin.on('error', () => undefined);
  const stopWatching = watchInterrupts(
    () => child.stdin.write('stop\n'),
    () => child.kill('SIGKILL'),
  );
  const told = new Told();
  createInterface({ input: child.stderr }).on('line', (line) => told.line(line, process.stderr));
  createInterface({ input: child.stdout }).on('line', (line) => told.line(line, process.stdout));
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.on('error', (error) => reject(new FailureError(`${launcher} can't be started: ${error.message}`)));
    child.on('close', (code, signal) => resolve(code ?? signal ?? 1));
  });
  try {
    return told.exitCode(await ended);
  } finally {
    stopWatching();
  }
}

/** What the processes and their launcher write. */
class Told {
  private isError = false;
  /** What an MPI says of a process that ended badly. */
  private readonly noise: string[] = [];

  line(line: string, to: NodeJS.WriteStream): void {
    if (isNoise.test(line)) {
      this.noise.push(line);
      return;
    }
    if (to === process.stderr && /^(\S*)error:/.test(line)) this.isError = true;
    to.write(`${line}\n`);
  }

  exitCode(end: number | NodeJS.Signals): number {
    if (end === 0 || end === 130) return end;
    if (this.isError) return end === 2 ? 2 : 1;
    const [said] = this.noise.flatMap((line) => /EXIT (?:STRING|CODE): (.+)$/.exec(line)?.[1] ?? []).reverse();
    throw new FailureError(
      `a process of the run was ended from outside (${said ?? `its launcher ended with ${end}`}), and the others with it; the last checkpoint is whole: go on with the same command and --resume`,
    );
  }
}

const isNoise =
  /^=+$|^= {3}|^YOUR APPLICATION TERMINATED|^This typically refers|^Please see the FAQ|^\[(mpiexec|proxy|cli)|^-{10,}$|^$/;
