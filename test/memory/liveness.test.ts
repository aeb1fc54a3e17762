/** @file Live bytes of programs whose peaks are known, and against a count from scratch for random ones. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { executionOrder } from '../../src/memory/execution-order.js';
import { type Liveness, liveness } from '../../src/memory/liveness.js';
import { memoryNode, type WrittenNode, written } from '../helpers/memory-node.js';

interface Written {
  readonly inputs: string;
  readonly nodes: readonly string[];
  readonly outputs: string;
  /** Bytes of values by name; 8 where it is not said. */
  readonly bytes?: Readonly<Record<string, number>>;
}

/** The live bytes of a program in the order in which it is written. */
function live({ inputs, nodes, outputs, bytes = {} }: Written): Liveness<string> {
  const words = (text: string): string[] => text.split(' ').filter(Boolean);
  const run = { inputs: words(inputs), outputs: words(outputs), nodes: nodes.map(written) };
  return liveness(run, (name) => bytes[name] ?? 8);
}

const cases: readonly (readonly [string, Written, readonly number[]])[] = [
  [
    'keeps inputs throughout and frees a value after its last reader',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Exp(a)', 'c = Exp(b)'], outputs: 'c' },
    [16, 24, 24],
  ],
  [
    'keeps outputs to the end',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Exp(a)', 'c = Exp(b)'], outputs: 'a c' },
    [16, 24, 32],
  ],
  [
    'frees an output that nothing reads at once',
    { inputs: 'x', nodes: ['a b = Split(x)', 'c = Exp(a)'], outputs: 'c', bytes: { x: 16 } },
    [32, 32],
  ],
  [
    'lets activations write over a dying operand',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)', 'c = HardSigmoid(b)'], outputs: 'c' },
    [16, 16, 16],
  ],
  [
    'gives the results of arithmetic buffers of their own',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Add(x, a)'], outputs: 'b' },
    [16, 24],
  ],
  ['never writes over an input', { inputs: 'x', nodes: ['a = Relu(x)'], outputs: 'a' }, [16]],
  ['never writes over an output', { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)'], outputs: 'a b' }, [16, 24]],
  [
    'never writes over what is read later',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)', 'c = Mul(a, b)'], outputs: 'c' },
    [16, 24, 32],
  ],
  [
    'writes over what a convolution adds to',
    {
      inputs: 'x',
      nodes: ['a = Exp(x)', 'w = ReduceMean(x)', 'b = FusedConv(x, w, w, a)'],
      outputs: 'b',
      bytes: { w: 2 },
    },
    [16, 18, 18],
  ],
  [
    'does not write over an operand of another size',
    { inputs: 'x', nodes: ['s = ReduceMean(x)', 'b = Relu(s)'], outputs: 'b', bytes: { s: 2 } },
    [10, 18],
  ],
  [
    'counts a view with what it shows',
    { inputs: 'x', nodes: ['a = Exp(x)', 'v = Reshape(a)', 'b = Exp(v)'], outputs: 'b' },
    [16, 16, 24],
  ],
  [
    'keeps a buffer while a view of a view of it is read',
    {
      inputs: 'x',
      nodes: ['a = Exp(x)', 'v = Reshape(a)', 'w = Identity(v)', 'b = Exp(x)', 'c = Concat(b, w)'],
      outputs: 'c',
      bytes: { c: 16 },
    },
    [16, 16, 16, 24, 40],
  ],
  [
    'keeps to the end what an output is a view of',
    { inputs: 'x', nodes: ['a = Exp(x)', 'v = Reshape(a)', 'b = Relu(v)', 'c = Exp(b)'], outputs: 'v c' },
    [16, 16, 24, 32],
  ],
  [
    'lets a view be written over when it is the last',
    { inputs: 'x', nodes: ['a = Exp(x)', 'v = Reshape(a)', 'b = Relu(v)'], outputs: 'b' },
    [16, 16, 16],
  ],
  [
    'counts a view of an input with it',
    { inputs: 'x', nodes: ['v = Reshape(x)', 'b = Exp(v)'], outputs: 'b' },
    [8, 16],
  ],
  [
    'counts an operand that is read twice once',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Mul(a, a)'], outputs: 'b' },
    [16, 24],
  ],
];

describe('liveness', () => {
  it.each(cases)('%s', (_, written, timeline) => {
    const found = live(written);
    expect(found.timeline).toEqual(timeline);
    expect(found.peakBytes).toBe(Math.max(...timeline));
    expect(found.peakAt).toBe(timeline.indexOf(found.peakBytes));
  });

  it('names what is alive at the peak, the largest first', () => {
    const written = { inputs: 'x', nodes: ['a = Exp(x)', 'b = Tile(a)', 'c = ReduceMean(b)'], outputs: 'c' };
    const { peakAt, peakBytes, tensors } = live({ ...written, bytes: { x: 4, a: 8, b: 32, c: 1 } });
    expect([peakAt, peakBytes]).toEqual([1, 44]);
    expect(tensors).toEqual([
      { value: 'b', bytes: 32 },
      { value: 'a', bytes: 8 },
      { value: 'x', bytes: 4 },
    ]);
  });

  it('has the inputs as the peak of a program without nodes', () => {
    expect(live({ inputs: 'x y', nodes: [], outputs: 'x' })).toMatchObject({ timeline: [], peakBytes: 16 });
  });
});

