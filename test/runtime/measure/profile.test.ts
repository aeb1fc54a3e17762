/** @file Reading a profile and summing it up: a small recorded one, with figures known by hand. */

import { describe, expect, it } from 'vitest';
import type { NodePlace } from '../../../src/runtime/measure/node-places.js';
import { summarizeProfile } from '../../../src/runtime/measure/profile.js';
import { parseProfile, readProfile } from '../../../src/runtime/measure/profile-reader.js';

const run = (ts: number, dur: number) => ({
  cat: 'Session',
  pid: 1,
  tid: 1,
  dur,
  ts,
  ph: 'X',
  name: 'model_run',
  args: {},
});
const kernel = (
  ts: number,
  dur: number,
  name: string,
  op: string,
  index: number,
  shapes: number[][],
  out: number[],
) => ({
  cat: 'Node',
  pid: 1,
  tid: 1,
  dur,
  ts,
  ph: 'X',
  name: `${name}_kernel_time`,
  args: {
    op_name: op,
    node_index: String(index),
    provider: 'CPUExecutionProvider',
    input_type_shape: shapes.map((float) => ({ float })),
    output_type_shape: [{ float: out }],
    thread_scheduling_stats: '',
  },
});

// Two runs of one model; the kernels of the second are twice as fast. Events are not in order, as in the runtime's files.
const oneRun = (at: number, pace: number) => [
  kernel(at + 60, 10 * pace, 'next.w', 'Sub', 3, [[4], [4]], [4]),
  kernel(
    at + 10,
    20 * pace,
    'features.conv1/conv2d',
    'Conv',
    0,
    [
      [1, 2, 2, 2],
      [2, 2, 1, 1],
    ],
    [1, 2, 2, 2],
  ),
  kernel(at + 35, 5 * pace, 'recompute/features.norm1/relu.2', 'Relu', 2, [[8]], [8]),
  kernel(at + 50, 5 * pace, 'backward/features.conv1/mul', 'Mul', 1, [[8], [8]], [8]),
  run(at, 100),
];
const events = [
  { cat: 'Session', pid: 1, tid: 1, dur: 9, ts: 1, ph: 'X', name: 'session_initialization', args: {} },
  ...oneRun(1000, 2),
  ...oneRun(2000, 1),
];
const text = JSON.stringify(events);

describe('parseProfile', () => {
  it('gives the kernels of each run in the order they ran', () => {
    const runs = parseProfile(text, 'p.json');
    expect(runs.map(({ kernels }) => kernels.map(({ index }) => index))).toEqual([
      [0, 2, 1, 3],
      [0, 2, 1, 3],
    ]);
    expect(runs[1]?.duration).toBe(100);
    expect(runs[1]?.kernels[0]).toEqual({
      name: 'features.conv1/conv2d',
      operator: 'Conv',
      index: 0,
      start: 2010,
      duration: 20,
      provider: 'CPUExecutionProvider',
      inputs: [
        { type: 'float', shape: [1, 2, 2, 2] },
        { type: 'float', shape: [2, 2, 1, 1] },
      ],
      outputs: [{ type: 'float', shape: [1, 2, 2, 2] }],
    });
  });

  it('refuses what is no profile', async () => {
    expect(() => parseProfile('{', 'p.json')).toThrow(/p\.json is not a profile/);
    expect(() => parseProfile('[{"cat": 3}]', 'p.json')).toThrow(/p\.json is not a profile/);
    await expect(readProfile('/nowhere/at/all')).rejects.toThrow(/cannot read/);
  });
});

describe('summarizeProfile', () => {
  const ceilings = { bytesPerSecond: 1e6, flopsPerSecond: 1e6 };
  const runs = parseProfile(text, 'p.json');
  const places = new Map<string, NodePlace>([
    ['features.conv1/conv2d', { phase: 'forward', scope: 'features.conv1' }],
    ['backward/features.conv1/mul', { phase: 'backward', scope: 'features.conv1' }],
    ['recompute/features.norm1/relu.2', { phase: 'recompute', scope: 'features.norm1' }],
    ['next.w', { phase: 'update', scope: '' }],
  ]);

  it('sums up a step: the mean over runs', () => {
    const report = summarizeProfile(runs, ceilings, places);
    // Kernels take 80 and 40 microseconds: 60 a step.
    expect(report.kernelMs).toBeCloseTo(0.06);
    expect(report.stepMs).toBeCloseTo(0.1);
    expect(report.total).toMatchObject({ kernels: 4, share: 1 });
  });

  it('groups by operator, phase and layer, the longest first', () => {
    const report = summarizeProfile(runs.slice(1), ceilings, places);
    expect(report.byOperator.map(({ name }) => name)).toEqual(['Conv', 'Sub', 'Relu', 'Mul']);
    expect(Object.fromEntries(report.byPhase.map(({ name, ms }) => [name, ms]))).toEqual({
      forward: 0.02,
      update: 0.01,
      recompute: 0.005,
      backward: 0.005,
    });
    const layer = report.byLayer.find(({ name }) => name === 'features.conv1');
    // Conv: 8 outputs of 2 products are 32 operations, 20 floats are 80 bytes. Mul: 8 operations, 24 floats.
    expect(layer).toMatchObject({ kernels: 2, flops: 40, bytes: 80 + 96 });
    // Moving the bytes is what takes longer: 80 and 96 microseconds.
    expect(layer?.leastMs).toBeCloseTo(0.176);
    expect(layer?.efficiency).toBeCloseTo(0.176 / 0.025);
    expect(layer?.bytesPerSecond).toBeCloseTo(176 / 25e-6);
    expect(layer?.flopsPerSecond).toBeCloseTo(40 / 25e-6);
    for (const groups of [report.byOperator, report.byPhase, report.byLayer]) {
      expect(groups.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    }
  });

  it('says of nodes whose place nobody knows that it is not known', () => {
    const { byPhase, byLayer } = summarizeProfile(runs, ceilings, new Map());
    expect([byPhase, byLayer].map((groups) => groups.map(({ name }) => name))).toEqual([
      ['(not known)'],
      ['(not known)'],
    ]);
  });

  it('is bound by arithmetic where moving the bytes is cheap', () => {
    const [total] = [summarizeProfile(runs.slice(1), { bytesPerSecond: 1e12, flopsPerSecond: 1e6 }, places).total];
    // 32 of Conv, 8 of Mul, 8 of Relu, 4 of Sub.
    expect(total.leastMs).toBeCloseTo(0.052);
  });

  it('refuses a profile in which nothing ran', () => {
    expect(() => summarizeProfile([{ duration: 3, kernels: [] }], ceilings, places)).toThrow(/nothing ran/);
  });
});
