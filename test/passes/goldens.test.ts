/** @file What modes, clean-ups, differentiation and packing make of a tiny graph, as text; and that they leave alone what they have processed. */

import { describe, expect, it } from 'vitest';
import {
  add,
  batchNorm,
  conv2d,
  dropout,
  globalAveragePool,
  linear,
  type Network,
  relu,
  type Tensor,
  traceNetwork,
} from '../../src/builders/index.js';
import { findOutput, type Graph, parseGraph, printGraph } from '../../src/ir/index.js';
import { elideExpand, removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { evaluationMode, trainingMode } from '../../src/passes/modes.js';
import { packState, planSegments } from '../../src/passes/pack-state.js';
import type { Pass } from '../../src/passes/pass.js';

/** The forward pass of a network whose loss is the mean of its logits, which keeps goldens short. */
function trace(inputShape: readonly number[], classes: number, forward: (images: Tensor) => Tensor): Graph {
  const network: Network = {
    name: 'tiny',
    inputShape,
    classes,
    forward,
    loss: (logits) => logits.with(logits.builder.emit('reduceMean', [logits.value], { axes: [0, 1], keepDims: false })),
  };
  const graph = traceNetwork(network);
  return removeDeadCode.run({ ...graph, outputs: [findOutput(graph, 'loss')] });
}

/** conv, batch norm, ReLU, dropout, linear. */
const layers = (images: Tensor): Tensor => {
  let x = conv2d(images, { name: 'conv', filters: 2, kernel: 3, padding: 1 });
  x = relu(batchNorm(x, { name: 'norm' }));
  x = dropout(x, { name: 'drop', rate: 0.5 });
  return linear(globalAveragePool(x), { name: 'fc', features: 3, bias: false });
};

/** Fails unless a pass, run again, changes nothing. */
function expectSettled(pass: Pass, graph: Graph): void {
  expect(printGraph(pass.run(graph))).toBe(printGraph(graph));
}

describe('training-mode', () => {
  const graph = trainingMode.run(trace([1, 4, 4], 3, layers));

  it('gives batch norm the batch’s statistics and dropout a mask', () => {
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph tiny {
        in  batch %images: f32[N, 1, 4, 4]
        in  batch %labels: i64[N]
        in  parameter %conv.weight: f32[2, 1, 3, 3] {initializer=normal(0.3333333333333333)}
        in  parameter %norm.weight: f32[2] {initializer=constant(1)}
        in  parameter %norm.bias: f32[2]
        in  running %norm.running_mean: f32[2] {momentum=0.1}
        in  running %norm.running_var: f32[2] {initializer=constant(1), momentum=0.1}
        in  counter %norm.num_batches_tracked: i64[]
        in  parameter %fc.weight: f32[3, 2] {initializer=uniform(0.7071067811865475)}
        in  scalar %step: i64[]
        in  scalar %seed: i64[]
        %0: f32[N, 2, 4, 4] = conv2d(%images, %conv.weight) {stride=[1, 1], pads=[1, 1, 1, 1], groups=1}  # forward conv
        %1: f32[2], %2: f32[2] = batchStatistics(%0)  # forward norm
        %3: f32[] = sizeOf() {shape=[N, 4, 4]}  # update norm
        %4: f32[] = constant() {value=(1)}  # update norm
        %5: f32[] = sub(%3, %4)  # update norm
        %6: f32[] = div(%3, %5)  # update norm
        %7: f32[2] = mul(%2, %6)  # update norm
        %8: f32[2], %9: f32[2] = normalizer(%2, %norm.weight) {epsilon=0.00001}  # forward norm
        %10: f32[N, 2, 4, 4] = center(%0, %1, %2) {epsilon=0.00001}  # forward norm
        %11: f32[N, 2, 4, 4] = affine(%10, %8, %norm.bias)  # forward norm
        %12: f32[N, 2, 4, 4] = relu(%11)  # forward
        %13: f32[N, 2, 4, 4] = dropoutMask(%step, %seed) {rate=0.5, key=0, shape=[N, 2, 4, 4]}  # forward drop
        %14: f32[N, 2, 4, 4] = mul(%12, %13)  # forward drop
        %15: f32[N, 2] = reduceMean(%14) {axes=[2, 3], keepDims=false}  # forward
        %16: f32[N, 3] = matMul(%15, %fc.weight) {transposeA=false, transposeB=true}  # forward fc
        %17: f32[] = reduceMean(%16) {axes=[0, 1], keepDims=false}  # forward loss
        out result loss = %17
        out observation observed.norm.running_mean of norm.running_mean = %1
        out observation observed.norm.running_var of norm.running_var = %7
      }"
    `);
  });

  it('leaves a graph alone that has the mode', () => expectSettled(trainingMode, graph));
});

describe('evaluation-mode', () => {
  const graph = evaluationMode.run(trace([1, 4, 4], 3, layers));

  it('gives batch norm its running statistics and drops dropout and counters', () => {
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph tiny {
        in  batch %images: f32[N, 1, 4, 4]
        in  batch %labels: i64[N]
        in  parameter %conv.weight: f32[2, 1, 3, 3] {initializer=normal(0.3333333333333333)}
        in  parameter %norm.weight: f32[2] {initializer=constant(1)}
        in  parameter %norm.bias: f32[2]
        in  running %norm.running_mean: f32[2] {momentum=0.1}
        in  running %norm.running_var: f32[2] {initializer=constant(1), momentum=0.1}
        in  parameter %fc.weight: f32[3, 2] {initializer=uniform(0.7071067811865475)}
        %0: f32[N, 2, 4, 4] = conv2d(%images, %conv.weight) {stride=[1, 1], pads=[1, 1, 1, 1], groups=1}  # forward conv
        %1: f32[N, 2, 4, 4] = normalize(%0, %norm.running_mean, %norm.running_var, %norm.weight, %norm.bias) {epsilon=0.00001}  # forward norm
        %2: f32[N, 2, 4, 4] = relu(%1)  # forward
        %3: f32[N, 2] = reduceMean(%2) {axes=[2, 3], keepDims=false}  # forward
        %4: f32[N, 3] = matMul(%3, %fc.weight) {transposeA=false, transposeB=true}  # forward fc
        %5: f32[] = reduceMean(%4) {axes=[0, 1], keepDims=false}  # forward loss
        out result loss = %5
      }"
    `);
  });

  it('leaves a graph alone that has the mode', () => expectSettled(evaluationMode, graph));
});

