/** @file What a step's memory is for: kinds, layers and the sums that must come out. */

import { describe, expect, test } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { planMemory } from '../../src/memory/plan.js';
import { aliveAt, memoryKinds, type StepMemory, stepMemory } from '../../src/memory/step-memory.js';
import { stepMicroseconds, targetOf } from '../../src/targets/index.js';

const network = densenet({ blockConfig: [2, 2], growthRate: 4, imageSize: 8 });
const cpu = targetOf('cpu');

function memoryOf(remat: 'none' | 'efficient' | 'max', batchSize = 8): StepMemory {
  return stepMemory(compile(network, { remat }).schedules.training, cpu, batchSize);
}

describe('the memory of a step', () => {
  test.each(['none', 'efficient', 'max'] as const)('of %s adds up to what the plan says, at each node', (remat) => {
    const { schedules } = compile(network, { remat });
    const memory = stepMemory(schedules.training, cpu, 8);
    const plan = planMemory(schedules.training, 8);
    expect(memory.timeline).toEqual(plan.timeline);
    expect(memory).toMatchObject({ peakBytes: plan.peakBytes, peakAt: plan.peakAt });
    expect(memory.nodes.map(({ name }) => name)).toEqual(plan.order);
    const sums = memory.nodes.map((_, position) =>
      aliveAt(memory, position).reduce((sum, { bytes }) => sum + bytes, 0),
    );
    expect(sums).toEqual(plan.timeline);
    expect(aliveAt(memory, memory.peakAt).map(({ name, bytes }) => ({ name, bytes }))).toEqual(plan.tensors);
    const time = memory.nodes.reduce((sum, { microseconds }) => sum + microseconds, 0);
    expect(time).toBeCloseTo(stepMicroseconds(schedules.training.graph.nodes, cpu, 8), 6);
  });

  test('is state from end to end for what comes in, and until the end for what goes out', () => {
    const memory = memoryOf('max');
    const images = memory.buffers.find(({ name }) => name === 'images');
    expect(images).toMatchObject({ kind: 'state', from: 0, to: memory.nodes.length - 1, bytes: 4 * 8 * 3 * 64 });
    const next = memory.buffers.filter(({ name }) => name.startsWith('next.'));
    expect(next.length).toBeGreaterThan(0);
    for (const { kind, to } of next) expect([kind, to]).toEqual(['state', memory.nodes.length - 1]);
  });

  test('is kept where the forward pass made it and a later pass reads it, and nothing else is', () => {
    const memory = memoryOf('efficient');
    const backward = memory.nodes.findIndex(({ phase }) => phase === 'backward' || phase === 'recompute');
    for (const { kind, from, to, name } of memory.buffers) {
      const maker = memory.nodes[from]?.phase;
      if (kind === 'kept') expect([maker, to >= backward], name).toEqual(['forward', true]);
      if (kind === 'recomputed') expect(maker, name).toBe('recompute');
      if (kind === 'gradients') expect(maker, name).toBe('backward');
    }
  });

  test('has more recomputed and less kept by the policies that recompute', () => {
    const most = (memory: StepMemory, kind: string): number =>
      Math.max(
        ...memory.nodes.map((_, position) =>
          aliveAt(memory, position).reduce((sum, buffer) => sum + (buffer.kind === kind ? buffer.bytes : 0), 0),
        ),
      );
    const [none, efficient] = [memoryOf('none', 64), memoryOf('efficient', 64)];
    expect(most(efficient, 'kept')).toBeLessThan(0.7 * most(none, 'kept'));
    expect(most(efficient, 'recomputed')).toBeGreaterThan(1.5 * most(none, 'recomputed'));
    expect(new Set(none.buffers.map(({ kind }) => kind))).toEqual(new Set(memoryKinds));
  });

  test('names layers: a ReLU counts to the one before it', () => {
    const memory = memoryOf('none');
    const large = memory.buffers
      .filter(({ kind, bytes }) => kind === 'kept' && bytes >= 4 * 8 * 64)
      .filter(({ name }) => !name.startsWith('state/'));
    expect(large.length).toBeGreaterThan(3);
    for (const { layer, name } of large) expect(layer, name).toMatch(/^(features\.|classifier)/);
  });

  test('asks for a batch size', () => {
    expect(() => memoryOf('none', 0)).toThrow('batch size');
  });
});
