/**
 * @file What the algebraic rewrites make of tiny graphs, as text; that they compute the same, forward and backward; and
 * that they leave alone what they have rewritten.
 */

import { describe, expect, it } from 'vitest';
import {
  add,
  averagePool2d,
  batchNorm,
  concat,
  conv2d,
  globalAveragePool,
  linear,
  relu,
  type Tensor,
  traceNetwork,
} from '../../src/builders/index.js';
import {
  concreteShape,
  findOutput,
  type Graph,
  GraphBuilder,
  parseGraph,
  printGraph,
  type Shape,
} from '../../src/ir/index.js';
import { accumulate } from '../../src/passes/accumulate.js';
import { dropUnits, mergeReshapes, removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { distributeConcat, shareStatistics } from '../../src/passes/distribute-concat.js';
import { elideNormalizable, fuseAffine } from '../../src/passes/fuse-affine.js';
import { fuseConvolutions } from '../../src/passes/fuse-convolutions.js';
import { groupFeatures } from '../../src/passes/group-features.js';
import { usualLayout } from '../../src/passes/layout.js';
import { trainingMode } from '../../src/passes/modes.js';
import { type Pass, runPasses } from '../../src/passes/pass.js';
import { poolFirst } from '../../src/passes/pool-first.js';
import { sumAffine } from '../../src/passes/sum-affine.js';
import { expectClose } from '../helpers/compare.js';
import { evaluate, type Feeds } from '../helpers/evaluate.js';
import { randomArray, randomSource } from '../helpers/random.js';

const batchSize = 3;

/** The training forward pass of a network whose loss is the sum of its logits. */
function trace(channels: number, forward: (images: Tensor) => Tensor): Graph {
  const graph = traceNetwork({
    name: 'tiny',
    inputShape: [channels, 4, 4],
    classes: 2,
    forward: (images) => linear(globalAveragePool(forward(images)), { name: 'fc', features: 2, bias: false }),
    loss: (logits) => logits.with(logits.builder.emit('reduceSum', [logits.value], { axes: [0, 1], keepDims: false })),
  });
  const trained = trainingMode.run({ ...graph, outputs: [findOutput(graph, 'loss')] });
  return removeDeadCode.run({ ...trained, outputs: trained.outputs.filter(({ role }) => role === 'result') });
}

function randomFeeds(graph: Graph): Feeds {
  const random = randomSource('rewrites');
  return new Map(
    graph.inputs.map(({ name, value }) => [
      name,
      randomArray(concreteShape(value.type.shape, batchSize), random, name.endsWith('var') ? 'positive' : 'normal'),
    ]),
  );
}

/** Runs passes on a graph and requires that loss and gradients stay the same, and that a second run changes nothing. */
function rewritten(graph: Graph, ...passes: readonly Pass[]): Graph {
  const result = runPasses(graph, passes);
  const feeds = randomFeeds(graph);
  const clean = [removeDeadCode, shareSubexpressions];
  const values = (changed: Graph) => evaluate(runPasses(changed, [differentiate, ...clean]), feeds, batchSize);
  expectClose(values(result), values(graph), 1e-10);
  const settled = runPasses(result, passes);
  expect(printGraph(settled)).toBe(printGraph(result));
  return result;
}

/** The lines of a graph's nodes, without origins. */
function nodesOf(graph: Graph): string {
  return printGraph(graph)
    .split('\n')
    .filter((line) => line.includes('  # '))
    .map((line) => line.replace(/ {2}# .*/, ''))
    .join('\n');
}

const pointwise = (x: Tensor, name: string, filters: number): Tensor => conv2d(x, { name, filters, kernel: 1 });

describe('pool-first', () => {
  it('averages before a 1×1 convolution mixes channels', () => {
    const graph = trace(2, (images) => averagePool2d(pointwise(images, 'mix', 3), { kernel: 2 }));
    expect(nodesOf(rewritten(graph, poolFirst))).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 2, 2] = averagePool2d(%images) {kernel=[2, 2], stride=[2, 2], pads=[0, 0, 0, 0]}
        %1: f32[N, 3, 2, 2] = conv2d(%0, %mix.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %2: f32[N, 3] = reduceMean(%1) {axes=[2, 3], keepDims=false}
        %3: f32[N, 2] = matMul(%2, %fc.weight) {transposeA=false, transposeB=true}
        %4: f32[] = reduceSum(%3) {axes=[0, 1], keepDims=false}"
    `);
  });

  it.each([
    [
      'has a stride',
      (x: Tensor) => averagePool2d(conv2d(x, { name: 'c', filters: 2, kernel: 1, stride: 2 }), { kernel: 2 }),
    ],
    ['has neighbours', (x: Tensor) => averagePool2d(conv2d(x, { name: 'c', filters: 2, kernel: 3 }), { kernel: 2 })],
    ['is padded', (x: Tensor) => averagePool2d(pointwise(x, 'c', 2), { kernel: 2, padding: 1 })],
    [
      'has another reader',
      (x: Tensor) => {
        const y = pointwise(x, 'c', 2);
        return concat([averagePool2d(y, { kernel: 2 }), averagePool2d(relu(y), { kernel: 2 })]);
      },
    ],
  ])('leaves a convolution alone that %s', (_, forward) => {
    const graph = trace(2, forward);
    expect(printGraph(poolFirst.run(graph))).toBe(printGraph(graph));
  });
});

/** A dense block of four layers. */
const denseBlock = (images: Tensor): Tensor => {
  const features = [images];
  for (const layer of [1, 2, 3, 4]) {
    const x = relu(batchNorm(concat(features), { name: `layer${layer}.norm` }));
    features.push(pointwise(x, `layer${layer}.conv`, 2));
  }
  return concat(features);
};

describe('group-features', () => {
  it('lets layers share what their concatenations have in common', () => {
    const graph = rewritten(trace(2, denseBlock), groupFeatures(usualLayout.parts));
    expect(
      nodesOf(graph)
        .split('\n')
        .filter((line) => line.includes('concat'))
        .join('\n'),
    ).toMatchInlineSnapshot(`
      "  %8: f32[N, 4, 4, 4] = concat(%images, %7) {axis=1, as=group}
        %17: f32[N, 6, 4, 4] = concat(%8, %16) {axis=1}
        %26: f32[N, 4, 4, 4] = concat(%16, %25) {axis=1, as=group}
        %27: f32[N, 8, 4, 4] = concat(%8, %26) {axis=1}
        %36: f32[N, 10, 4, 4] = concat(%8, %26, %35) {axis=1}"
    `);
  });

  it('leaves concatenations alone that have nothing in common', () => {
    const graph = trace(2, (x) => concat([concat([relu(x), x]), relu(x)]));
    expect(nodesOf(groupFeatures(usualLayout.parts).run(graph))).not.toMatch('as=group');
  });
});

describe('distribute-concat', () => {
  it('takes statistics, maps and convolves part by part', () => {
    const graph = trace(2, (x) => pointwise(relu(batchNorm(concat([x, relu(x)]), { name: 'norm' })), 'mix', 3));
    expect(nodesOf(rewritten(graph, distributeConcat))).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 4, 4] = relu(%images)
        %1: f32[2], %2: f32[2] = batchStatistics(%images)
        %3: f32[2], %4: f32[2] = batchStatistics(%0)
        %5: f32[4] = concat(%1, %3) {axis=0}
        %6: f32[4] = concat(%2, %4) {axis=0}
        %7: f32[4], %8: f32[4] = normalizer(%6, %norm.weight) {epsilon=0.00001}
        %9: f32[2], %10: f32[2] = split(%7) {axis=0, sizes=[2, 2]}
        %11: f32[2], %12: f32[2] = split(%norm.bias) {axis=0, sizes=[2, 2]}
        %13: f32[3, 2, 1, 1], %14: f32[3, 2, 1, 1] = split(%mix.weight) {axis=1, sizes=[2, 2]}
        %15: f32[N, 2, 4, 4] = center(%images, %1, %2) {epsilon=0.00001}
        %16: f32[N, 2, 4, 4] = affine(%15, %9, %11)
        %17: f32[N, 2, 4, 4] = relu(%16)
        %18: f32[N, 3, 4, 4] = conv2d(%17, %13) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %19: f32[N, 2, 4, 4] = center(%0, %3, %4) {epsilon=0.00001}
        %20: f32[N, 2, 4, 4] = affine(%19, %10, %12)
        %21: f32[N, 2, 4, 4] = relu(%20)
        %22: f32[N, 3, 4, 4] = conv2dAdd(%18, %21, %14) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %23: f32[N, 3] = reduceMean(%22) {axes=[2, 3], keepDims=false}
        %24: f32[N, 2] = matMul(%23, %fc.weight) {transposeA=false, transposeB=true}
        %25: f32[] = reduceSum(%24) {axes=[0, 1], keepDims=false}"
    `);
  });

  it('builds a concatenation for readers that need it whole', () => {
    const graph = trace(2, (x) => conv2d(concat([x, relu(x)]), { name: 'whole', filters: 1, kernel: 3 }));
    expect(nodesOf(rewritten(graph, distributeConcat))).toBe(nodesOf(graph));
  });

  it('keeps what bypasses batch norm apart from what goes through it', () => {
    const graph = trace(2, (x) => {
      const [a, b] = [pointwise(x, 'a', 2), pointwise(x, 'b', 2)];
      const y = pointwise(relu(batchNorm(concat([a, b]), { name: 'norm' })), 'mix', 2);
      return add(add(y, a), b);
    });
    rewritten(graph, groupFeatures(usualLayout.parts), distributeConcat);
  });

  it('is the same for a dense block, grouped or not', () => {
    rewritten(trace(2, denseBlock), distributeConcat);
    rewritten(trace(2, denseBlock), groupFeatures(usualLayout.parts), distributeConcat);
  });
});

describe('sum-affine', () => {
  it('scales sums instead of what is summed', () => {
    const graph = removeDeadCode.run(
      differentiate.run(trace(1, (x) => relu(batchNorm(pointwise(x, 'mix', 2), { name: 'norm' })))),
    );
    const feeds = randomFeeds(graph);
    const result = runPasses(graph, [sumAffine, removeDeadCode, shareSubexpressions]);
    expectClose(evaluate(result, feeds, batchSize), evaluate(graph, feeds, batchSize), 1e-10);
    const passesOver = (changed: Graph): number =>
      changed.nodes.filter(({ operator }) => operator === 'channelSums').length;
    expect([passesOver(graph), passesOver(result)]).toEqual([2, 1]);
    expect(printGraph(sumAffine.run(result))).toBe(printGraph(result));
  });
});

const f32 = (...shape: Shape) => ({ dtype: 'float32', shape }) as const;

/** A graph of a few nodes over `x` [N, 2, 4, 4]; `build` returns its result. */
function draft(build: (builder: GraphBuilder) => import('../../src/ir/index.js').Value): Graph {
  const builder = new GraphBuilder('draft');
  return builder.finish([{ name: 'y', role: 'result', value: build(builder) }]);
}

function same(graph: Graph, pass: Pass): Graph {
  const result = removeDeadCode.run(pass.run(graph));
  const feeds = randomFeeds(graph);
  expectClose(evaluate(result, feeds, batchSize), evaluate(graph, feeds, batchSize), 1e-12);
  expect(printGraph(pass.run(result))).toBe(printGraph(result));
  return result;
}

const batchInput = (builder: GraphBuilder, name: string, ...shape: Shape) =>
  builder.input(f32(...shape), { name, role: 'batch' });

const unit = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1 } as const;

describe('fuse-convolutions', () => {
  it('takes a ReLU and an addition along', () => {
    const graph = parseGraph(`
      graph draft {
        in  batch %x: f32[N, 2, 4, 4]
        in  batch %w: f32[2, 2, 1, 1]
        %a: f32[N, 2, 4, 4] = conv2d(%x, %w) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %b: f32[N, 2, 4, 4] = relu(%a)
        %c: f32[N, 2, 4, 4] = conv2d(%b, %w) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %y: f32[N, 2, 4, 4] = add(%c, %x)
        out result y = %y
      }`);
    expect(nodesOf(same(graph, fuseConvolutions))).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 4, 4] = fusedConv2d(%x, %w) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, adds=false, relu=true}
        %1: f32[N, 2, 4, 4] = fusedConv2d(%0, %w, %x) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, adds=true, relu=false}"
    `);
  });

  it('leaves a convolution alone that has another reader, and an addition that broadcasts', () => {
    const shared = draft((builder) => {
      const [x, w] = [batchInput(builder, 'x', 'N', 2, 4, 4), batchInput(builder, 'w', 2, 2, 1, 1)];
      const y = builder.emit('conv2d', [x, w], unit);
      return builder.emit('add', [builder.emit('relu', [y], {}), y], {});
    });
    expect(printGraph(fuseConvolutions.run(shared))).toBe(printGraph(shared));
    const broadcast = draft((builder) => {
      const [x, w] = [batchInput(builder, 'x', 'N', 2, 4, 4), batchInput(builder, 'w', 2, 2, 1, 1)];
      return builder.emit('add', [builder.emit('conv2d', [x, w], unit), batchInput(builder, 'b', 1, 2, 1, 1)], {});
    });
    expect(printGraph(fuseConvolutions.run(broadcast))).toBe(printGraph(broadcast));
  });
});

describe('merge-reshapes', () => {
  it('reshapes once, and not at all where nothing changes', () => {
    const graph = parseGraph(`
      graph draft {
        in  batch %a: f32[N, 6]
        in  batch %b: f32[N, 6]
        %c: f32[N, 2, 3] = reshape(%a) {shape=[N, 2, 3]}
        %d: f32[N, 2, 3] = reshape(%b) {shape=[N, 2, 3]}
        %image: f32[N, 6, 1, 1] = reshape(%c) {shape=[N, 6, 1, 1]}
        %back: f32[N, 6] = reshape(%d) {shape=[N, 6]}
        %negative: f32[N, 6, 1, 1] = neg(%image)
        %row: f32[N, 6] = reshape(%negative) {shape=[N, 6]}
        %y: f32[N, 6] = add(%row, %back)
        out result y = %y
      }`);
    expect(nodesOf(same(graph, mergeReshapes))).toMatchInlineSnapshot(`
      "  %0: f32[N, 6, 1, 1] = reshape(%a) {shape=[N, 6, 1, 1]}
        %1: f32[N, 6, 1, 1] = neg(%0)
        %2: f32[N, 6] = reshape(%1) {shape=[N, 6]}
        %3: f32[N, 6] = add(%2, %b)"
    `);
  });
});

describe('drop-units', () => {
  it('drops products with 1, unless they broadcast', () => {
    const graph = parseGraph(`
      graph draft {
        in  batch %x: f32[N, 2]
        %one: f32[] = constant() {value=(1)}
        %same: f32[N, 2] = mul(%one, %x)
        %y: f32[N, 2] = neg(%same)
        out result y = %y
      }`);
    expect(nodesOf(same(graph, dropUnits))).toMatchInlineSnapshot(`"  %0: f32[N, 2] = neg(%x)"`);
  });
});

describe('fuse-affine', () => {
  it('takes concatenation, batch norm and ReLU in one operator', () => {
    const graph = trace(2, (x) => pointwise(relu(batchNorm(concat([x, relu(x)]), { name: 'norm' })), 'mix', 3));
    expect(nodesOf(rewritten(graph, shareStatistics, fuseAffine, removeDeadCode))).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 4, 4] = relu(%images)
        %1: f32[2], %2: f32[2] = batchStatistics(%images)
        %3: f32[2], %4: f32[2] = batchStatistics(%0)
        %5: f32[4] = concat(%2, %4) {axis=0}
        %6: f32[4], %7: f32[4] = normalizer(%5, %norm.weight) {epsilon=0.00001}
        %8: f32[N, 2, 4, 4] = normalizable(%images, %1, %2) {epsilon=0.00001}
        %9: f32[N, 2, 4, 4] = normalizable(%0, %3, %4) {epsilon=0.00001}
        %10: f32[4] = concat(%1, %3) {axis=0}
        %11: f32[N, 4, 4, 4] = affineRelu(%6, %norm.bias, %10, %8, %9) {relu=true}
        %12: f32[N, 3, 4, 4] = conv2d(%11, %mix.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}
        %13: f32[N, 3] = reduceMean(%12) {axes=[2, 3], keepDims=false}
        %14: f32[N, 2] = matMul(%13, %fc.weight) {transposeA=false, transposeB=true}
        %15: f32[] = reduceSum(%14) {axes=[0, 1], keepDims=false}"
    `);
  });

  it('leaves out the ReLU where something else reads what it does', () => {
    const graph = trace(2, (x) => {
      const y = batchNorm(x, { name: 'norm' });
      return add(relu(y), y);
    });
    expect(nodesOf(rewritten(graph, fuseAffine, removeDeadCode))).toMatch(/affineRelu.*relu=false/);
  });

  it('keeps groups, and takes parts from them', () => {
    rewritten(trace(2, denseBlock), groupFeatures(usualLayout.parts), shareStatistics, fuseAffine, removeDeadCode);
  });
});

describe('accumulate', () => {
  const derive = [differentiate, elideNormalizable, removeDeadCode, shareSubexpressions];

  it('adds to what is there in the kernel that computes the gradient', () => {
    const graph = runPasses(trace(2, denseBlock), [shareStatistics, fuseAffine, ...derive]);
    const before = nodesOf(graph).match(/ add\(/g)?.length ?? 0;
    const accumulated = runPasses(graph, [accumulate, removeDeadCode]);
    const feeds = randomFeeds(graph);
    expectClose(evaluate(accumulated, feeds, batchSize), evaluate(graph, feeds, batchSize), 1e-12);
    expect(nodesOf(accumulated).match(/ add\(/g)?.length ?? 0).toBeLessThan(before);
    expect(nodesOf(accumulated).match(/affineReluGrad.*accumulates=\[[01], 1/g)).not.toBeNull();
    expect(printGraph(accumulate.run(accumulated))).toBe(printGraph(accumulated));
  });
});
