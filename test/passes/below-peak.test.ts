/** @file Keeping what costs no memory: less is computed again, or twice, and the peak stays where it was. */

import { describe, expect, it } from 'vitest';
import { densenet, traceNetwork } from '../../src/builders/index.js';
import type { Graph, Node } from '../../src/ir/index.js';
import { planMemory } from '../../src/memory/plan.js';
import { schedule } from '../../src/memory/schedule.js';
import { elideExpand, removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { convolutionsOf, operandSize } from '../../src/passes/convolutions.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { distributeConcat } from '../../src/passes/distribute-concat.js';
import { fuseConvolutions } from '../../src/passes/fuse-convolutions.js';
import { groupFeatures } from '../../src/passes/group-features.js';
import { usualLayout } from '../../src/passes/layout.js';
import { lower } from '../../src/passes/lower.js';
import { trainingMode } from '../../src/passes/modes.js';
import { runPasses } from '../../src/passes/pass.js';
import { pinOrder } from '../../src/passes/pin-order.js';
import { madeTwice, rematerialize } from '../../src/passes/rematerialize.js';
import {
  type RematSolver,
  recomputeBottlenecks,
  recomputeCheap,
  rematProblem,
  solve,
  solvers,
} from '../../src/passes/solvers/index.js';
import { sumAffine } from '../../src/passes/sum-affine.js';
import { targets } from '../../src/targets/index.js';
import { nothingAsked, rematerializeBy } from '../helpers/rematerialize-by.js';

const clean = [removeDeadCode, shareSubexpressions];
const lowering = [removeDeadCode, elideExpand, lower(targets.cpu), fuseConvolutions];

/** Forward and backward pass of a small DenseNet-BC. */
function differentiated(depth: number): Graph {
  const forward = traceNetwork(densenet({ depth }));
  const rewrites = [
    groupFeatures(usualLayout.parts),
    distributeConcat,
    ...clean,
    differentiate,
    removeDeadCode,
    sumAffine,
    ...clean,
  ];
  return runPasses(forward, [trainingMode, ...clean, ...rewrites]);
}

/** The graph after a solver's choice, told what ships as the compiler tells it. */
function solved(graph: Graph, solver: RematSolver): Graph {
  const problem = rematProblem(graph, targets.cpu, {
    ...nothingAsked,
    ship(again) {
      const { order, liveness } = schedule(runPasses(rematerialize(again).run(graph), [pinOrder, ...lowering]));
      return { nodes: order.map(({ node }) => node), liveBytes: (batchSize) => liveness(batchSize).timeline };
    },
  });
  return rematerialize(solve(problem, solver).again).run(graph);
}

const planned = (graph: Graph): Graph => runPasses(graph, [removeDeadCode, pinOrder, ...lowering, shareSubexpressions]);

const convolvedAgain = ({ nodes }: Graph): number =>
  nodes.filter(({ operator, origin }) => origin.phase === 'recompute' && operator === 'conv2d').length;

describe.each([22, 40])('in DenseNet-BC-%i', (depth) => {
  const graph = differentiated(depth);
  const all = planned(rematerializeBy(recomputeBottlenecks).run(graph));
  const below = planned(solved(graph, solvers.max));

  it('convolutions of the last block are not computed again', () => {
    const layers = (depth - 4) / 6;
    expect(convolvedAgain(all)).toBe(3 * layers);
    expect(convolvedAgain(below)).toBeLessThanOrEqual(2 * layers);
    expect(convolvedAgain(below)).toBeGreaterThan(0);
  });

  it('the peak stays', () => {
    expect(planMemory(below, 64).peakBytes / planMemory(all, 64).peakBytes).toBeLessThan(1.001);
  });

  it('a policy that recomputes no convolution gives what it gave', () => {
    const plain = rematerializeBy(recomputeCheap).run(graph);
    const trimmed = solved(graph, solvers.efficient);
    expect(trimmed.nodes.map(({ operator }) => operator)).toEqual(plain.nodes.map(({ operator }) => operator));
  });
});

describe('operands of a convolution that is computed again', () => {
  const { nodes } = differentiated(40);
  const all = convolutionsOf(nodes);
  const block = all.filter((parts) =>
    /^features\.denseblock1\.denselayer\d+\.conv1$/.test(parts[0]?.origin.scope ?? ''),
  );
  const twice = madeTwice(nodes, usualLayout.holdShare);
  const sizeOf = (parts: readonly Node[]): number => parts.reduce((sum, part) => sum + operandSize(part), 0);
  const held = (parts: readonly Node[]): readonly Node[] => parts.filter((part) => !twice.has(part));

  it('are held until the backward pass reads them where a layer is narrow', () => {
    expect(block).toHaveLength(6);
    for (const parts of block.slice(0, 3)) expect(held(parts)).toEqual(parts);
  });

  it('are made twice where it is almost as wide as any', () => {
    expect(held(block.at(-1) ?? [])).toEqual([]);
  });

  it('are held in part between the two, the last parts first', () => {
    const partly = block.filter((parts) => held(parts).length > 0 && held(parts).length < parts.length);
    expect(partly).not.toEqual([]);
    for (const parts of partly) expect(held(parts)).toContain(parts.at(-1));
  });

  it('take no more room than the features and gradients of the later layers leave', () => {
    const largest = Math.max(...all.map(sizeOf));
    for (const parts of block) expect(sizeOf(held(parts))).toBeLessThanOrEqual(2 * (largest - sizeOf(parts)));
  });
});
