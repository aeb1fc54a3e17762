/**
 * @file Random networks, compiled and run. DENSEC_LONG=1 tries many more than by default. A failure prints the seed
 * and the smallest network found; DENSEC_SEED=<seed> repeats it.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Compiled, compile } from '../../src/compile.js';
import { batch, type Graph, traitsOf, type Value, verifyGraph } from '../../src/ir/index.js';
import { removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { trainingMode } from '../../src/passes/modes.js';
import { runPasses } from '../../src/passes/pass.js';
import { pinOrder } from '../../src/passes/pin-order.js';
import { type RematPolicy, recomputeBottlenecks, recomputeCheap } from '../../src/passes/solvers/index.js';
import type { TargetName } from '../../src/targets/index.js';
import { distance, expectClose } from '../helpers/compare.js';
import { evaluate, evaluateValues, type Feeds, type NdArray } from '../helpers/evaluate.js';
import { branches, gradientErrors, gradientTolerance } from '../helpers/finite-differences.js';
import { type NetworkSpec, networkOf, networkSpecs } from '../helpers/networks.js';
import { type RandomSource, randomSource } from '../helpers/random.js';
import { rematerializeBy } from '../helpers/rematerialize-by.js';
import { runInRuntime } from '../helpers/runtime.js';
import {
  observedStatistics,
  packedFeeds,
  randomSituation,
  type Situation,
  steppedState,
  unpackedState,
} from '../helpers/training.js';

const options = {
  seed: Number(process.env.DENSEC_SEED ?? 20_240_817),
  numRuns: process.env.DENSEC_LONG ? 1000 : 25,
};
const timeout = process.env.DENSEC_LONG ? 3_600_000 : 120_000;

const predicates = { efficient: recomputeCheap, max: recomputeBottlenecks };
const rematNames = fc.constantFrom('efficient' as const, 'max' as const);
const targetNames = fc.constantFrom<TargetName>('cpu', 'cuda', 'webgpu');
/** Every tensor by itself, a few together, all together. */
const segmentSizes = fc.constantFrom(0, 100, 1_000_000);

/** Agreement in float64 where constants such as 0.9 are float32; sums may cancel to a hundredth. */
const exactness = 1e-5;
/** Agreement of a step in float32 with float64. */
const precision = 2e-4;

describe('a random network', () => {
  it(
    'has gradients that match finite differences',
    () =>
      fc.assert(
        fc.property(networkSpecs, (spec) => {
          const { forward, differentiated, situation } = derived(spec);
          const feeds = new Map([...situation.rest, ...situation.state]);
          for (const error of measurable(() =>
            gradientErrors({ forward, differentiated, feeds, batchSize: spec.batchSize }),
          )) {
            expect(error.error, JSON.stringify(error)).toBeLessThan(gradientTolerance);
          }
        }),
        options,
      ),
    timeout,
  );

  it(
    'is trained by SGD on those gradients, whatever the target and the packing',
    () =>
      fc.assert(
        fc.property(networkSpecs, targetNames, segmentSizes, (spec, target, segmentBytes) => {
          const compiled = compile(networkOf(spec), { target, segmentBytes });
          verifyGraph(compiled.training);
          const { forward, differentiated, situation } = derived(spec);
          const feeds = new Map([...situation.rest, ...situation.state]);
          const byHand = evaluate(differentiated, feeds, spec.batchSize);
          const observed = observedStatistics(forward, evaluateValues(forward, feeds, spec.batchSize));
          const packed = packedFeeds(compiled.training, compiled.segments, situation);
          const outputs = evaluate(compiled.training, packed, spec.batchSize);
          for (const name of ['loss', 'errors', 'logits']) {
            expectClose(only(outputs, name), only(byHand, name), exactness);
          }
          const expected = steppedState(situation, byHand, observed, compiled);
          expectClose(unpackedState(outputs, compiled.segments), expected, exactness);
        }),
        options,
      ),
    timeout,
  );

  it(
    'takes the same step and gives the same evaluation in the runtime',
    () =>
      fc.assert(
        fc.asyncProperty(networkSpecs, targetNames, segmentSizes, async (spec, target, segmentBytes) => {
          const compiled = compile(networkOf(spec), { target, segmentBytes });
          for (const graph of [compiled.training, compiled.evaluation]) {
            verifyGraph(graph);
            const feeds = steadyFeeds(compiled, graph, spec);
            fc.pre(feeds !== undefined);
            const expected = evaluate(graph, feeds, spec.batchSize);
            expectClose(await runInRuntime(graph, feeds), expected, precision);
          }
        }),
        options,
      ),
    timeout,
  );

  it(
    'computes the same with operators of our own, whatever is recomputed',
    () =>
      fc.assert(
        fc.property(
          networkSpecs,
          fc.constantFrom('none' as const, 'efficient' as const, 'max' as const),
          (spec, remat) => {
            const network = networkOf(spec);
            const [plain, own] = [
              compile(network, { target: 'cuda' }),
              compile(network, { target: 'cuda', kernels: 'cudnn', remat }),
            ];
            const situation = randomSituation(plain, spec.classes, spec.batchSize, randomSource('situation'));
            const [expected, found] = [plain, own].map(({ training, segments }) =>
              evaluate(training, packedFeeds(training, segments, situation), spec.batchSize),
            ) as [Map<string, NdArray>, Map<string, NdArray>];
            expectClose(found, expected, exactness);
          },
        ),
        options,
      ),
    timeout,
  );

  it(
    'computes the very same where the backward pass recomputes, and that pass reads nothing it should recompute',
    () =>
      fc.assert(
        fc.property(networkSpecs, targetNames, rematNames, (spec, target, remat) => {
          const network = networkOf(spec);
          const [kept, recomputed] = [compile(network, { target }), compile(network, { target, remat })];
          verifyGraph(recomputed.training);
          const situation = randomSituation(kept, spec.classes, spec.batchSize, randomSource('situation'));
          const [expected, found] = [kept, recomputed].map(({ training, segments }) =>
            evaluate(training, packedFeeds(training, segments, situation), spec.batchSize),
          ) as [Map<string, NdArray>, Map<string, NdArray>];
          expectClose(found, expected, 0);

          const backward = [trainingMode, removeDeadCode, shareSubexpressions, differentiate, removeDeadCode];
          const planned = [...backward, rematerializeBy(predicates[remat]), removeDeadCode, pinOrder];
          expect(keptAgainstPolicy(runPasses(kept.forward, planned), predicates[remat])).toEqual([]);
        }),
        options,
      ),
    timeout,
  );
});

