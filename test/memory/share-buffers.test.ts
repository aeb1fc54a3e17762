/** @file Buffers are taken over only by later ones of their type, and only where that leaves the peak as it is. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bufferNumbers, type ValueTypes } from '../../src/memory/buffers.js';
import { shareBuffers } from '../../src/memory/share-buffers.js';
import { memoryNode, type WrittenNode } from '../helpers/memory-node.js';

/** Programs that run as written, over `x`; small values of 1 or 2 bytes a sample, now and then one of 200. */
const programs = fc
  .array(fc.record({ pick: fc.nat(1000), late: fc.boolean(), bytes: fc.constantFrom(1, 1, 2, 200) }), {
    minLength: 2,
    maxLength: 60,
    size: 'max',
  })
  .map((steps) => {
    const bytes = new Map<string, number>([['x', 4]]);
    const executed = steps.map(({ pick, late, bytes: own }, index): WrittenNode => {
      const known = [...bytes.keys()];
      const from = late ? Math.max(0, known.length - 3) : 0;
      const input = known[from + (pick % (known.length - from))] as string;
      bytes.set(`v${index}`, own);
      return memoryNode('Exp', [input], [`v${index}`]);
    });
    const values: ValueTypes<string> = {
      typeOf: (name) => `f32[N, ${bytes.get(name)}]`,
      bytesOf: (name) => bytes.get(name) ?? 0,
      fixed: new Set(['x', `v${steps.length - 1}`]),
    };
    return { executed, values };
  });

/** When each value is first written and last read. */
function lifetimes(executed: readonly WrittenNode[]): ReadonlyMap<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  for (const [index, { inputs, outputs }] of executed.entries()) {
    for (const name of outputs) found.set(name, [index, index]);
    for (const name of inputs as readonly string[]) found.set(name, [found.get(name)?.[0] ?? -1, index]);
  }
  return found;
}

/** The most bytes of buffers that exist at once, each from its first value's birth to its last one's end. */
function peakOf(
  executed: readonly WrittenNode[],
  numbers: ReadonlyMap<string, number>,
  values: ValueTypes<string>,
): number {
  const spans = new Map<number, { from: number; to: number; bytes: number }>();
  const lives = lifetimes(executed);
  for (const [name, number] of numbers) {
    const [from, to] = lives.get(name) as readonly [number, number];
    if (values.fixed.has(name)) continue;
    const span = spans.get(number) ?? { from, to, bytes: values.bytesOf(name) };
    spans.set(number, { ...span, from: Math.min(span.from, from), to: Math.max(span.to, to) });
  }
  return Math.max(
    0,
    ...executed.map((_, at) =>
      [...spans.values()].reduce((sum, { from, to, bytes }) => sum + (from <= at && at <= to ? bytes : 0), 0),
    ),
  );
}

describe('shared buffers', () => {
  it('never overlap, differ in type or raise the peak', () => {
    let shared = 0;
    fc.assert(
      fc.property(programs, ({ executed, values }) => {
        const own = bufferNumbers(executed, values);
        const numbers = shareBuffers(executed, own, values);
        const lives = lifetimes(executed);
        const byNumber = new Map<number, string[]>();
        for (const [name, number] of numbers) byNumber.set(number, [...(byNumber.get(number) ?? []), name]);
        for (const names of byNumber.values()) {
          shared += names.length - 1;
          expect(new Set(names.map((name) => values.typeOf(name))).size).toBe(1);
          const spans = names.map((name) => lives.get(name) as readonly [number, number]).sort((a, b) => a[0] - b[0]);
          for (const [index, [from]] of spans.entries()) {
            const before = spans[index - 1];
            if (before) expect(before[1]).toBeLessThan(from);
          }
        }
        expect(peakOf(executed, numbers, values)).toBeLessThanOrEqual(peakOf(executed, own, values));
      }),
      { seed: Number(process.env.DENSEC_SEED ?? 20_240_817), numRuns: process.env.DENSEC_LONG ? 5000 : 300 },
    );
    expect(shared).toBeGreaterThan(100);
  });

  it.each([
    ['soon after', 2, true],
    ['long after', 20, false],
  ])('hold a large one that is wanted again %s, or not', (_, gap, held) => {
    const between = Array.from({ length: gap }, (_, index) => `small${index}`);
    // `other` makes room: what dies behind it may be held below the peak that it sets.
    const names = ['large', 'other', ...between, 'again', 'end'];
    const executed = names.map((name, index): WrittenNode => {
      return memoryNode('Exp', [names[index - 1] ?? 'x'], [name]);
    });
    const values: ValueTypes<string> = {
      typeOf: (name) => (name === 'large' || name === 'again' ? 'f32[N, 200]' : `f32[N, ${name}]`),
      bytesOf: (name) => (name === 'other' ? 900 : name === 'large' || name === 'again' ? 200 : 0),
      fixed: new Set(['x', 'end']),
    };
    const numbers = shareBuffers(executed, bufferNumbers(executed, values), values);
    expect(numbers.get('large') === numbers.get('again')).toBe(held);
  });
});
