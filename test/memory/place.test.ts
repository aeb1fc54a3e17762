/** @file Placement makes the runtime follow a plan, and buffers are numbered as the runtime may share them. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  conv2d,
  densenet,
  globalAveragePool,
  linear,
  type Network,
  relu,
  type Tensor,
} from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { bytesOfType } from '../../src/ir/index.js';
import { bufferNumbers } from '../../src/memory/buffers.js';
import { executionOrder } from '../../src/memory/execution-order.js';
import { liveness } from '../../src/memory/liveness.js';
import { placeNodes } from '../../src/memory/place.js';
import { planMemory } from '../../src/memory/plan.js';
import { type Schedule, schedule } from '../../src/memory/schedule.js';
import { memoryNode, written as node, type WrittenNode } from '../helpers/memory-node.js';

const names = (nodes: readonly WrittenNode[]): string => nodes.map(({ outputs }) => outputs[0]).join(' ');

/** The order in which the runtime runs nodes that were placed for a plan. */
function executed(plan: readonly WrittenNode[]): readonly WrittenNode[] {
  const nodes = placeNodes(plan);
  return executionOrder({ nodes }).map((index) => nodes[index] as WrittenNode);
}

describe('placed nodes', () => {
  it.each([
    ['two branches in either order', ['a = Exp(x)', 'b = Exp(x)', 'c = Add(a, b)']],
    ['two branches in the other order', ['b = Exp(x)', 'a = Exp(x)', 'c = Add(a, b)']],
    ['a sum of parts, each just before it is added', ['a = Exp(x)', 's = Exp(a)', 'b = Exp(x)', 't = Add(s, b)']],
    ['several results one after the other', ['a = Exp(x)', 'r = Exp(a)', 'b = Exp(x)', 's = Exp(b)']],
    ['a long branch before a short one', ['a = Exp(x)', 'b = Exp(a)', 'c = Exp(b)', 'd = Exp(x)', 'e = Add(c, d)']],
  ])('run as planned: %s', (_, lines) => {
    const plan = lines.map(node);
    expect(names(executed(plan))).toBe(names(plan));
  });

  it('stay sorted and all run, whatever the plan', () => {
    const plans = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 1, maxLength: 60 }).map((picks) =>
      picks.map(([a, b], index): WrittenNode => {
        const known = ['x', ...Array.from({ length: index }, (_, earlier) => `v${earlier}`)];
        const inputs = [a, b].map((choice) => known[choice % known.length] as string);
        return memoryNode('Add', inputs, [`v${index}`]);
      }),
    );
    fc.assert(
      fc.property(plans, (plan) => {
        const defined = new Set(['x']);
        for (const { inputs, outputs } of placeNodes(plan)) {
          for (const name of inputs) expect(defined).toContain(name);
          for (const name of outputs) defined.add(name);
        }
        expect(defined.size).toBe(plan.length + 1);
        expect(new Set(executed(plan)).size).toBe(plan.length);
      }),
      { seed: Number(process.env.DENSEC_SEED ?? 20_240_817), numRuns: process.env.DENSEC_LONG ? 5000 : 300 },
    );
  });
});

/** Live bytes at the peak if nodes run as they stand in the graph. */
function peakInOwnOrder({ graph, order }: Schedule, batchSize: number): number {
  const positions = new Map(graph.nodes.map((each, position) => [each, position]));
  const at = (each: (typeof order)[number]): number => positions.get(each.node) ?? -1;
  const run = {
    inputs: graph.inputs.map(({ value }) => value),
    outputs: graph.outputs.map(({ value }) => value),
    nodes: [...order].sort((a, b) => at(a) - at(b)),
  };
  return liveness(run, ({ type }) => bytesOfType(type, batchSize)).peakBytes;
}

describe('a training step', () => {
  /** Layers of 8 channels one after the other: gradients would pile up if weight gradients came last. */
  const chain: Network = {
    name: 'chain',
    inputShape: [3, 8, 8],
    classes: 2,
    forward: (images) => {
      const layer = (x: Tensor, name: string): Tensor => relu(conv2d(x, { name, filters: 8, kernel: 3, padding: 1 }));
      const features = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].reduce(layer, images);
      return linear(globalAveragePool(features), { name: 'classifier', features: 2 });
    },
  };

  it.each([
    ['of a chain of convolutions', chain, 'none'],
    ['of a DenseNet', densenet({ depth: 16 }), 'none'],
    ['of a DenseNet recomputing max', densenet({ depth: 16 }), 'max'],
  ] as const)('%s takes no more than planned, though little of it waits', (_, network, remat) => {
    const { training } = compile(network, { remat });
    const planned = peakInOwnOrder(schedule(training), 64);
    expect(planMemory(training, 64).peakBytes).toBeLessThanOrEqual(planned);
  });
});

describe('buffer numbers', () => {
  /** Names in groups that share a buffer. */
  const shared = (lines: readonly string[], fixed: readonly string[] = [], types: Record<string, string> = {}) => {
    const numbers = bufferNumbers(lines.map(node), {
      typeOf: (name) => types[name] ?? 'f32[N]',
      bytesOf: () => 4,
      fixed: new Set(['x', ...fixed]),
    });
    const groups = new Map<number, string[]>();
    for (const [name, number] of numbers) groups.set(number, [...(groups.get(number) ?? []), name]);
    return [...groups.values()].map((group) => group.join(' '));
  };

  it.each<[string, readonly string[], readonly string[]]>([
    ['gives every result a buffer of its own', ['a = Exp(x)', 'b = Exp(a)'], ['a', 'b']],
    ['lets a view share that of its operand', ['a = Exp(x)', 'b = Reshape(a)', 'c = Exp(b)'], ['a b', 'c']],
    ['lets activations replace a dying operand', ['a = Exp(x)', 'b = Relu(a)', 'c = HardSigmoid(b)'], ['a b c']],
    ['but not arithmetic', ['a = Exp(x)', 'b = Neg(a)'], ['a', 'b']],
    ['but not one that is read later', ['a = Exp(x)', 'b = Relu(a)', 'c = Exp(a)'], ['a', 'b', 'c']],
    [
      'nor one of which a view is read later',
      ['a = Exp(x)', 'v = Reshape(a)', 'b = Relu(a)', 'c = Exp(v)'],
      ['a v', 'b', 'c'],
    ],
    ['nor an input', ['a = Relu(x)'], ['a']],
    [
      'lets a convolution replace what it adds to',
      ['s = Exp(x)', 'w = Exp(x)', 'a = FusedConv(x, w, , s)'],
      ['s a', 'w'],
    ],
    ['but not what it convolves', ['s = Exp(x)', 'a = FusedConv(s, x, x)'], ['s', 'a']],
  ])('%s', (_, lines, expected) => {
    expect(shared(lines)).toEqual(expected);
  });

  it('keeps outputs and other types apart', () => {
    expect(shared(['a = Exp(x)', 'b = Relu(a)'], ['a'])).toEqual(['a', 'b']);
    expect(shared(['a = Exp(x)', 'b = Relu(a)'], [], { a: 'f32[2]' })).toEqual(['a', 'b']);
  });
});