/** Leaves out networks whose loss has a kink right where its gradient would be measured. */
function measurable<T>(measure: () => T): T {
  try {
    return measure();
  } catch (error) {
    fc.pre(!(error as Error).message.includes('crosses a kink'));
    throw error;
  }
}

/** Reads of forward values that a policy doesn't keep, after the gradient of the loss has reached the network. */
function keptAgainstPolicy({ nodes }: Graph, policy: RematPolicy): readonly string[] {
  const discarded = new Map<Value, string>();
  const found: string[] = [];
  let gradientFlows = false;
  for (const node of nodes) {
    const { operator, inputs, outputs } = node;
    const { phase } = node.origin;
    if (phase === 'forward') {
      if (operator === 'batchStatistics' || operator === 'constant' || traitsOf(operator).random) continue;
      if (policy(node)) for (const value of outputs) discarded.set(value, operator);
      continue;
    }
    if (gradientFlows && phase !== 'update') {
      for (const value of inputs) if (discarded.has(value)) found.push(`${operator} reads ${discarded.get(value)}`);
    }
    gradientFlows ||= outputs.some(({ type }) => type.dtype === 'float32' && type.shape[0] === batch);
  }
  return found;
}

/** The unlowered training graph of a network, its forward part, and random inputs for both. */
function derived(spec: NetworkSpec): { forward: Graph; differentiated: Graph; situation: Situation } {
  const compiled = compile(networkOf(spec));
  const forward = runPasses(compiled.forward, [trainingMode]);
  const differentiated = runPasses(forward, [differentiate]);
  const situation = randomSituation(compiled, spec.classes, spec.batchSize, randomSource('situation'));
  // A scale of exactly 0 hides from the output what its gradient depends on.
  for (const [name, { shape, data }] of situation.state)
    if (name.includes('norm1.weight') && shape.length === 1) data[0] = 0;
  return { forward, differentiated, situation };
}

/**
 * Feeds at which a step says the same in float32 and in float64. Both take the same side of every kink: a ReLU or a max pool may decide either way
 * where rounding makes the difference, and both gradients are right then. None where a network has a kink everywhere,
 * such as a max pool over what is always equal, or magnifies all rounding beyond the precision asked for.
 */
function steadyFeeds(compiled: Compiled, graph: Graph, { classes, batchSize }: NetworkSpec): Feeds | undefined {
  for (let attempt = 0; attempt < 50; attempt++) {
    const random = randomSource(`attempt ${attempt}`);
    const feeds = packedFeeds(graph, compiled.segments, randomSituation(compiled, classes, batchSize, random));
    const sides = [0, 1e-5, 1e-5].map((amount) => {
      const disturbed = disturbedFeeds(graph, feeds, amount, random);
      return branches(graph, evaluateValues(graph, disturbed, batchSize));
    });
    if (!sides.every((side) => side === sides[0])) continue;
    // Batch norms of a few values that are nearly alike, one after the other, magnify rounding without bounds.
    const rounded = evaluate(graph, feeds, batchSize, 'rounded');
    if (distance(rounded, evaluate(graph, feeds, batchSize)) < precision / 4) return feeds;
  }
  return undefined;
}

/** Every float changed by up to `amount` of it. */
function disturbedFeeds(graph: Graph, feeds: Feeds, amount: number, random: RandomSource): Feeds {
  return new Map(
    graph.inputs.map(({ name, value }) => {
      const { shape, data } = feeds.get(name) as NdArray;
      const isFloat = value.type.dtype === 'float32';
      return [name, { shape, data: isFloat ? data.map((x) => x * (1 + amount * (2 * random() - 1))) : data }];
    }),
  );
}

function only(arrays: ReadonlyMap<string, NdArray>, name: string): ReadonlyMap<string, NdArray> {
  return new Map([...arrays].filter(([key]) => key === name));
}
