/** @file The model of the runtime's order against its profile; DENSEC_LONG=1 tries many more graphs. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Graph, GraphBuilder, type Shape, type Value } from '../../src/ir/index.js';
import { executionOrder } from '../../src/memory/execution-order.js';
import { type Program, programOf, toModel } from '../../src/onnx/index.js';
import { type Feeds, ndArray } from '../helpers/evaluate.js';
import { type Level, levels, type ProfiledNode, profiledRun } from '../helpers/profile.js';

const options = {
  seed: Number(process.env.DENSEC_SEED ?? 20_240_817),
  numRuns: process.env.DENSEC_LONG ? 400 : 30,
};
const timeout = process.env.DENSEC_LONG ? 3_600_000 : 60_000;

const f32 = (...shape: Shape) => ({ dtype: 'float32', shape }) as const;

/** A node made of earlier values, chosen by numbers that are taken modulo how many fit. */
interface Step {
  readonly kind: 'add' | 'mul' | 'relu' | 'split' | 'concat';
  readonly picks: readonly [number, number];
  /** Whether the last values are preferred, which makes graphs deep instead of wide. */
  readonly late: boolean;
}

interface DagSpec {
  readonly steps: readonly Step[];
  readonly outputs: readonly number[];
}

const dagSpecs: fc.Arbitrary<DagSpec> = fc.record({
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom('add' as const, 'mul' as const, 'relu' as const, 'split' as const, 'concat' as const),
      picks: fc.tuple(fc.nat(1000), fc.nat(1000)),
      late: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40, size: 'max' },
  ),
  outputs: fc.array(fc.nat(1000), { minLength: 1, maxLength: 4 }),
});

/** A graph over two inputs; what no node and no output reads is left as it is. */
function dagOf({ steps, outputs }: DagSpec): Graph {
  const builder = new GraphBuilder('dag');
  const values = ['x', 'y'].map((name) => builder.input(f32('N', 4), { name, role: 'batch' }));
  const inputs = values.length;
  const pick = (choice: number, late: boolean, width?: number): Value => {
    const fitting = values.filter(({ type }) => width === undefined || type.shape[1] === width);
    const from = late ? Math.max(0, fitting.length - 3) : 0;
    return fitting[from + (choice % (fitting.length - from))] as Value;
  };
  for (const { kind, picks, late } of steps) {
    const a = pick(picks[0], late);
    const width = a.type.shape[1] as number;
    if (kind === 'relu') values.push(builder.emit('relu', [a], {}));
    else if (kind === 'split' && width > 1) {
      values.push(...builder.emitAll('split', [a], { axis: 1, sizes: [1, width - 1] }));
    } else if (kind === 'concat') values.push(builder.emit('concat', [a, pick(picks[1], late)], { axis: 1 }));
    else values.push(builder.emit(kind === 'mul' ? 'mul' : 'add', [a, pick(picks[1], late, width)], {}));
  }
  const results = new Set(outputs.map((choice) => values[inputs + (choice % (values.length - inputs))] as Value));
  return builder.finish([...results].map((value, index) => ({ name: `result${index}`, role: 'result', value })));
}

const feeds: Feeds = new Map(
  ['x', 'y'].map((name) => [name, ndArray([2, 4], [1, -0.5, 0.25, 0, 0.5, -1, 0.125, 0.75])]),
);

/** Names of nodes in the order that is predicted for a program. */
function predictedOrder(program: Program): readonly string[] {
  return executionOrder(program).map((index) => program.nodes[index]?.name ?? '');
}

const namesOf = (order: readonly ProfiledNode[]): readonly string[] => order.map(({ name }) => name);

describe('the predicted order', () => {
  it(
    'is the runtime’s for random graphs at the level disabled',
    () =>
      fc.assert(
        fc.asyncProperty(dagSpecs, async (spec) => {
          const graph = dagOf(spec);
          const { order } = await profiledRun(graph, feeds, 'disabled');
          expect(predictedOrder(programOf(toModel(graph)))).toEqual(namesOf(order));
        }),
        options,
      ),
    timeout,
  );

  it(
    'is the runtime’s for what the other levels make of random graphs, by the indices they give to nodes',
    () =>
      fc.assert(
        fc.asyncProperty(
          dagSpecs,
          fc.constantFrom<Level>(...levels.filter((level) => level !== 'disabled')),
          async (spec, level) => {
            const { order, optimized } = await profiledRun(dagOf(spec), feeds, level);
            expect(predictedOrder(optimized)).toEqual(namesOf(order));
          },
        ),
        options,
      ),
    timeout,
  );

  /** A program of nodes `name: operands`, each computing a value of its own name from `x` and each other. */
  const program = (...lines: readonly string[]): Program => ({
    inputs: ['x'],
    outputs: [],
    nodes: lines.map((line) => {
      const [name = '', operands = ''] = line.split(':');
      return { name, operator: 'Sum', inputs: operands.trim().split(/\s+/).filter(Boolean), outputs: [name] };
    }),
  });

  it.each([
    ['a chain in its own order', ['a: x', 'b: a', 'c: b'], 'a b c'],
    ['the later producer first', ['a: x', 'b: x', 'c: a b'], 'b a c'],
    ['the later producer first, whatever the order of operands', ['a: x', 'b: x', 'c: b a'], 'b a c'],
    ['the last leaf first', ['a: x', 'b: x', 'c: x'], 'c b a'],
    ['a leaf with all it needs before another', ['a: x', 'b: a', 'c: x', 'd: c'], 'c d a b'],
    ['what two leaves share with the last one', ['a: x', 'b: a', 'c: a'], 'a c b'],
    ['the branches of a diamond from the last', ['a: x', 'b: a', 'c: a', 'd: b c'], 'a c b d'],
    ['a long branch at once', ['a: x', 'b: x', 'c: b', 'd: c', 'e: a d'], 'b c d a e'],
    ['an operand twice as one', ['a: x', 'b: a a'], 'a b'],
    ['a producer wanted early before its siblings', ['a: x', 'b: x', 'c: a', 'd: b c'], 'a c b d'],
    ['nothing of nothing', [], ''],
  ])('runs %s', (_, lines, expected) => {
    expect(predictedOrder(program(...lines)).join(' ')).toBe(expected);
  });

  it('runs a node with several outputs once, before all its readers', () => {
    const nodes = [
      { name: 'split', operator: 'Split', inputs: ['x'], outputs: ['p', 'q', 'unused'] },
      { name: 'first', operator: 'Relu', inputs: ['p'], outputs: ['r'] },
      { name: 'second', operator: 'Relu', inputs: ['q'], outputs: ['s'] },
    ];
    expect(predictedOrder({ inputs: ['x'], outputs: ['r', 's'], nodes })).toEqual(['split', 'second', 'first']);
  });
});