describe('remove-dead-code', () => {
  const graph = removeDeadCode.run(
    parseGraph(`
      graph draft {
        in  batch %x: f32[N, 2]
        %unused: f32[N, 2] = exp(%x)
        %neither: f32[N, 2] = log(%unused)
        %y: f32[N, 2] = relu(%x)
        %left: f32[N, 1], %right: f32[N, 1] = split(%y) {axis=1, sizes=[1, 1]}
        out result y = %left
      }`),
  );

  it('keeps what results depend on, with all outputs of a node that has a used one', () => {
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph draft {
        in  batch %x: f32[N, 2]
        %0: f32[N, 2] = relu(%x)  # forward
        %1: f32[N, 1], %2: f32[N, 1] = split(%0) {axis=1, sizes=[1, 1]}  # forward
        out result y = %1
      }"
    `);
  });

  it('leaves a clean graph alone', () => expectSettled(removeDeadCode, graph));
});

describe('share-subexpressions', () => {
  const graph = shareSubexpressions.run(
    parseGraph(`
      graph draft {
        in  batch %x: f32[N, 2]
        %a: f32[N, 2] = exp(%x)
        %b: f32[N, 2] = relu(%a)
        %c: f32[N, 2] = exp(%x)
        %d: f32[N, 2] = relu(%c)
        %e: f32[N, 1] = slice(%x) {axes=[1], starts=[0], ends=[1], steps=[1]}
        %f: f32[N, 1] = slice(%x) {axes=[1], starts=[1], ends=[2], steps=[1]}
        %g: f32[N, 6] = concat(%b, %d, %e, %f) {axis=1}
        out result y = %g
      }`),
  );

  it('computes equal things once, and keeps those apart whose attributes differ', () => {
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph draft {
        in  batch %x: f32[N, 2]
        %0: f32[N, 2] = exp(%x)  # forward
        %1: f32[N, 2] = relu(%0)  # forward
        %2: f32[N, 1] = slice(%x) {axes=[1], starts=[0], ends=[1], steps=[1]}  # forward
        %3: f32[N, 1] = slice(%x) {axes=[1], starts=[1], ends=[2], steps=[1]}  # forward
        %4: f32[N, 6] = concat(%1, %1, %2, %3) {axis=1}  # forward
        out result y = %4
      }"
    `);
  });

  it('leaves a graph alone that computes nothing twice', () => expectSettled(shareSubexpressions, graph));
});

