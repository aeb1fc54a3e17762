/** @file The solvers' door: what a solver is told, what it may answer, and that no answer makes a plan larger. */

import { describe, expect, it } from 'vitest';
import {
  batchNorm,
  conv2d,
  densenet,
  flatten,
  globalAveragePool,
  linear,
  type Network,
  relu,
  reshape,
  type Tensor,
} from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { type Graph, type Node, RequestError, traitsOf } from '../../src/ir/index.js';
import { comparePeaks, peakAt, peakLines } from '../../src/memory/peak-lines.js';
import { planMemory } from '../../src/memory/plan.js';
import type { Schedule } from '../../src/memory/schedule.js';
import type { RematProblem, RematSolver } from '../../src/passes/solvers/index.js';

const recomputed = ({ nodes }: Graph): readonly Node[] => nodes.filter(({ origin }) => origin.phase === 'recompute');

const peaksOf = (scheduled: Schedule) => peakLines((n) => scheduled.liveness(n).timeline);

/** What lets a copy wait. */
const waiting = new Set(['constant', 'shape', 'minimum', 'reshape']);

/** Convolutions with batch norm over images, or over `frames` images a sample that the batch axis takes in. */
function frames(count: number): Network {
  const body = (images: Tensor): Tensor => {
    let x = images;
    for (const name of ['first', 'second', 'third']) {
      x = relu(batchNorm(conv2d(x, { name, filters: 6, kernel: 3, padding: 1 }), { name: `${name}.norm` }));
    }
    return globalAveragePool(x);
  };
  return {
    name: `frames ${count}`,
    inputShape: [3 * count, 8, 8],
    classes: 3,
    forward(images) {
      const single = count === 1 ? images : reshape(images, [`${count}*N`, 3, 8, 8]);
      const features = body(single);
      return linear(count === 1 ? features : flatten(reshape(features, ['N', 6 * count])), {
        name: 'classifier',
        features: 3,
      });
    },
  };
}

describe('a network whose batch is reshaped', () => {
  it.each(['efficient', 'max'] as const)('recomputes with %s what a flat one does', (remat) => {
    const again = (count: number): readonly string[] =>
      recomputed(compile(frames(count), { remat }).training)
        .flatMap(({ operator }) => (waiting.has(operator) ? [] : [operator]))
        .sort();
    expect(again(1).length).toBeGreaterThan(4);
    expect(again(4)).toEqual(again(1));
  });

  it('takes less memory for it', () => {
    const peak = (remat: 'none' | 'efficient'): number =>
      planMemory(compile(frames(4), { remat }).schedules.training, 64).peakBytes;
    expect(peak('efficient')).toBeLessThan(0.95 * peak('none'));
  });
});

