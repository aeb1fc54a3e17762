/** @file The plain networks that PyTorch is compared at: their shapes, the table, and what is refused. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { PeersReport } from '../../bench/compare-peers.js';
import { plainSubject } from '../../bench/peer-subjects.js';
import { resnet18, resnet20, vgg } from '../../bench/plain-networks.js';
import { plainSection } from '../../bench/plain-section.js';
import { torchArguments } from '../../bench/torch-peer.js';
import { type Network, traceNetwork } from '../../src/builders/index.js';
import { elementCount } from '../../src/ir/index.js';

function parameters(network: Network): number {
  const own = traceNetwork(network).inputs.filter(({ role }) => role === 'parameter');
  return own.reduce((sum, { value }) => sum + elementCount(value.type.shape as number[]), 0);
}

describe('plain networks', () => {
  it("have as many parameters as PyTorch's", () => {
    expect(parameters(vgg())).toBe(307_946);
    expect(parameters(resnet20())).toBe(272_474);
    // torchvision's resnet18 has 11,689,512, of which 513,000 tell 1,000 classes apart.
    expect(parameters(resnet18())).toBe(11_689_512 - 513_000 + 5_130);
  });

  it('are told to PyTorch by name, at the same images', () => {
    const { same, network } = plainSubject('resnet18', 96);
    expect(network.inputShape).toEqual([3, 96, 96]);
    const flags = torchArguments({ plain: 'resnet18', imageSize: 96, batchSize: 4, steps: 2, threads: 1, seed: 0 });
    expect(same).toEqual({ plain: 'resnet18', imageSize: 96 });
    expect(flags.join(' ')).toBe('--network resnet18 --size 96 --batch 4 --steps 2 --threads 1 --seed 0');
  });
});

describe('plainSection', () => {
  it('has the rows of each network, ratios to PyTorch, and the command', () => {
    const facts = { batchSize: 64, steps: 5, rounds: 3, threads: 2, seed: 0, torch: '2.13.0' };
    const ours = { name: 'densec none', nodes: 90, predictedLivePeakBytes: 50e6, sessionMs: 12 };
    const none = { predictedLivePeakBytes: null, nodes: null, sessionMs: null };
    const report = {
      ...{ ...facts, network: 'vgg', inputShape: [3, 32, 32] },
      peers: [
        { ...none, name: 'PyTorch', stepMs: 100, peakGrowthBytes: 80e6, ratios: [] },
        {
          ...{ ...ours, stepMs: 150, peakGrowthBytes: 60e6 },
          ratios: [{ to: 'PyTorch', stepMs: 1.5, peakGrowthBytes: 0.75 }],
        },
        { ...ours, name: 'densec max', stepMs: null, peakGrowthBytes: null, ratios: [], failed: 'no memory' },
      ],
    } as unknown as PeersReport;
    const rows = plainSection([report]).split('\n');
    expect(rows[0]).toContain('`npm run bench:peers -- --plain --threads 2 --rounds 3 --steps 5`, PyTorch 2.13.0');
    const cells = (row = ''): string[] => row.split('|').map((cell) => cell.trim());
    expect(cells(rows[4])).toEqual(['', 'vgg, 64 × 32×32', 'PyTorch', '100', '', '80', '', '', '', '', '']);
    expect(cells(rows[5])).toEqual(['', '', '`none`', '150', '1.50', '60', '0.75', '50', '90', '12', '']);
    expect(cells(rows[6])?.slice(1, 4)).toEqual(['', '`max` (failed)', '']);
  });
});

describe('bench:peers', () => {
  const run = (...flags: string[]): Promise<unknown> =>
    promisify(execFile)(process.execPath, ['dist/bench/peers.js', ...flags]);

  it.each([
    [['--network', 'vgg', '--depth', '22'], /depth doesn't go with --network vgg/],
    [['--plain', '--batch-size', '8'], /batchSize doesn't go with --plain/],
    [['--network', 'alexnet'], /Allowed choices are vgg, resnet20, resnet18/],
    [['--plain', '--python', '/no/such/python'], /nothing to compare with: there is no \/no\/such\/python/],
  ])('refuses %j', async (flags, message) => {
    await expect(run(...flags)).rejects.toThrow(message);
  });
});
