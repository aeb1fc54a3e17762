/**
 * @file Memory budgets on random networks: what is accepted fits by another count of the model as it is written, no policy
 * that fits is cheaper, and a choice changed at random is accepted where that count says so, and only there.
 */

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Compiled, compile, compileGraph } from '../../src/compile.js';
import { bytesPerElement, concreteShape, elementCount, type Value } from '../../src/ir/index.js';
import { observedPeak } from '../../src/memory/check.js';
import { decodeModel, encodeGraph, programOf } from '../../src/onnx/index.js';
import { loadSolver, recordedSolver } from '../../src/passes/solvers/index.js';
import { stepMicroseconds, targetOf } from '../../src/targets/index.js';
import { networkOf, networkSpecs } from '../helpers/networks.js';

beforeAll(loadSolver);

const options = {
  seed: Number(process.env.DENSEC_SEED ?? 20_261_128),
  numRuns: process.env.DENSEC_LONG ? 200 : 6,
};
const timeout = process.env.DENSEC_LONG ? 3_600_000 : 120_000;

/** Bytes alive at the peak by the written model, in the planned order, counted as `verify` counts what ran. */
function countedPeak({ schedules: { training } }: Compiled, batchSize: number): number {
  const { graph, names, order } = training;
  const { nodes, outputs } = programOf(decodeModel(encodeGraph(training), 'the model'));
  const written = new Map(nodes.map((node) => [node.outputs.find(Boolean), node]));
  const bytesOf = ({ type }: Value): number =>
    elementCount(concreteShape(type.shape, batchSize)) * bytesPerElement[type.dtype];
  const bytes = new Map([...names].map(([value, name]) => [name, bytesOf(value)]));
  return observedPeak({
    nodes: order.flatMap(({ outputs: [first] }) => {
      const node = first && written.get(names.get(first));
      return node ? [{ ...node, outputBytes: node.outputs.map((name) => bytes.get(name) ?? 0) }] : [];
    }),
    inputs: new Map(graph.inputs.map(({ name, value }) => [name, bytesOf(value)])),
    outputs: new Set(outputs),
  });
}

function microsecondsOf({ schedules, target }: Compiled, batchSize: number): number {
  return stepMicroseconds(schedules.training.graph.nodes, targetOf(target), batchSize);
}

const cases = fc.record({
  spec: networkSpecs,
  /** Where the budget lies between the peaks of max and none. */
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  /** Decides which node of the choice is changed. */
  flip: fc.nat(),
});

describe('within a budget, a random network', () => {
  it(
    'has a plan that fits by another count, and that no policy which fits undercuts',
    () =>
      fc.assert(
        fc.property(cases, ({ spec, share, flip }) => {
          const { batchSize } = spec;
          const network = networkOf(spec);
          const policies = (['none', 'efficient', 'max'] as const).map((remat) => compile(network, { remat }));
          const peaks = policies.map((compiled) => countedPeak(compiled, batchSize));
          const [low, high] = [Math.min(...peaks), Math.max(...peaks)];
          const budgetBytes = Math.ceil(low + share * (high - low));
          const compiled = compile(network, { memory: { budgetBytes, batchSize, seconds: 2 } });
          const { certificate } = compiled;
          expect(countedPeak(compiled, batchSize)).toBe(certificate?.peakBytes);
          expect(certificate?.peakBytes).toBeLessThanOrEqual(budgetBytes);
          expect(certificate?.microseconds).toBeCloseTo(microsecondsOf(compiled, batchSize), 3);
          for (const [index, policy] of policies.entries()) {
            if ((peaks[index] as number) > budgetBytes) continue;
            const ratio = (certificate?.microseconds ?? Number.NaN) / microsecondsOf(policy, batchSize);
            expect(ratio).toBeLessThanOrEqual(1 + 1e-6);
          }

          // Another choice: the count that accepts plans is right about it, whichever way.
          const changed = new Set(compiled.recomputed);
          let accepted: number | undefined;
          const other = compileGraph(compiled.forward, {
            solver(usual) {
              const problem = usual.inLayout(compiled.layout);
              const positions = [...problem.candidates.keys()].map((node) => problem.graph.nodes.indexOf(node));
              const position = positions[flip % Math.max(1, positions.length)];
              if (position !== undefined && !changed.delete(position)) changed.add(position);
              const choice = recordedSolver([...changed], compiled.layout)(usual);
              accepted = Math.max(...Array.from(problem.ship(choice.again).liveBytes(batchSize)));
              return choice;
            },
          });
          expect(accepted).toBe(countedPeak(other, batchSize));
        }),
        options,
      ),
    timeout,
  );
});