describe('a solver of one’s own', () => {
  const network = densenet({ depth: 10 });

  it('is told the bytes, the cost and the uses of each candidate, and predicts what a choice takes', () => {
    let problem: RematProblem | undefined;
    const solver: RematSolver = (given) => {
      problem = given;
      return new Set();
    };
    expect(compile(network, { solver })).toMatchObject({ remat: 'custom', warnings: [] });
    const { candidates, ship, batchSize } = problem as unknown as RematProblem;
    expect(candidates.size).toBeGreaterThan(20);
    for (const { node, uses, bytes, microseconds } of candidates.values()) {
      expect(node.origin.phase).toBe('forward');
      expect(traitsOf(node.operator).random).toBeUndefined();
      for (const use of uses) {
        expect(use.origin.phase).toBe('backward');
        expect(use.inputs.some((value) => node.outputs.includes(value))).toBe(true);
      }
      expect(bytes).toBeGreaterThan(0);
      expect(microseconds).toBeGreaterThan(0);
    }
    const cheap = new Set([...candidates.keys()].filter(({ operator }) => traitsOf(operator).cheap));
    const peak = (again: ReadonlySet<Node>): number => Math.max(...Array.from(ship(again).liveBytes(batchSize)));
    expect(peak(cheap)).toBeLessThan(peak(new Set()));
    const { nodes } = ship(cheap);
    const sources = new Set(nodes.map(({ origin }) => origin.source));
    const convolutions = [...candidates.keys()].filter(({ operator }) => operator === 'conv2d');
    expect(convolutions.filter((node) => !sources.has(node))).toEqual([]);
  });

  it('has its choice computed again', () => {
    const again: Node[] = [];
    const solver: RematSolver = ({ candidates }) => {
      again.push(...[...candidates.keys()].filter(({ operator }) => operator === 'relu'));
      return new Set(again);
    };
    const { training } = compile(network, { solver });
    const copies = new Set(recomputed(training).map(({ origin }) => origin.source));
    expect(again.length).toBeGreaterThan(5);
    expect(again.filter((node) => copies.has(node)).length).toBeGreaterThan(3);
  });

  it('may go on with the set that it asked about', () => {
    const solver: RematSolver = ({ candidates, ship }) => {
      const again = new Set(candidates.keys());
      ship(again);
      for (const node of again) if (node.operator === 'conv2d') again.delete(node);
      return again;
    };
    const sources = recomputed(compile(network, { solver }).training).map(({ origin }) => origin.source?.operator);
    expect(sources).toContain('center');
    expect(sources).not.toContain('conv2d');
  });

  it('may not choose what can’t be computed again', () => {
    const solver: RematSolver = ({ graph }) => new Set(graph.nodes.filter(({ origin }) => origin.phase === 'backward'));
    expect(() => compile(network, { solver })).toThrow(RequestError);
    expect(() => compile(network, { solver })).toThrow(
      /can't be computed again; choose among the problem's candidates/,
    );
  });

  it('gets the plan of none where its choice lowers nothing', () => {
    const useless: RematSolver = ({ candidates }) =>
      new Set([...candidates.values()].flatMap(({ node, uses }) => (uses.length === 0 ? [node] : [])));
    const none = compile(network);
    const { training, warnings, schedules } = compile(network, { solver: useless });
    const { higherAt } = comparePeaks(peaksOf(schedules.training), peaksOf(none.schedules.training));
    expect(higherAt).toBeUndefined();
    expect(recomputed(training)).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('nothing is computed again in this network')]);
  });
});

/** A network so small that state, not activations, makes the peak. */
const tiny: Network = {
  name: 'tiny',
  inputShape: [3, 4, 4],
  classes: 10,
  forward: (images) => linear(relu(linear(flatten(images), { name: 'a', features: 400 })), { name: 'b', features: 10 }),
};

describe.each(['cpu', 'cuda'] as const)('on the target %s', (target) => {
  it.each(['efficient', 'max'] as const)('%s never plans more than none', (remat) => {
    for (const network of [
      tiny,
      frames(1),
      frames(4),
      densenet({ depth: 10 }),
      densenet({ depth: 16, dropRate: 0.2 }),
    ]) {
      const [none, some] = [compile(network, { target }), compile(network, { target, remat })];
      const [all, peaks] = [peaksOf(none.schedules.training), peaksOf(some.schedules.training)];
      expect(comparePeaks(peaks, all).higherAt, network.name).toBeUndefined();
      for (const batchSize of [1, 2, 3, 7, 64, 1000]) {
        expect(peakAt(peaks, batchSize), `${network.name} at ${batchSize}`).toBeLessThanOrEqual(peakAt(all, batchSize));
      }
    }
  });
});

it('says so where nothing is worth computing again', () => {
  const { warnings, training } = compile(tiny, { remat: 'max', target: 'cuda', kernels: 'cudnn' });
  expect(recomputed(training)).toEqual([]);
  expect(warnings).toEqual([expect.stringContaining('nothing is computed again in this network')]);
});

describe('comparePeaks', () => {
  const lines = (...pairs: readonly (readonly [fixed: number, perSample: number])[]) =>
    pairs.map(([fixed, perSample]) => ({ fixed, perSample }));

  it('finds where the one is higher, be it between corners only', () => {
    // At 1 and for large batches the first is lower; in between it is not.
    const bent = lines([0, 10], [-400, 20]);
    expect(comparePeaks(lines([150, 8]), lines([200, 1], [-500, 20])).higherAt).toBeGreaterThan(1);
    expect(comparePeaks(bent, bent)).toEqual({ higherAt: undefined, isLower: false });
    expect(comparePeaks(lines([0, 9]), lines([0, 10]))).toEqual({ higherAt: undefined, isLower: true });
    expect(comparePeaks(lines([1, 9]), lines([0, 10]))).toMatchObject({ isLower: true });
    expect(comparePeaks(lines([2, 9]), lines([0, 10])).higherAt).toBe(1);
  });
});
