/**
 * @file What a step must be for a card to capture it as one graph, read off the graphs that are built: nothing is copied
 * between host and device in mid-step, and state is updated where it lies.
 */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { constantValues, type Graph, type Node, type OperatorName, type Value } from '../../src/ir/index.js';
import { decodeModel, encodeGraph, programOf, valueTypes } from '../../src/onnx/index.js';
import { updatedInPlace } from '../../src/runtime/session/ort/state-order.js';
import { isNext } from '../../src/step/interface.js';

/** Operands that the provider's kernels read on the host. */
const readOnHost: { readonly [K in OperatorName]?: readonly number[] } = {
  reshape: [1],
  expand: [1],
  reduceSum: [1],
  head: [1, 2],
  range: [0],
};

/** Values that the provider computes on the host: extents, and what is made of nothing but extents and constants. */
function hostValues(graph: Graph): ReadonlySet<Value> {
  const constants = constantValues(graph);
  const host = new Set<Value>();
  for (const { operator, inputs, outputs } of graph.nodes) {
    const isExtent =
      operator === 'shape' ||
      (inputs.some((value) => host.has(value)) &&
        inputs.every(
          (value, position) => constants.has(value) || (host.has(value) && !readOnHost[operator]?.includes(position)),
        ));
    if (isExtent) for (const value of outputs) host.add(value);
  }
  return host;
}

/** Operands that would be copied from the host to the card, or back, in mid-step. */
function copies(graph: Graph): readonly string[] {
  const constants = constantValues(graph);
  const host = hostValues(graph);
  const isHost = ({ outputs }: Node): boolean => outputs.every((value) => host.has(value));
  return graph.nodes
    .filter((node) => node.operator !== 'shape' && node.operator !== 'constant' && !isHost(node))
    .flatMap(({ operator, inputs, origin }) =>
      inputs.flatMap((value, position) => {
        if (constants.has(value)) return [];
        const wanted = readOnHost[operator]?.includes(position) ?? false;
        return wanted === host.has(value) ? [] : [`operand ${position} of ${operator} in ${origin.scope}`];
      }),
    );
}

const networks = {
  cifar: { blockConfig: [3, 2], growthRate: 4, imageSize: 16 },
  dropout: { blockConfig: [1, 1], growthRate: 4, imageSize: 16, dropRate: 0.2 },
  imagenet: { blockConfig: [1, 1], growthRate: 4, imageSize: 33, smallInputs: false },
} as const;

const cases = (Object.keys(networks) as (keyof typeof networks)[]).flatMap((network) =>
  (['plain', 'cudnn'] as const).flatMap((kernels) =>
    (['none', 'max'] as const).flatMap((remat) =>
      (['sgd', 'adamw'] as const).map((kind) => ({ network, kernels, remat, kind })),
    ),
  ),
);

describe.each(cases)('$network, $kernels, $remat, $kind', ({ network, kernels, remat, kind }) => {
  const { training, schedules } = compile(densenet(networks[network]), {
    target: 'cuda',
    kernels,
    remat,
    optimizer: { kind, clipNorm: 1 },
  });

  it('copies nothing between host and card in mid-step', () => {
    expect(copies(training)).toEqual([]);
  });

  it('updates all state where it lies', () => {
    const model = decodeModel(encodeGraph(schedules.training), 'the model');
    const [inputs, outputs] = [valueTypes(model.graph?.input), valueTypes(model.graph?.output)];
    const updates = [...outputs.keys()]
      .filter(isNext)
      .map((output) => ({ output, input: output.slice(output.indexOf('.') + 1) }));
    expect(updates.length).toBeGreaterThan(3);
    const sameShape = (a: string, b: string): boolean => inputs.get(a)?.shape.join() === outputs.get(b)?.shape.join();
    const inPlace = updatedInPlace(programOf(model), updates, sameShape);
    expect(updates.filter(({ input }) => !inPlace.has(input))).toEqual([]);
  });
});

it('a float that is made of an extent would be found', () => {
  const { training } = compile(densenet(networks.cifar), { target: 'cpu' });
  expect(copies(training)).not.toEqual([]);
});
