/** @file The comparison with PyTorch: who is compared with whom, and what happens when one can't run. */

import { describe, expect, it } from 'vitest';
import { comparePeers } from '../../bench/compare-peers.js';
import { type PeerResult, peerRows } from '../../bench/peer-report.js';
import { denseNetSubject } from '../../bench/peer-subjects.js';
import { findTorch, measureTorch } from '../../bench/torch-peer.js';
import { denseNetConfig } from '../../src/builders/index.js';
import { FailureError } from '../../src/ir/index.js';

const config = denseNetConfig({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });
const noPython = '/no/such/python';

describe('peerRows', () => {
  const peer = (name: string, rounds: [number, number | null][], failed?: string): PeerResult => ({
    name,
    nodes: null,
    predictedLivePeakBytes: null,
    rounds: rounds.map(([stepMs, peakGrowthBytes]) => ({ stepMs, peakGrowthBytes, sessionMs: null })),
    ...(failed !== undefined && { failed }),
  });

  it('takes medians, and ratios within each round to PyTorch and to none', () => {
    const rows = peerRows([
      peer('PyTorch naive', [
        [100, 1000],
        [300, 1000],
        [200, 1000],
      ]),
      peer('densec none', [
        [90, 500],
        [270, 500],
        [190, 500],
      ]),
      peer('densec max', [
        [99, 100],
        [297, 110],
        [100, 90],
      ]),
    ]);
    expect(rows[2]).toMatchObject({ stepMs: 100, peakGrowthBytes: 100, sessionMs: null });
    expect(rows[2]?.ratios).toEqual([
      { to: 'PyTorch naive', stepMs: 0.99, peakGrowthBytes: 0.1 },
      { to: 'densec none', stepMs: 1.1, peakGrowthBytes: 0.2 },
    ]);
    expect(rows[0]?.ratios[0]).toEqual({ to: 'PyTorch naive', stepMs: 1, peakGrowthBytes: 1 });
  });

  it('has no figures for one that failed, and compares nobody with it', () => {
    const rows = peerRows([peer('PyTorch naive', [[100, 1000]], 'out of memory'), peer('densec none', [[90, null]])]);
    expect(rows[0]).toMatchObject({ stepMs: null, peakGrowthBytes: null, failed: 'out of memory' });
    expect(rows[1]?.ratios).toEqual([{ to: 'densec none', stepMs: 1, peakGrowthBytes: null }]);
  });
});

describe('comparePeers', () => {
  it('goes on without Python, and says so', async () => {
    const notes: string[] = [];
    const request = { subject: denseNetSubject(config), batchSize: 2, steps: 1, rounds: 1, threads: 1, seed: 0 };
    const report = await comparePeers({ ...request, python: noPython, onNote: (note) => notes.push(note) });
    expect(notes[0]).toMatch(/PyTorch is left out: there is no \/no\/such\/python/);
    expect(report.torch).toBeNull();
    expect(report.peers.map(({ name }) => name)).toEqual(['densec none', 'densec efficient', 'densec max']);
    for (const { stepMs, nodes, predictedLivePeakBytes, sessionMs, ratios } of report.peers) {
      expect(Math.min(stepMs ?? 0, nodes ?? 0, predictedLivePeakBytes ?? 0, sessionMs ?? 0)).toBeGreaterThan(0);
      expect(ratios.map(({ to }) => to)).toEqual(['densec none']);
    }
  });

  it('says why a Python is of no use', async () => {
    // Node stands in for a Python without PyTorch: it knows no `import torch`.
    expect(await findTorch(process.execPath)).toEqual({ missing: expect.stringMatching(/pip install torch/) });
    const request = { config, efficient: false, batchSize: 2, steps: 1, threads: 1, seed: 0 };
    await expect(measureTorch(noPython, request)).rejects.toThrow(FailureError);
  });
});
