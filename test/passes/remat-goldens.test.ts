/** @file What recomputation, pinning and the lowering of `after` make of tiny graphs, as text. */

import { describe, expect, it } from 'vitest';
import { batchNorm, concat, conv2d, relu, type Tensor, traceNetwork } from '../../src/builders/index.js';
import { findOutput, type Graph, GraphBuilder, printGraph, type Shape } from '../../src/ir/index.js';
import { removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { lower } from '../../src/passes/lower.js';
import { trainingMode } from '../../src/passes/modes.js';
import { runPasses } from '../../src/passes/pass.js';
import { pinOrder } from '../../src/passes/pin-order.js';
import { recomputeCheap } from '../../src/passes/solvers/index.js';
import { targets } from '../../src/targets/index.js';
import { rematerializeBy } from '../helpers/rematerialize-by.js';

/** The gradients of a network whose loss is the sum of its last layer. */
function gradients(channels: number, forward: (images: Tensor) => Tensor): Graph {
  const graph = traceNetwork({
    name: 'tiny',
    inputShape: [channels, 2, 2],
    classes: 2,
    forward: (images) => {
      const x = forward(images);
      return x.with(x.builder.emit('reduceSum', [x.value], { axes: [2, 3], keepDims: false }));
    },
    loss: (logits) => logits.with(logits.builder.emit('reduceSum', [logits.value], { axes: [0, 1], keepDims: false })),
  });
  const outputs = [findOutput(graph, 'loss')];
  const passes = [removeDeadCode, trainingMode, removeDeadCode, shareSubexpressions, differentiate, removeDeadCode];
  const differentiated = runPasses({ ...graph, outputs }, passes);
  return { ...differentiated, outputs: differentiated.outputs.filter(({ role }) => role !== 'observation') };
}

/** The lines of nodes of some phases. */
function lines(graph: Graph, ...phases: readonly string[]): string {
  const nodes = printGraph(graph).split('\n');
  return nodes.filter((line) => phases.some((phase) => line.includes(`# ${phase}`))).join('\n');
}

const conv = (x: Tensor, name: string, filters: number): Tensor => conv2d(x, { name, filters, kernel: 1 });

const passes = [rematerializeBy(recomputeCheap), removeDeadCode];

describe('rematerialize', () => {
  it('copies batch norm and ReLU for the convolution that reads them, waiting for the gradient at it', () => {
    const graph = gradients(1, (images) => {
      const x = batchNorm(conv(images, 'first', 2), { name: 'norm' });
      return conv(relu(x), 'second', 2);
    });
    expect(lines(runPasses(graph, passes), 'forward', 'recompute')).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 2, 2] = conv2d(%images, %first.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward first
        %1: f32[2], %2: f32[2] = batchStatistics(%0)  # forward norm
        %3: f32[2], %4: f32[2] = normalizer(%2, %norm.weight) {epsilon=0.00001}  # forward norm
        %5: f32[N, 2, 2, 2] = center(%0, %1, %2) {epsilon=0.00001}  # forward norm
        %6: f32[N, 2, 2, 2] = affine(%5, %3, %norm.bias)  # forward norm
        %7: f32[N, 2, 2, 2] = relu(%6)  # forward
        %8: f32[N, 2, 2, 2] = conv2d(%7, %second.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward second
        %9: f32[N, 2] = reduceSum(%8) {axes=[2, 3], keepDims=false}  # forward
        %10: f32[] = reduceSum(%9) {axes=[0, 1], keepDims=false}  # forward loss
        %16: f32[N, 2, 2, 2] = after(%5, %15)  # recompute norm
        %17: f32[N, 2, 2, 2] = affine(%16, %3, %norm.bias)  # recompute norm
        %18: f32[N, 2, 2, 2] = relu(%17)  # recompute"
    `);
    expect(lines(runPasses(graph, passes), 'backward second', 'backward norm')).toMatchInlineSnapshot(`
      "  %19: f32[2, 2, 1, 1] = conv2dWeightGrad(%18, %15) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, kernel=[1, 1]}  # backward second
        %20: f32[N, 2, 2, 2] = conv2dInputGrad(%15, %second.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, inputShape=[N, 2, 2, 2]}  # backward second
        %22: f32[2], %23: f32[2] = channelSums(%21, %5)  # backward norm
        %24: f32[N, 2, 2, 2] = affine(%21, %3)  # backward norm
        %25: f32[] = sizeOf() {shape=[N, 2, 2]}  # backward norm
        %26: f32[] = neg(%25)  # backward norm
        %27: f32[2], %28: f32[2] = channelSums(%24, %5)  # backward norm
        %29: f32[] = constant() {value=(0.000009999999747378752)}  # backward norm
        %30: f32[2] = add(%2, %29)  # backward norm
        %31: f32[2] = mul(%30, %26)  # backward norm
        %32: f32[2] = div(%27, %31)  # backward norm
        %33: f32[2] = div(%28, %26)  # backward norm
        %34: f32[N, 2, 2, 2] = affine(%5, %32, %33)  # backward norm
        %35: f32[N, 2, 2, 2] = add(%24, %34)  # backward norm
        %36: f32[2] = div(%22, %4)  # backward norm"
    `);
  });

  it('copies a concatenation, of which one part waits', () => {
    const graph = gradients(1, (images) => {
      const x = conv(images, 'first', 2);
      return conv(concat([images, x]), 'second', 2);
    });
    expect(lines(runPasses(graph, passes), 'forward', 'recompute', 'backward second')).toMatchInlineSnapshot(`
      "  %0: f32[N, 2, 2, 2] = conv2d(%images, %first.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward first
        %1: f32[N, 3, 2, 2] = concat(%images, %0) {axis=1}  # forward
        %2: f32[N, 2, 2, 2] = conv2d(%1, %second.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward second
        %3: f32[N, 2] = reduceSum(%2) {axes=[2, 3], keepDims=false}  # forward
        %4: f32[] = reduceSum(%3) {axes=[0, 1], keepDims=false}  # forward loss
        %10: f32[N, 1, 2, 2] = after(%images, %9)  # recompute
        %11: f32[N, 3, 2, 2] = concat(%10, %0) {axis=1}  # recompute
        %12: f32[2, 3, 1, 1] = conv2dWeightGrad(%11, %9) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, kernel=[1, 1]}  # backward second
        %13: f32[N, 3, 2, 2] = conv2dInputGrad(%9, %second.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, inputShape=[N, 3, 2, 2]}  # backward second"
    `);
  });

  it('leaves alone what it has rewritten', () => {
    const graph = runPasses(
      gradients(1, (images) => conv(relu(conv(images, 'first', 2)), 'second', 2)),
      passes,
    );
    expect(printGraph(runPasses(graph, passes))).toBe(printGraph(graph));
  });
});

describe('pin-order', () => {
  const plain = (images: Tensor): Tensor => conv(relu(conv(relu(conv(images, 'first', 2)), 'second', 2)), 'third', 2);

  it('lets recomputation wait for the weight gradient of the layer before it', () => {
    const pinned = runPasses(gradients(1, plain), [...passes, pinOrder]);
    expect(lines(pinned, 'backward third', 'recompute')).toMatchInlineSnapshot(`
      "  %12: f32[N, 2, 2, 2] = after(%2, %11)  # recompute
        %13: f32[N, 2, 2, 2] = relu(%12)  # recompute
        %14: f32[2, 2, 1, 1] = conv2dWeightGrad(%13, %11) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, kernel=[1, 1]}  # backward third
        %15: f32[N, 2, 2, 2] = conv2dInputGrad(%11, %third.weight) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1, inputShape=[N, 2, 2, 2]}  # backward third
        %17: f32[N, 2, 2, 2] = after(%0, %16, %14)  # recompute
        %18: f32[N, 2, 2, 2] = relu(%17)  # recompute"
    `);
  });

  it('changes nothing where nothing is recomputed', () => {
    const graph = gradients(1, plain);
    expect(printGraph(pinOrder.run(graph))).toBe(printGraph(graph));
  });
});

describe('the lowering of after', () => {
  const f32 = (...shape: Shape) => ({ dtype: 'float32', shape }) as const;

  const lowered = (shape: Shape, ...signals: readonly Shape[]): string => {
    const builder = new GraphBuilder('waiting');
    const x = builder.input(f32(...shape), { name: 'x', role: 'batch' });
    const others = signals.map((signal, index) => builder.input(f32(...signal), { name: `t${index}`, role: 'batch' }));
    const value = builder.emit('after', [x, ...others], {});
    return lines(lower(targets.cpu).run(builder.finish([{ name: 'y', role: 'result', value }])), 'forward');
  };

  it('adds nothing to the extents of a batch that waits for batches', () => {
    expect(lowered(['N', 2, 4, 4], ['N', 3], ['N', 2])).toMatchInlineSnapshot(`
      "  %0: i64[1] = shape(%t0) {start=0, end=1}  # forward
        %1: i64[1] = shape(%t1) {start=0, end=1}  # forward
        %2: i64[4] = constant() {value=[4](0, 0, 0, 0)}  # forward
        %3: i64[4] = minimum(%0, %1, %2)  # forward
        %4: f32[N, 2, 4, 4] = reshape(%x, %3) {shape=[N, 2, 4, 4]}  # forward"
    `);
  });

  it('takes an empty slice of a signal that has no batch axis', () => {
    expect(lowered(['N', 2, 4, 4], [3, 2])).toMatchInlineSnapshot(`
      "  %0: i64[1] = constant() {value=[1](0)}  # forward
        %1: i64[1] = shape(%x) {start=0, end=1}  # forward
        %2: i64[1] = minimum(%1, %0)  # forward
        %3: f32[0*N, 2] = head(%t0, %0, %2)  # forward
        %4: i64[1] = shape(%3) {start=0, end=1}  # forward
        %5: i64[4] = constant() {value=[4](0, 0, 0, 0)}  # forward
        %6: i64[4] = minimum(%4, %5)  # forward
        %7: f32[N, 2, 4, 4] = reshape(%x, %6) {shape=[N, 2, 4, 4]}  # forward"
    `);
  });

  it('adds zero to a small tensor without a batch axis', () => {
    expect(lowered([4], ['N', 3])).toMatchInlineSnapshot(`
      "  %0: i64[1] = shape(%t0) {start=0, end=1}  # forward
        %1: i64[1] = constant() {value=[1](0)}  # forward
        %2: i64[1] = minimum(%0, %1)  # forward
        %3: f32[1] = cast(%2) {to=float32}  # forward
        %4: f32[] = reshape(%3) {shape=[]}  # forward
        %5: f32[4] = add(%x, %4)  # forward"
    `);
  });
});
