/** @file Waiting for other processes: who is late, who has ended, who has failed, and when to give up. */

import { FailureError } from '../../../ir/index.js';
import { lives, type ProcessIdentity } from '../../files/process-identity.js';
import { Board, type BoardRecord, boardStates } from './board.js';

/** What the threads of a process must know to meet the other processes of its run. */
export interface ProcessLink {
  /** Path of the MPI library. */
  readonly library: string;
  /** The file of the host's board. */
  readonly board: number;
  readonly rank: number;
  /** Every process of the run, by rank. */
  readonly peers: readonly ProcessIdentity[];
  /** How long to wait for others, in seconds. */
  readonly timeout: number;
  /** What sums over the processes: MPI on the host, or NCCL between their cards. */
  readonly collective: Collective;
}

/** What sums over processes. */
export type Collective = 'mpi' | 'nccl';

/** Another process ended this one's run. */
export class PeerFailure extends FailureError {
  constructor(
    message: string,
    /** Whether that process has told why. */
    readonly isTold: boolean,
    /** With which exit code it ends; undefined where it was ended. */
    readonly code?: number,
  ) {
    super(message);
  }
}

/** What begins the message of a sum that others didn't come to, behind what the runtime puts before it. */
export const waitedInVain = 'waited in vain: ';

/** The processes of a run, as one of them sees the others. */
export class Peers {
  readonly board: Board;
  private readonly isSeen: readonly boolean[];

  constructor(private readonly link: ProcessLink) {
    this.board = new Board(link.board, link.rank);
    const { space } = link.peers[link.rank] as ProcessIdentity;
    this.isSeen = link.peers.map((peer) => peer.space === space);
  }

  /** Whether all others of this host have come as far. */
  areHere(count: number, of: 'sums' | 'meetings'): boolean {
    return this.link.peers.every((_, rank) => !this.isSeen[rank] || this.board.read(rank)[of] >= count);
  }

  /**
   * Looks after the others.
   * @throws PeerFailure when one of them has failed or ended; FailureError when the time is over
   */
  look(count: number, of: 'sums' | 'meetings', waitedMs: number): void {
    const { link, isSeen, board } = this;
    const others: { readonly rank: number; readonly record: BoardRecord }[] = [];
    for (const [rank, peer] of link.peers.entries()) {
      if (!isSeen[rank]) continue;
      const record = board.read(rank);
      if (record.state === boardStates.failed) throw failureOf(rank, record);
      if (rank === link.rank) continue;
      const hasEnded = record.state === boardStates.ended || lives(peer) === 'no';
      if (hasEnded && (record[of] < count || waitedMs > 1000)) {
        throw new PeerFailure(`process ${rank} (${this.nameOf(rank)}) has ended, ${progressOf(record)}`, false);
      }
      others.push({ rank, record });
    }
    if (waitedMs < 1000 * link.timeout) return;
    const unseen = isSeen.includes(false) ? ['perhaps one on another host'] : [];
    const late = others.filter(({ record }) => record[of] < count);
    // Those that have come may have stopped in the middle of the transfer.
    const names = (late.length > 0 || unseen.length > 0 ? late : others).map(
      ({ rank, record }) => `process ${rank} (${this.nameOf(rank)}), ${progressOf(record)}`,
    );
    throw new FailureError(
      `process ${link.rank} has waited ${link.timeout} s for ${[...names, ...unseen].join('; ')}; look why it is slow, or wait longer with --timeout`,
    );
  }

  /** Why a wait was given up, as the others have told it; undefined where nothing is known of them. */
  failure(): PeerFailure | undefined {
    try {
      this.look(Number.POSITIVE_INFINITY, 'sums', 0);
      return undefined;
    } catch (error) {
      return error instanceof PeerFailure ? error : undefined;
    }
  }

  /** Whether this is the process that tells what concerns all: the first that lives. */
  get tells(): boolean {
    return (
      this.link.peers.findIndex((peer, rank) => rank === this.link.rank || lives(peer) !== 'no') === this.link.rank
    );
  }

  private nameOf(rank: number): string {
    const { pid, host } = this.link.peers[rank] as ProcessIdentity;
    return `pid ${pid} on ${host}`;
  }
}

function failureOf(rank: number, { message, code }: BoardRecord): PeerFailure {
  return new PeerFailure(`process ${rank} failed: ${message}`, true, code);
}

function progressOf({ step, sums }: BoardRecord): string {
  return sums === 0 ? 'before its first step' : `in step ${step + 1}`;
}
