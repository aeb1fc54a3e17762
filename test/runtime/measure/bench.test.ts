/** @file Rounds and what they are summed up to; a measurement in a process of its own. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { resolveLoss } from '../../../src/builders/losses/index.js';
import { compile } from '../../../src/compile.js';
import { writeBundle } from '../../../src/runtime/bundle/bundle.js';
import { bench } from '../../../src/runtime/measure/bench.js';
import type { StepsMeasurement } from '../../../src/runtime/measure/protocol.js';
import { randomBatch } from '../../../src/runtime/measure/random-batch.js';
import { compareRounds, measureRounds, summarize } from '../../../src/runtime/measure/rounds.js';
import { runChild } from '../../../src/runtime/measure/run-child.js';
import { median, medianOrNull, medianRatio } from '../../../src/runtime/measure/statistics.js';
import { cpu } from '../../../src/runtime/session/devices.js';
import { sessionChoices } from '../../../src/runtime/session/session-choice.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();

describe('statistics', () => {
  it('takes medians, and ratios pair by pair', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(() => median([])).toThrow(/internal/);
    expect(medianOrNull([1, null])).toBeNull();
    // The machine was ten times slower in the second round: the pairs agree nonetheless.
    expect(medianRatio([1, 10, 3], [2, 20, 6])).toBe(0.5);
    expect(medianRatio([1], [0])).toBeNull();
    expect(medianRatio([null], [1])).toBeNull();
  });
});

describe('rounds', () => {
  const round = (stepMs: number[], peakGrowthBytes: number | null, sessionMs: number): StepsMeasurement => ({
    stepMs,
    peakGrowthBytes,
    sessionMs,
    losses: [2.5, 2],
    arena: { peakBytes: 100, reservedBytes: 200 },
    runtime: { api: 'c', version: '1.30.0' },
  });

  it('take turns', async () => {
    const order: string[] = [];
    const done: string[] = [];
    const contestant = (name: string) => ({
      name,
      measure: async () => order.push(name),
    });
    await measureRounds([contestant('a'), contestant('b')], 2, (count, total, what) => {
      done.push(`${count}/${total} ${what}`);
    });
    expect(order).toEqual(['a', 'b', 'a', 'b']);
    expect(done.at(-1)).toBe('4/4 b');
  });

  it('leave out the first step where there are several', () => {
    const summary = summarize([
      round([90, 1, 2, 3], 100, 5),
      round([80, 5, 6, 7], 200, 7),
      round([70, 3, 4, 5], 150, 6),
    ]);
    expect(summary).toEqual({
      stepMs: { median: 4, min: 1, max: 7 },
      peakGrowthBytes: 150,
      sessionMs: 6,
      firstLoss: 2.5,
      arena: { peakBytes: 100, reservedBytes: 200 },
      runtime: { api: 'c', version: '1.30.0' },
    });
    expect(summarize([round([90], null, 5)])).toMatchObject({ stepMs: { median: 90 }, peakGrowthBytes: null });
  });

  it('compare within a round', () => {
    const a = [round([9, 1], 10, 4), round([9, 10], 20, 4)];
    const b = [round([9, 2], 40, 2), round([9, 20], 80, 2)];
    expect(compareRounds(a, b)).toEqual({ stepMs: 0.5, peakGrowthBytes: 0.25, sessionMs: 2 });
    expect(compareRounds([round([1], null, 1)], [round([1], 5, 1)]).peakGrowthBytes).toBeNull();
  });
});

describe('randomBatch', () => {
  it('is normalized noise in the shape of the network, the same for the same seed', () => {
    const input = { inputShape: [3, 16, 16], classes: 5, loss: resolveLoss() };
    const { images, labels } = randomBatch(input, 8, 1);
    expect([images.shape, labels.shape]).toEqual([[8, 3, 16, 16], [8]]);
    const mean = images.data.reduce((sum, x) => sum + x, 0) / images.data.length;
    const square = images.data.reduce((sum, x) => sum + x * x, 0) / images.data.length;
    expect(mean).toBeCloseTo(0, 1);
    expect(square).toBeCloseTo(1, 1);
    expect([...labels.data].every((label) => label >= 0n && label < 5n)).toBe(true);
    expect(randomBatch(input, 8, 1)).toEqual({ images, labels });
    expect(randomBatch(input, 8, 2).images).not.toEqual(images);
  });
});

describe('a measurement', () => {
  const network = densenet({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });

  it('has a process of its own, and says how that ended when it fails', async () => {
    await writeBundle(path('net'), network, compile(network), { config: network.config });
    const { reason: _, ...session } = sessionChoices.training;
    const request = {
      kind: 'steps',
      bundle: path('net'),
      batchSize: 4,
      steps: 3,
      seed: 1,
      device: cpu,
      threads: 1,
    } as const;
    const measured = await runChild({ ...request, session });
    expect(measured.stepMs).toHaveLength(3);
    expect(measured.losses).toHaveLength(3);
    // The same batch again and again is learnt: these are steps of training.
    expect(measured.losses[2]).toBeLessThan(measured.losses[0] ?? 0);
    const linux = process.platform === 'linux';
    expect(linux ? Number(measured.peakGrowthBytes) > 0 : measured.peakGrowthBytes === null).toBe(true);
    await expect(runChild({ ...request, session, bundle: path('none') })).rejects.toThrow(/none is not a bundle/);
  });

  it('measures the ceilings', async () => {
    const ceilings = await runChild({ kind: 'ceilings', device: cpu, threads: 1 });
    expect(ceilings.bytesPerSecond).toBeGreaterThan(0);
    expect(ceilings.flopsPerSecond).toBeGreaterThan(0);
  });

  it("works for a bundle whose peak can't be predicted: of one's own network, from before plans were kept", async () => {
    const notes: string[] = [];
    const { directory } = await writeBundle(path('own'), network, compile(network));
    const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Record<string, unknown>;
    const { plan: _, forward: __, ...old } = manifest;
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ ...old, formatVersion: 1 }));
    const options = {
      batchSize: 2,
      steps: 1,
      rounds: 1,
      seed: 0,
      threads: 1,
      onNote: (note: string) => notes.push(note),
    };
    const report = await bench(path('own'), options);
    expect(report.predictedLivePeakBytes).toBeNull();
    expect(report.stepMs.median).toBeGreaterThan(0);
    expect(notes.join()).toMatch(
      /predicted live peak is not available: .*of format 1, which keeps no network of one's own/,
    );
  });
});
