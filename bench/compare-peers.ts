/** @file PyTorch and our policies at the same network and batch, taking turns, each time in a fresh process. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DenseNetConfig } from '../src/builders/index.js';
import { compile } from '../src/compile.js';
import { DensecError, InternalError } from '../src/ir/index.js';
import { planMemory } from '../src/memory/plan.js';
import { type Bundle, writeBundle } from '../src/runtime/bundle/bundle.js';
import { measureRounds, type OnProgress, stepsContestant, summarize } from '../src/runtime/measure/rounds.js';
import { cpu } from '../src/runtime/session/devices.js';
import { describeChoice, type SessionChoice, sessionChoices } from '../src/runtime/session/session-choice.js';
import { policies } from './live-peaks.js';
import { type PeerFacts, type PeerResult, type PeerRound, type PeerRow, peerRows } from './peer-report.js';
import { type PeerSubject, requireSameLosses, type SameLosses } from './peer-subjects.js';
import { findTorch, measureTorch } from './torch-peer.js';

/** What to compare. */
export interface PeersOptions {
  readonly subject: PeerSubject;
  readonly batchSize: number;
  readonly steps: number;
  readonly rounds: number;
  readonly threads: number;
  readonly seed: number;
  /** The Python to run PyTorch with. */
  readonly python: string;
  readonly onProgress?: OnProgress;
  readonly onNote: (message: string) => void;
}

/** What came out. */
export interface PeersReport extends Omit<PeersOptions, 'subject' | 'python' | 'onProgress' | 'onNote'> {
  readonly network: string;
  /** (C, H, W) of an image. */
  readonly inputShape: readonly number[];
  /** The network's configuration, where it is a DenseNet. */
  readonly config?: DenseNetConfig;
  /** Losses of both sides from the same weights, where PyTorch has the network under our names. */
  readonly sameLosses?: SameLosses;
  /** Version of PyTorch; null where there is none. */
  readonly torch: string | null;
  /** Session options that ours ran with. */
  readonly session: SessionChoice;
  readonly peers: readonly PeerRow[];
}

/** Someone who takes turns. */
interface Peer extends PeerFacts {
  measure(): Promise<PeerRound>;
}

/**
 * Compares. Without PyTorch only ours run; whoever fails is left out from then on. Both are told to `onNote`.
 * @throws FailureError when both sides' losses tell that they are not the same network
 */
export async function comparePeers(options: PeersOptions): Promise<PeersReport> {
  const { python, onProgress, onNote, subject, ...facts } = options;
  const { network, config, same } = subject;
  const directory = await mkdtemp(join(tmpdir(), 'densec-peers-'));
  try {
    const torch = await findTorch(python);
    if ('missing' in torch) onNote(`PyTorch is left out: ${torch.missing}`);
    const { first, peers: ours } = await ownPeers(options, directory);
    const sameLosses = same && 'version' in torch && (await requireSameLosses(same, first, { ...options, directory }));
    const peers = [...('version' in torch ? torchPeers(options) : []), ...ours];
    const { reason: _, ...session } = sessionChoices.training;
    onNote(`ours run with ${describeChoice(session)}`);
    return {
      ...{ network: network.name, inputShape: network.inputShape },
      ...(config && { config }),
      ...facts,
      ...(sameLosses && { sameLosses }),
      torch: 'version' in torch ? torch.version : null,
      session,
      peers: peerRows(await measurePeers(peers, options)),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measurePeers(
  peers: readonly Peer[],
  { rounds, onProgress, onNote }: PeersOptions,
): Promise<PeerResult[]> {
  const failures = new Map<string, string>();
  const contestants = peers.map(({ name, measure }) => ({
    name,
    async measure(): Promise<PeerRound | undefined> {
      if (failures.has(name)) return undefined;
      try {
        return await measure();
      } catch (error) {
        if (!(error instanceof DensecError)) throw error;
        failures.set(name, error.message);
        onNote(`${name} is left out from here on: ${error.message}`);
        return undefined;
      }
    },
  }));
  const measured = await measureRounds(contestants, rounds, onProgress);
  return peers.map(({ measure: _, ...facts }, index) => {
    const failed = failures.get(facts.name);
    const complete = (measured[index] ?? []).filter((round) => round !== undefined);
    return { ...facts, rounds: complete, ...(failed !== undefined && { failed }) };
  });
}

function torchPeers({ subject, python, batchSize, steps, threads, seed }: PeersOptions): Peer[] {
  return Object.entries(subject.torch).map(([name, network]) => ({
    name,
    predictedLivePeakBytes: null,
    nodes: null,
    measure: () => measureTorch(python, { ...network, batchSize, steps, threads, seed }),
  }));
}

async function ownPeers(options: PeersOptions, directory: string): Promise<{ first: Bundle; peers: Peer[] }> {
  const { subject, batchSize, steps, threads, seed } = options;
  const { network, config } = subject;
  const peers: Peer[] = [];
  let first: Bundle | undefined;
  for (const remat of policies) {
    const compiled = compile(network, { remat, seed });
    const bundle = await writeBundle(join(directory, remat), network, compiled, { ...(config && { config }), seed });
    first ??= bundle;
    const request = { bundle: bundle.directory, batchSize, steps, seed, device: cpu, threads };
    const { measure } = stepsContestant(remat, { ...request, session: sessionChoices.training });
    peers.push({
      name: `densec ${remat}`,
      predictedLivePeakBytes: planMemory(compiled.schedules.training, batchSize).peakBytes,
      nodes: bundle.manifest.models.training.nodes,
      async measure() {
        const { stepMs, peakGrowthBytes, sessionMs } = summarize([await measure()]);
        return { stepMs: stepMs.median, peakGrowthBytes, sessionMs };
      },
    });
  }
  if (!first) throw new InternalError('there is no policy');
  return { first, peers };
}
