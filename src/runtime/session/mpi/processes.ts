/** @file The processes of a run, from the main thread: how they begin, meet, stop and fail together. */

import { once } from 'node:events';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { FailureError, RequestError } from '../../../ir/index.js';
import { ownFile } from '../../../own-files.js';
import { lives, type ProcessIdentity, processSchema, thisProcess } from '../../files/process-identity.js';
import { Board, boardStates } from './board.js';
import { launchedSize } from './environment.js';
import type { LastResort } from './last-resort.js';
import { type Mpi, openMpi } from './library.js';
import { type Collective, PeerFailure, Peers, type ProcessLink, waitedInVain } from './meeting.js';

/** Bytes in which a process introduces itself. */
const introduction = 1024;

/** Milliseconds of asking at every turn of the event loop, then one at a time. */
const eagerMs = 20;

const lookEveryMs = 100;

/** How long MPI may take to end, in ms. */
const leaveWithinMs = 3000;

/** How long a process that should end may take, in ms, before it is killed: a step can't be left. */
const endWithinMs = 4000;

/** One of the processes of a run. */
export class Processes {
  private meetings = 0;
  private step = 0;
  private isOver = false;
  /** Why the run has no future, found by watching. */
  private abandoned: string | undefined;
  private watch: NodeJS.Timeout | undefined;

  private constructor(
    private readonly mpi: Mpi,
    /** What the threads of sessions need. */
    readonly link: ProcessLink,
    private readonly peers: Peers,
  ) {}

  /**
   * Joins the processes that an MPI launcher has started.
   * @param timeout seconds to wait for others before giving up
   * @param hasNccl whether the card of this process can meet those of others; sums go through it where all can
   * @throws FailureError when no MPI library is found, or the launcher is another MPI's
   */
  static async start(timeout: number, hasNccl = false): Promise<Processes> {
    const mpi = openMpi();
    mpi.init();
    const [rank, size] = [mpi.rank(), mpi.size()];
    const launched = launchedSize();
    if (launched !== undefined && launched !== size) {
      throw new FailureError(
        `the launcher started ${launched} processes and ${mpi.version} (${mpi.path}) knows of ${size}: they are of different MPIs; name the launcher's library with DENSEC_MPI`,
      );
    }
    const me = thisProcess();
    const peers = (await gatherText(mpi, size, JSON.stringify(me))).map((text) =>
      processSchema.parse(JSON.parse(text)),
    );
    // The first process of each host makes the board of that host.
    const first = peers.findIndex(({ space }) => space === me.space);
    const made = first === rank ? Board.make() : undefined;
    const paths = await gatherText(mpi, size, made?.path ?? '');
    const board = Board.open(paths[first] ?? '', rank);
    const everyone = await gatherText(mpi, size, hasNccl ? 'nccl' : 'mpi');
    made?.remove();
    const collective: Collective = everyone.includes('mpi') ? 'mpi' : 'nccl';
    const link: ProcessLink = { library: mpi.path, board: board.file, rank, peers, timeout, collective };
    const processes = new Processes(mpi, link, new Peers(link));
    processes.watchLauncher();
    return processes;
  }

  get rank(): number {
    return this.link.rank;
  }

  get size(): number {
    return this.link.peers.length;
  }

  /** How many of the processes run on this host. */
  get onHost(): number {
    const { space } = this.link.peers[this.rank] as ProcessIdentity;
    return this.link.peers.filter((peer) => peer.space === space).length;
  }

  /** The place of this process among those of its host: the number of its card. */
  get placeOnHost(): number {
    const { space } = this.link.peers[this.rank] as ProcessIdentity;
    return this.link.peers.slice(0, this.rank).filter((peer) => peer.space === space).length;
  }

  /** What sums over the processes. */
  get collective(): Collective {
    return this.link.collective;
  }

  get mpiVersion(): string {
    return this.mpi.version;
  }

  /** Milliseconds that this process has spent in sums so far, for most waiting. */
  get waitedMs(): number {
    return this.peers.board.read(this.rank).waitedMs;
  }

  /**
   * Gathers numbers of all processes, by rank, each as many. Nobody goes on before all have come here.
   * @param step the step that this process is in, which others name where they wait for it
   * @throws PeerFailure when another has failed or ended; FailureError when one doesn't come in time
   */
  async gather(numbers: readonly number[], step = this.step): Promise<readonly (readonly number[])[]> {
    if (this.abandoned !== undefined) throw new FailureError(this.abandoned);
    this.meetings++;
    this.step = step;
    this.tell(boardStates.running);
    const from = new Uint8Array(Float64Array.from([...numbers, 0]).buffer);
    const to = new Uint8Array(new ArrayBuffer(from.length * this.size));
    const request = new BigInt64Array(new ArrayBuffer(16));
    this.mpi.startGather(from, to, request);
    const began = performance.now();
    let nextLook = began + lookEveryMs;
    while (!this.mpi.test(request)) {
      const now = performance.now();
      if (now >= nextLook) {
        nextLook = now + lookEveryMs;
        if (this.abandoned !== undefined) throw new FailureError(this.abandoned);
        this.peers.look(this.meetings, 'meetings', now - began);
      }
      await (now - began < eagerMs ? turn() : sleep(1));
    }
    const all = new Float64Array(to.buffer);
    const width = numbers.length + 1;
    return Array.from({ length: this.size }, (_, rank) => [...all.subarray(rank * width, (rank + 1) * width - 1)]);
  }