describe('elide-expand', () => {
  const graph = elideExpand.run(
    parseGraph(`
      graph draft {
        in  batch %x: f32[N, 2]
        %row: f32[1, 2] = reduceSum(%x) {axes=[0], keepDims=true}
        %rows: f32[N, 2] = expand(%row) {shape=[N, 2]}
        %product: f32[N, 2] = mul(%x, %rows)
        %square: f32[N, 2] = mul(%rows, %rows)
        %y: f32[N, 2] = add(%product, %square)
        out result y = %y
      }`),
  );

  it('leaves out a repetition that its consumer makes by itself', () => {
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph draft {
        in  batch %x: f32[N, 2]
        %0: f32[1, 2] = reduceSum(%x) {axes=[0], keepDims=true}  # forward
        %1: f32[N, 2] = expand(%0) {shape=[N, 2]}  # forward
        %2: f32[N, 2] = mul(%x, %0)  # forward
        %3: f32[N, 2] = mul(%0, %1)  # forward
        %4: f32[N, 2] = add(%2, %3)  # forward
        out result y = %4
      }"
    `);
  });

  it('leaves alone what it has cleaned', () => expectSettled(elideExpand, graph));
});

describe('differentiate', () => {
  it('appends the backward pass, adding up gradients that meet', () => {
    const forward = trace([1, 2, 2], 2, (images) => {
      const x = conv2d(images, { name: 'conv', filters: 2, kernel: 1, bias: true });
      return globalAveragePool(add(relu(x), x));
    });
    expect(printGraph(removeDeadCode.run(differentiate.run(forward)))).toMatchInlineSnapshot(`
      "graph tiny {
        in  batch %images: f32[N, 1, 2, 2]
        in  batch %labels: i64[N]
        in  parameter %conv.weight: f32[2, 1, 1, 1] {initializer=normal(1)}
        in  parameter %conv.bias: f32[2]
        %0: f32[N, 2, 2, 2] = conv2d(%images, %conv.weight, %conv.bias) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward conv
        %1: f32[N, 2, 2, 2] = relu(%0)  # forward
        %2: f32[N, 2, 2, 2] = add(%1, %0)  # forward
        %3: f32[N, 2] = reduceMean(%2) {axes=[2, 3], keepDims=false}  # forward
        %4: f32[] = reduceMean(%3) {axes=[0, 1], keepDims=false}  # forward loss
        %5: f32[] = constant() {value=(1)}  # backward loss
        %6: f32[] = sizeOf() {shape=[N, 2]}  # backward loss
        %7: f32[1, 1] = reshape(%5) {shape=[1, 1]}  # backward loss
        %8: f32[1, 1] = div(%7, %6)  # backward loss
        %9: f32[N, 2] = expand(%8) {shape=[N, 2]}  # backward loss
        %10: f32[] = constant() {value=(4)}  # backward
        %11: f32[N, 2, 1, 1] = reshape(%9) {shape=[N, 2, 1, 1]}  # backward
        %12: f32[N, 2, 1, 1] = div(%11, %10)  # backward
        %13: f32[N, 2, 2, 2] = expand(%12) {shape=[N, 2, 2, 2]}  # backward
        %14: f32[N, 2, 2, 2] = reluGrad(%13, %1)  # backward
        %15: f32[N, 2, 2, 2] = add(%13, %14)  # backward
        %16: f32[2, 1, 1, 1] = conv2dWeightGrad(%images, %15) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, kernel=[1, 1]}  # backward conv
        %17: f32[2] = reduceSum(%15) {axes=[0, 2, 3], keepDims=false}  # backward conv
        out result loss = %4
        out gradient gradient.conv.weight of conv.weight = %16
        out gradient gradient.conv.bias of conv.bias = %17
      }"
    `);
  });

  it('sends the gradient of batch norm through its statistics', () => {
    const forward = parseGraph(`
      graph norm {
        in  parameter %x: f32[N, 2]
        in  parameter %scale: f32[2]
        %mean: f32[2], %variance: f32[2] = batchStatistics(%x)
        %centered: f32[N, 2] = center(%x, %mean, %variance) {epsilon=0.125}
        %factor: f32[2], %sigma: f32[2] = normalizer(%variance, %scale) {epsilon=0.125}
        %y: f32[N, 2] = affine(%centered, %factor, %scale)
        %loss: f32[] = reduceSum(%y) {axes=[0, 1], keepDims=false}
        out result loss = %loss
      }`);
    expect(printGraph(removeDeadCode.run(differentiate.run(forward)))).toMatchInlineSnapshot(`
      "graph norm {
        in  parameter %x: f32[N, 2]
        in  parameter %scale: f32[2]
        %0: f32[2], %1: f32[2] = batchStatistics(%x)  # forward
        %2: f32[N, 2] = center(%x, %0, %1) {epsilon=0.125}  # forward
        %3: f32[2], %4: f32[2] = normalizer(%1, %scale) {epsilon=0.125}  # forward
        %5: f32[N, 2] = affine(%2, %3, %scale)  # forward
        %6: f32[] = reduceSum(%5) {axes=[0, 1], keepDims=false}  # forward
        %7: f32[] = constant() {value=(1)}  # backward loss
        %8: f32[1, 1] = reshape(%7) {shape=[1, 1]}  # backward
        %9: f32[N, 2] = expand(%8) {shape=[N, 2]}  # backward
        %10: f32[2], %11: f32[2] = channelSums(%9, %2)  # backward
        %12: f32[N, 2] = affine(%9, %3)  # backward
        %13: f32[2] = div(%10, %4)  # backward
        %14: f32[2] = add(%11, %13)  # backward
        %15: f32[] = sizeOf() {shape=[N]}  # backward
        %16: f32[] = neg(%15)  # backward
        %17: f32[2], %18: f32[2] = channelSums(%12, %2)  # backward
        %19: f32[] = constant() {value=(0.125)}  # backward
        %20: f32[2] = add(%1, %19)  # backward
        %21: f32[2] = mul(%20, %16)  # backward
        %22: f32[2] = div(%17, %21)  # backward
        %23: f32[2] = div(%18, %16)  # backward
        %24: f32[N, 2] = affine(%2, %22, %23)  # backward
        %25: f32[N, 2] = add(%12, %24)  # backward
        out result loss = %6
        out gradient gradient.x of x = %25
        out gradient gradient.scale of scale = %14
      }"
    `);
  });
});

/** A linear layer's gradients, the state unpacked. */
const gradients = differentiate.run(trace([2], 3, (images) => linear(images, { name: 'fc', features: 3 })));

describe('pack-state', () => {
  const segments = planSegments(gradients);
  const graph = packState(segments).run(gradients);

  it('splits one vector into the parameters and gathers their gradients into one', () => {
    const tensors = [
      { name: 'fc.bias', shape: [3], offset: 0 },
      { name: 'fc.weight', shape: [3, 2], offset: 3 },
    ];
    expect(segments).toEqual([{ name: 'parameter.0', role: 'parameter', dtype: 'float32', length: 9, tensors }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph tiny {
        in  batch %images: f32[N, 2]
        in  batch %labels: i64[N]
        in  parameter %parameter.0: f32[9]
        %0: f32[3], %1: f32[6] = split(%parameter.0) {axis=0, sizes=[3, 6]}  # forward state
        %2: f32[3, 2] = reshape(%1) {shape=[3, 2]}  # forward state
        %3: f32[N, 3] = matMul(%images, %2) {transposeA=false, transposeB=true}  # forward fc
        %4: f32[N, 3] = add(%3, %0)  # forward fc
        %5: f32[] = reduceMean(%4) {axes=[0, 1], keepDims=false}  # forward loss
        %6: f32[] = constant() {value=(1)}  # backward loss
        %7: f32[] = sizeOf() {shape=[N, 3]}  # backward loss
        %8: f32[1, 1] = reshape(%6) {shape=[1, 1]}  # backward loss
        %9: f32[1, 1] = div(%8, %7)  # backward loss
        %10: f32[N, 3] = expand(%9) {shape=[N, 3]}  # backward loss
        %11: f32[1, 3] = reduceSum(%10) {axes=[0], keepDims=true}  # backward fc
        %12: f32[3] = reshape(%11) {shape=[3]}  # backward fc
        %13: f32[N, 2] = matMul(%10, %2) {transposeA=false, transposeB=false}  # backward fc
        %14: f32[3, 2] = matMul(%10, %images) {transposeA=true, transposeB=false}  # backward fc
        %15: f32[6] = reshape(%14) {shape=[6]}  # update state
        %16: f32[9] = concat(%12, %15) {axis=0}  # update state
        out result loss = %5
        out gradient gradient.parameter.0 of parameter.0 = %16
      }"
    `);
  });

  it('leaves a packed graph alone', () => expectSettled(packState(segments), graph));
});
