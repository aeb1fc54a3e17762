/** @file The inference graph: what batch norms become, and that it gives what evaluation gives. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  batchNorm,
  concat,
  conv2d,
  densenet,
  dropout,
  flatten,
  linear,
  type Network,
  relu,
  type Tensor,
} from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { inferenceGraph } from '../../src/inference.js';
import type { Graph, TensorData } from '../../src/ir/index.js';
import { expectClose } from '../helpers/compare.js';
import { evaluate, type NdArray } from '../helpers/evaluate.js';
import { networkOf, networkSpecs } from '../helpers/networks.js';
import { randomSource } from '../helpers/random.js';
import { runInRuntime } from '../helpers/runtime.js';
import { packedFeeds, randomSituation, type Tensors } from '../helpers/training.js';

/** The inference graph after folding, before lowering, as one word an operator. */
function operators(forward: (images: Tensor) => Tensor, inputShape: readonly number[] = [3, 4, 4]): string[] {
  const network: Network = {
    name: 'tiny',
    inputShape,
    classes: 2,
    forward: (images) => linear(flatten(forward(images)), { name: 'fc', features: 2 }),
  };
  let folded: Graph | undefined;
  inferenceGraph(network, compile(network).initial, (pass, graph) => {
    if (pass.name === 'fold-batch-norm') folded = graph;
  });
  const nodes = folded?.nodes.filter(({ operator }) => operator !== 'constant') ?? [];
  return nodes
    .slice(
      0,
      nodes.findIndex(({ operator }) => operator === 'matMul'),
    )
    .map((node) => {
      if (node.operator !== 'conv2d') return node.operator;
      const { groups } = node.attributes;
      return `conv2d/${groups}${node.inputs.length > 2 ? '+bias' : ''}`;
    });
}

const conv = (x: Tensor, name: string): Tensor => conv2d(x, { name, filters: 3, kernel: 3, padding: 1 });

describe('a batch norm', () => {
  it('goes into the convolution before it, across a dropout', () => {
    const norm = (x: Tensor): Tensor => batchNorm(dropout(conv(x, 'c'), { name: 'd', rate: 0.5 }), { name: 'n' });
    expect(operators((x) => relu(norm(x)))).toEqual(['conv2d/1+bias', 'relu', 'reshape']);
  });

  it('goes into one that has a bias', () => {
    const biased = (x: Tensor): Tensor => conv2d(x, { name: 'c', filters: 4, kernel: 1, bias: true });
    expect(operators((x) => batchNorm(biased(x), { name: 'n' }))).toEqual(['conv2d/1+bias', 'reshape']);
  });

  it('is an operator of its own where others read the convolution too, or another layer comes before', () => {
    const shared = (x: Tensor): Tensor => {
      const y = conv(x, 'c');
      return add(y, batchNorm(y, { name: 'n' }));
    };
    expect(operators(shared)).toEqual(['conv2d/1', 'conv2d/3+bias', 'add', 'reshape']);
    const dense = (x: Tensor): Tensor => batchNorm(concat([x, conv(x, 'c')]), { name: 'n' });
    expect(operators(dense)).toEqual(['conv2d/1', 'concat', 'conv2d/6+bias', 'reshape']);
  });

  it('is a product and a sum between fully connected layers', () => {
    const norm = (x: Tensor): Tensor => batchNorm(flatten(x), { name: 'n' });
    expect(operators(norm, [3, 1, 1])).toEqual(['reshape', 'mul', 'add', 'reshape']);
  });
});

describe('the inference graph', () => {
  it('takes images alone and has no state', () => {
    const network = densenet({ blockConfig: [1, 1], growthRate: 4, dropRate: 0.3, smallInputs: false });
    const graph = inferenceGraph(network, compile(network).initial);
    expect(graph.inputs.map(({ name }) => name)).toEqual(['images']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['logits', 'probabilities']);
    expect(graph.nodes.filter(({ operator }) => operator === 'normalize' || operator === 'batchNorm')).toEqual([]);
    // Of the stem, two layers, a transition and the head: conv0 and both conv1 take in the norm that follows.
    const biased = graph.nodes.filter(({ operator, inputs }) => operator === 'conv2d' && inputs.length > 2);
    expect(biased).toHaveLength(3 + 4);
  });

  it("gives evaluation's logits for random networks, and probabilities that sum to 1", () =>
    fc.assert(
      fc.asyncProperty(networkSpecs, async (spec) => {
        const network = networkOf(spec);
        const compiled = compile(network);
        const situation = randomSituation(compiled, spec.classes, spec.batchSize, randomSource(JSON.stringify(spec)));
        const { evaluation, segments } = compiled;
        const feeds = packedFeeds(evaluation, segments, situation);
        const expected = evaluate(evaluation, feeds, spec.batchSize);
        const graph = inferenceGraph(network, asState(situation.state));
        const images = new Map([['images', situation.rest.get('images') as NdArray]]);
        const inferred = evaluate(graph, images, spec.batchSize);
        expectClose(only(inferred, 'logits'), only(expected, 'logits'), 1e-5);
        expectClose(await runInRuntime(graph, images), inferred, 1e-4);
        const probabilities = Array.from(inferred.get('probabilities')?.data ?? []);
        expect(probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(spec.batchSize, 9);
      }),
      { numRuns: process.env.DENSEC_LONG ? 1000 : 40, seed: Number(process.env.DENSEC_SEED ?? 20_240_817) },
    ));

  it.each<[string, boolean]>([
    ["CIFAR's", true],
    ["ImageNet's", false],
  ])('differs by less than 1e-5 from evaluation in the runtime, with %s stem', async (_, smallInputs) => {
    const network = densenet({ blockConfig: [3, 4, 3], growthRate: 12, smallInputs, imageSize: 40 });
    const compiled = compile(network);
    const situation = randomSituation(compiled, 10, 4, randomSource('inference'));
    const { evaluation, segments } = compiled;
    const expected = await runInRuntime(evaluation, packedFeeds(evaluation, segments, situation));
    const images = new Map([['images', situation.rest.get('images') as NdArray]]);
    const inferred = await runInRuntime(inferenceGraph(network, asState(situation.state)), images);
    expectClose(only(inferred, 'logits'), only(expected, 'logits'), 1e-5);
  });
});

function only(arrays: Tensors, name: string): Tensors {
  return new Map([[name, arrays.get(name) as NdArray]]);
}

/** Parameters and running statistics as a state file has them. */
function asState(state: Tensors): Map<string, TensorData> {
  return new Map(
    [...state].map(([name, { shape, data }]) => [name, { dtype: 'float32', shape, data: Float32Array.from(data) }]),
  );
}