  /**
   * Looks after the others while a session opens or takes a step whose sums are between cards: those wait for ever for one
   * that has ended. Then the thread of the session can't be ended either, so `onStuck` is to tell the error and end the process.
   */
  async watched<T>(work: () => Promise<T>): Promise<T> {
    if (this.collective === 'mpi') return work();
    const began = performance.now();
    const watch = setInterval(() => {
      try {
        // In a step, all have come to as many meetings; who has ended there, has ended too early.
        this.peers.look(this.meetings, 'meetings', Math.max(performance.now() - began, 1001));
      } catch (error) {
        clearInterval(watch);
        this.onStuck(error);
      }
    }, lookEveryMs);
    try {
      return await work();
    } finally {
      clearInterval(watch);
    }
  }

  /** What `watched` does where others have ended; told by who started. */
  onStuck: (error: unknown) => void = (error) => {
    throw error;
  };

  /** What stands behind an error of a step: what became of the others, or what the kernel said. */
  explain(error: unknown): unknown {
    if (this.abandoned !== undefined) return new FailureError(this.abandoned);
    if (!(error instanceof FailureError)) return error;
    const at = error.message.indexOf(waitedInVain);
    if (at < 0) return error;
    return this.peers.failure() ?? new FailureError(error.message.slice(at + waitedInVain.length));
  }

  /** Whether an error concerns all and is told by another process. */
  isToldByAnother(error: unknown): boolean {
    return error instanceof PeerFailure && (error.isTold || !this.peers.tells);
  }

  /** Whether another process has told of its failure. */
  get hasFailedElsewhere(): boolean {
    return this.peers.failure()?.isTold === true;
  }

  /**
   * Tells the others that this process has failed: they end then, too. It must end itself soon.
   * @param code the exit code
   */
  fail(message: string, code: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.tell(boardStates.failed, code, message);
    this.endSoon();
  }

  /**
   * Leaves MPI, when all have come here. Libraries below it have been seen to wait there for each other for ever (MPICH 4.0
   * with UCX over TCP); nothing is left to do then, so the process ends with its exit code.
   */
  async finish(): Promise<void> {
    if (this.isOver) return;
    await this.gather([]);
    this.isOver = true;
    clearInterval(this.watch);
    const workerData: LastResort = { exitCode: Number(process.exitCode ?? 0), afterMs: leaveWithinMs };
    const lastResort = new Worker(ownFile('runtime/session/mpi/last-resort.js'), { workerData });
    await once(lastResort, 'online');
    this.mpi.finalize();
    await lastResort.terminate();
  }

  private tell(state: number, code = 0, message = ''): void {
    const { meetings, step } = this;
    this.peers.board.tellMain({ meetings, step, state, code }, message);
  }

  /** Ends with whoever started the processes: where that is killed, nobody is left to end these. */
  private watchLauncher(): void {
    const parent = process.ppid;
    const launcher = launcherIdentity();
    this.watch = setInterval(() => {
      if (this.isOver) return clearInterval(this.watch);
      const isGone = process.ppid !== parent || (launcher !== undefined && lives(launcher) === 'no');
      if (!isGone) return;
      this.abandoned = 'the launcher of this run has ended, so its processes end too; the last checkpoint is whole';
      this.fail(this.abandoned, 1);
    }, 500);
    this.watch.unref();
  }

  private endSoon(): void {
    clearInterval(this.watch);
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), endWithinMs).unref();
  }
}

/** The environment variable by which `train --processes` tells its processes who started them. */
export const launcherVariable = 'DENSEC_LAUNCHER';

function launcherIdentity(): ProcessIdentity | undefined {
  const text = process.env[launcherVariable];
  if (text === undefined || text === '') return undefined;
  try {
    return processSchema.parse(JSON.parse(text));
  } catch {
    throw new RequestError(`${launcherVariable} is ${JSON.stringify(text)}; only densec train --processes sets it`);
  }
}

async function gatherText(mpi: Mpi, size: number, text: string): Promise<string[]> {
  const from = new Uint8Array(introduction);
  from.set(Buffer.from(text).subarray(0, introduction - 1));
  const to = new Uint8Array(introduction * size);
  const request = new BigInt64Array(new ArrayBuffer(16));
  mpi.startGather(from, to, request);
  while (!mpi.test(request)) await sleep(1);
  return Array.from({ length: size }, (_, rank) => {
    const bytes = Buffer.from(to.subarray(rank * introduction, (rank + 1) * introduction));
    return bytes.subarray(0, bytes.indexOf(0)).toString('utf8');
  });
}
