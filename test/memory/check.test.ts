/** @file The checker of observed runs: known peaks, and the same as the prediction on random programs. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ObservedNode, observedPeak } from '../../src/memory/check.js';
import { liveness } from '../../src/memory/liveness.js';
import { memoryNode } from '../helpers/memory-node.js';

interface Written {
  readonly inputs: string;
  readonly nodes: readonly string[];
  readonly outputs: string;
  /** Bytes of values by name; 8 where it is not said. */
  readonly bytes?: Readonly<Record<string, number>>;
}

/** A run of nodes `out1 out2 = Operator(in1, in2)`. */
function peakOf({ inputs, nodes, outputs, bytes = {} }: Written): number {
  const size = (name: string): number => bytes[name] ?? 8;
  const observed = nodes.map((line): ObservedNode => {
    const [, left = '', operator = '', operands = ''] = /^(.*) = (\w+)\((.*)\)$/.exec(line) ?? [];
    const names = left.split(' ');
    return { operator, inputs: operands.split(', '), outputs: names, outputBytes: names.map(size) };
  });
  return observedPeak({
    nodes: observed,
    inputs: new Map(inputs.split(' ').map((name) => [name, size(name)])),
    outputs: new Set(outputs.split(' ')),
  });
}

const cases: readonly (readonly [string, Written, number])[] = [
  ['a chain', { inputs: 'x', nodes: ['a = Exp(x)', 'b = Exp(a)', 'c = Exp(b)'], outputs: 'c' }, 24],
  [
    'a value that is wanted late',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Exp(x)', 'c = Concat(a, b)'], outputs: 'c', bytes: { c: 16 } },
    40,
  ],
  ['an output to the end', { inputs: 'x', nodes: ['a = Exp(x)', 'b = Exp(a)', 'c = Exp(b)'], outputs: 'a c' }, 32],
  [
    'writing over what dies',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)', 'c = HardSigmoid(b)'], outputs: 'c' },
    16,
  ],
  ['arithmetic, which writes elsewhere', { inputs: 'x', nodes: ['a = Exp(x)', 'b = Mul(x, a)'], outputs: 'b' }, 24],
  ['no writing over an input', { inputs: 'x', nodes: ['a = Relu(x)'], outputs: 'a' }, 16],
  ['no writing over an output', { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)'], outputs: 'a b' }, 24],
  [
    'no writing over another size',
    { inputs: 'x', nodes: ['a = Exp(x)', 'b = Relu(a)'], outputs: 'b', bytes: { a: 4 } },
    20,
  ],
  ['a view', { inputs: 'x', nodes: ['a = Exp(x)', 'v = Reshape(a)', 'b = Exp(v)'], outputs: 'b' }, 24],
  [
    'a view that is an output, which is a copy',
    { inputs: 'x', nodes: ['a = Exp(x)', 'v = Reshape(a)'], outputs: 'v' },
    24,
  ],
  ['the sum of a convolution', { inputs: 'x w', nodes: ['a = Exp(x)', 'b = FusedConv(x, w, w, a)'], outputs: 'b' }, 24],
];

describe('the observed peak', () => {
  it.each(cases)('counts %s', (_, written, bytes) => expect(peakOf(written)).toBe(bytes));

  const program = fc.array(
    fc.record({
      operator: fc.constantFrom('Relu', 'Add', 'Mul', 'Exp', 'Concat', 'Split', 'Reshape'),
      picks: fc.tuple(fc.nat(1000), fc.nat(1000)),
      bytes: fc.constantFrom(4, 8, 8, 16),
    }),
    { minLength: 1, maxLength: 40, size: 'max' },
  );

  it('is what the prediction counts, by its own way, on random programs', () => {
    fc.assert(
      fc.property(program, (steps) => {
        const bytes = new Map([
          ['x', 8],
          ['y', 16],
        ]);
        const nodes = steps.map(({ operator, picks, bytes: own }, index) => {
          const known = [...bytes.keys()];
          const count = /Add|Mul|Concat/.test(operator) ? 2 : 1;
          const inputs = picks.slice(0, count).map((pick) => known[pick % known.length] as string);
          const outputs = operator === 'Split' ? [`v${index}`, `w${index}`] : [`v${index}`];
          const size = operator === 'Reshape' ? (bytes.get(inputs[0] as string) ?? 0) : own;
          for (const name of outputs) bytes.set(name, size);
          return memoryNode(operator, inputs, outputs);
        });
        // The last node that makes a buffer of its own gives the output, so that no output is a view.
        const output = nodes.findLast(({ operator }) => operator !== 'Reshape')?.outputs[0] ?? 'x';
        const run = { inputs: ['x', 'y'], outputs: [output], nodes };
        const predicted = liveness(run, (name) => bytes.get(name) ?? 0).peakBytes;
        const observed = observedPeak({
          nodes: nodes.map((node) => ({
            ...node,
            inputs: node.inputs.map((name) => name ?? ''),
            outputBytes: node.outputs.map((name) => bytes.get(name) ?? 0),
          })),
          inputs: new Map(['x', 'y'].map((name) => [name, bytes.get(name) ?? 0])),
          outputs: new Set([output]),
        });
        expect(observed).toBe(predicted);
      }),
      { seed: Number(process.env.DENSEC_SEED ?? 20_240_817), numRuns: process.env.DENSEC_LONG ? 20_000 : 500 },
    );
  });
});
