/** @file Memory budgets: the cheapest plan within a number of bytes, held against trying every choice. */

import { beforeAll, describe, expect, it } from 'vitest';
import {
  add,
  averagePool2d,
  batchNorm,
  concat,
  conv2d,
  globalAveragePool,
  linear,
  type Network,
  relu,
  type Tensor,
} from '../../src/builders/index.js';
import { type Compiled, compile } from '../../src/compile.js';
import type { Node } from '../../src/ir/index.js';
import { peakAt } from '../../src/memory/peak-lines.js';
import { loadSolver, type RematProblem } from '../../src/passes/solvers/index.js';
import { stepMicroseconds, targetOf } from '../../src/targets/index.js';

beforeAll(loadSolver);

const batchSize = 16;

function network(name: string, body: (x: Tensor) => Tensor): Network {
  return {
    name,
    inputShape: [3, 8, 8],
    classes: 4,
    forward: (x) => linear(globalAveragePool(body(x)), { features: 4, name: 'classifier' }),
  };
}

function conv(x: Tensor, filters: number, extent: number, name: string): Tensor {
  return conv2d(x, { filters, kernel: extent, padding: (extent - 1) / 2, name });
}

const networks: readonly Network[] = [
  network('a chain', (x) => relu(conv(relu(conv(x, 8, 3, 'a')), 8, 3, 'b'))),
  network('a chain with batch norm', (x) => relu(batchNorm(conv(relu(conv(x, 8, 3, 'a')), 8, 1, 'b'), { name: 'n' }))),
  network('a diamond', (x) => {
    const top = relu(conv(x, 8, 3, 'top'));
    return add(conv(top, 8, 1, 'left'), relu(top));
  }),
  network('a residual block', (x) => {
    const top = conv(x, 8, 3, 'top');
    return add(top, conv(relu(top), 8, 3, 'inner'));
  }),
  network('a dense block', (x) => {
    const top = conv(x, 8, 3, 'top');
    return concat([top, conv(relu(top), 4, 3, 'inner')]);
  }),
  network('a pool', (x) => averagePool2d(relu(conv(x, 8, 3, 'a')), { kernel: 2 })),
];

/** What a compiled step takes, in bytes and in microseconds by the table of costs. */
function figuresOf({ schedules: { training }, target }: Compiled): { bytes: number; microseconds: number } {
  return {
    bytes: peakAt(training.livePeak, batchSize),
    microseconds: stepMicroseconds(training.graph.nodes, targetOf(target), batchSize),
  };
}

/** The figures of every choice, as it ships. */
function everyChoice(net: Network): readonly { bytes: number; microseconds: number }[] {
  const found: { bytes: number; microseconds: number }[] = [];
  compile(net, {
    solver(problem: RematProblem) {
      const candidates = [...problem.candidates.keys()];
      expect(candidates.length).toBeLessThanOrEqual(10);
      for (let bits = 0; bits < 2 ** candidates.length; bits++) {
        const again = new Set<Node>(candidates.filter((_, index) => (bits >> index) & 1));
        const { nodes, liveBytes } = problem.ship(again);
        const bytes = Math.max(...Array.from(liveBytes(batchSize)));
        found.push({ bytes, microseconds: stepMicroseconds(nodes, problem.target, batchSize) });
      }
      return new Set();
    },
  });
  return found;
}

describe.each(networks.map((net) => [net.name, net] as const))('of %s', (_, net) => {
  const all = everyChoice(net);
  const peaks = [...new Set(all.map(({ bytes }) => bytes))].sort((a, b) => a - b);
  const [least = 0] = peaks;

  it('the optimum is that of all choices, at every budget that makes a difference', () => {
    for (const budgetBytes of peaks) {
      const fitting = all.filter(({ bytes }) => bytes <= budgetBytes).map(({ microseconds }) => microseconds);
      const compiled = compile(net, { memory: { budgetBytes, batchSize, gap: 0, seconds: 60 } });
      const figures = figuresOf(compiled);
      expect(compiled.certificate).toMatchObject({ status: 'optimal', gap: 0, peakBytes: figures.bytes });
      expect(figures.bytes).toBeLessThanOrEqual(budgetBytes);
      expect(figures.microseconds / Math.min(...fitting)).toBeCloseTo(1, 5);
      expect(compiled.certificate?.microseconds).toBeCloseTo(figures.microseconds, 3);
    }
  });

  it('a budget below the least of all choices is refused, with that least', () => {
    const memory = { budgetBytes: least - 1, batchSize, seconds: 20 };
    const megabytes = (Math.ceil(least / 1e4) / 100).toFixed(2);
    expect(() => compile(net, { memory })).toThrow(
      `the least is ${megabytes} MB (proven); the largest batch that fits is 15`,
    );
  });
});
