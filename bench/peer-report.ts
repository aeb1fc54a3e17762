/** @file Sums up the rounds of all contestants: medians, and ratios pair by pair. */

import { medianOrNull, medianRatio } from '../src/runtime/measure/statistics.js';

/** What one process said. */
export interface PeerRound {
  /** Median milliseconds of its steps. */
  readonly stepMs: number;
  /** Bytes by which it grew in the steps; null where the system can't tell. */
  readonly peakGrowthBytes: number | null;
  /** Milliseconds to load the model; null for PyTorch, which loads none. */
  readonly sessionMs: number | null;
}

/** What is known of a contestant before it runs. */
export interface PeerFacts {
  readonly name: string;
  readonly predictedLivePeakBytes: number | null;
  readonly nodes: number | null;
}

/** Step and growth over another contestant's; null where one of them has none. */
export interface PeerRatio {
  readonly to: string;
  readonly stepMs: number | null;
  readonly peakGrowthBytes: number | null;
}

/** A contestant's line. */
export interface PeerRow extends PeerFacts {
  readonly stepMs: number | null;
  readonly peakGrowthBytes: number | null;
  readonly sessionMs: number | null;
  readonly ratios: readonly PeerRatio[];
  /** Why it did not run to the end. */
  readonly failed?: string;
}

/** A contestant with its rounds; those after a failure are missing. */
export interface PeerResult extends PeerFacts {
  readonly rounds: readonly PeerRound[];
  readonly failed?: string;
}

/** Names of those that all are compared with, where they ran. */
const references = ['PyTorch', 'PyTorch naive', 'PyTorch checkpointed', 'densec none'];

/** One line for each contestant; one that failed has no figures, since its rounds are not the others' rounds. */
export function peerRows(results: readonly PeerResult[]): PeerRow[] {
  const complete = (result: PeerResult): readonly PeerRound[] => (result.failed === undefined ? result.rounds : []);
  const others = results.filter((result) => references.includes(result.name) && complete(result).length > 0);
  return results.map((result) => {
    const { rounds: _, ...facts } = result;
    const rounds = complete(result);
    const figure = (name: keyof PeerRound, of = rounds): (number | null)[] => of.map((round) => round[name]);
    const medianOf = (name: keyof PeerRound): number | null => (rounds.length > 0 ? medianOrNull(figure(name)) : null);
    const ratio = (name: 'stepMs' | 'peakGrowthBytes', to: PeerResult): number | null =>
      rounds.length > 0 ? medianRatio(figure(name), figure(name, to.rounds)) : null;
    return {
      ...facts,
      stepMs: medianOf('stepMs'),
      peakGrowthBytes: medianOf('peakGrowthBytes'),
      sessionMs: medianOf('sessionMs'),
      ratios: others.map((to) => ({
        to: to.name,
        stepMs: ratio('stepMs', to),
        peakGrowthBytes: ratio('peakGrowthBytes', to),
      })),
    };
  });
}