const operators = ['Reshape', 'Identity', 'Relu', 'HardSigmoid', 'Add', 'Exp', 'Concat', 'Split'] as const;

interface RandomProgram {
  readonly program: {
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    readonly nodes: readonly WrittenNode[];
  };
  readonly bytes: ReadonlyMap<string, number>;
}

/** Programs over two inputs; views have the bytes of what they show. */
const randomPrograms: fc.Arbitrary<RandomProgram> = fc
  .record({
    steps: fc.array(
      fc.record({
        operator: fc.constantFrom(...operators),
        picks: fc.array(fc.nat(1000), { minLength: 2, maxLength: 3 }),
        bytes: fc.constantFrom(0, 4, 8, 8, 16),
      }),
      { minLength: 1, maxLength: 30, size: 'max' },
    ),
    outputs: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
  })
  .map(({ steps, outputs }) => {
    const bytes = new Map([
      ['x', 8],
      ['y', 16],
    ]);
    const nodes = steps.map(({ operator, picks, bytes: own }, index): WrittenNode => {
      const known = [...bytes.keys()];
      const arity = operator === 'Concat' ? picks.length : operator === 'Add' ? 2 : 1;
      const inputs = picks.slice(0, arity).map((choice) => known[choice % known.length] as string);
      const made = operator === 'Split' ? [`v${index}`, `w${index}`] : [`v${index}`];
      const isView = operator === 'Reshape' || operator === 'Identity';
      for (const name of made) bytes.set(name, isView ? (bytes.get(inputs[0] as string) ?? 0) : own);
      return memoryNode(operator, inputs, made);
    });
    const made = nodes.flatMap((entry) => entry.outputs);
    const results = new Set(outputs.map((choice) => made[choice % made.length] as string));
    return { program: { inputs: ['x', 'y'], outputs: [...results], nodes }, bytes };
  });

/** Live bytes at each position, each counted from scratch by asking every value whether it is wanted there. */
function countedFromScratch({ program, bytes }: RandomProgram, order: readonly number[]): readonly number[] {
  const sequence = order.map((index) => program.nodes[index] as WrittenNode);
  const producer = new Map(sequence.flatMap((entry) => entry.outputs.map((name) => [name, entry] as const)));
  const shownBy = (name: string): string => {
    const made = producer.get(name);
    const isView = made?.operator === 'Reshape' || made?.operator === 'Identity';
    return isView ? shownBy(made.inputs[0] as string) : name;
  };
  const buffers = [...new Set([...bytes.keys()].map(shownBy))];
  const readAt = (position: number): Set<string> =>
    new Set(sequence[position]?.inputs.map((name) => shownBy(name as string)));
  const isReadAfter = (buffer: string, position: number): boolean =>
    sequence.some((_, later) => later > position && readAt(later).has(buffer));
  const isKept = (buffer: string): boolean => [...program.inputs, ...program.outputs].map(shownBy).includes(buffer);
  const exists = (buffer: string, position: number): boolean =>
    program.inputs.includes(buffer) ||
    sequence.some((entry, earlier) => earlier <= position && entry.outputs.includes(buffer));

  return sequence.map((entry, position) => {
    const wanted = buffers.filter(
      (buffer) =>
        exists(buffer, position) &&
        (isKept(buffer) ||
          isReadAfter(buffer, position) ||
          readAt(position).has(buffer) ||
          entry.outputs.includes(buffer)),
    );
    const total = wanted.reduce((sum, buffer) => sum + (bytes.get(buffer) ?? 0), 0);
    const [output = ''] = entry.outputs;
    const isInPlace = ['Relu', 'HardSigmoid'].includes(entry.operator);
    const overwritten = [...readAt(position)].some(
      (buffer) => !isKept(buffer) && !isReadAfter(buffer, position) && bytes.get(buffer) === bytes.get(output),
    );
    return isInPlace && overwritten ? total - (bytes.get(output) ?? 0) : total;
  });
}

describe('liveness of random programs', () => {
  it('is what a count from scratch at every position gives', () => {
    fc.assert(
      fc.property(randomPrograms, fc.boolean(), (random, asWritten) => {
        const { program, bytes } = random;
        const order = asWritten ? [...program.nodes.keys()] : executionOrder(program);
        const nodes = order.map((index) => program.nodes[index] as WrittenNode);
        const run = { ...program, nodes };
        const { timeline, peakBytes, peakAt, tensors } = liveness(run, (name) => bytes.get(name) ?? 0);
        expect(timeline).toEqual(countedFromScratch(random, order));
        expect(peakBytes).toBe(Math.max(24, ...timeline));
        expect(tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)).toBe(peakBytes);
        if (peakBytes > 24) expect(timeline[peakAt]).toBe(peakBytes);
      }),
      { seed: Number(process.env.DENSEC_SEED ?? 20_240_817), numRuns: process.env.DENSEC_LONG ? 20_000 : 1000 },
    );
  });
});
