/** @file Lowering computes the same for every target, in float64 and, exported, in the runtime; and what it writes, as text. */

import { describe, expect, it } from 'vitest';
import {
  floatTensor,
  type Graph,
  GraphBuilder,
  InternalError,
  printGraph,
  traitsOf,
  type Value,
  verifyGraph,
} from '../../src/ir/index.js';
import { maxPoolGrad } from '../../src/operators/pooling.js';
import { elideExpand, removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { lower } from '../../src/passes/lower.js';
import { runPasses } from '../../src/passes/pass.js';
import { targets } from '../../src/targets/index.js';
import { byName, differentiableCases, forwardCases } from '../helpers/cases.js';
import { expectClose } from '../helpers/compare.js';
import { dropoutHash } from '../helpers/evaluate/dropout.js';
import { evaluate, ndArray } from '../helpers/evaluate.js';
import { runInRuntime } from '../helpers/runtime.js';

/** Forward and backward pass of every case. */
const cases = byName([
  ...differentiableCases.map((entry) => ({ ...entry, graph: differentiate.run(entry.graph) })),
  ...forwardCases,
]);

describe.each(Object.values(targets))('lowered for $name', (target) => {
  it.each(cases)('%s', async (_, { graph, feeds, batchSize, exactness, precision }) => {
    const expected = evaluate(graph, feeds, batchSize);

    const lowered = lower(target).run(graph);
    verifyGraph(lowered);
    expect(lowered.nodes.filter(({ operator }) => traitsOf(operator).composite)).toEqual([]);
    expectClose(evaluate(lowered, feeds, batchSize), expected, exactness);
    expectClose(await runInRuntime(lowered, feeds), expected, precision);

    const finished = runPasses(graph, [elideExpand, lower(target), removeDeadCode, shareSubexpressions]);
    expectClose(evaluate(finished, feeds, batchSize), expected, exactness);
  });
});

/** Windows that overlap and reach into the padding, over numbers of which many are equal and none is above 0. */
describe.each(Object.values(targets))('ties of max pooling, lowered for $name', (target) => {
  it('give the first of equal elements all of the gradient, as the reference kernel does', async () => {
    const shape = [2, 3, 7, 6] as const;
    const builder = new GraphBuilder('ties');
    const x = builder.input({ dtype: 'float32', shape: ['N', ...shape.slice(1)] }, { name: 'x', role: 'batch' });
    const window = { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] } as const;
    const [y, indices] = builder.emitAll('maxPool2d', [x], window) as [Value, Value];
    const dy = builder.input(y.type, { name: 'dy', role: 'batch' });
    const dx = builder.emit('maxPool2dGrad', [dy, indices], { inputShape: x.type.shape });
    const graph = builder.finish([{ name: 'dx', role: 'result', value: dx }]);

    const values = Float64Array.from({ length: 2 * 3 * 42 }, (_, index) => -((index * 7) % 3));
    const gradient = Float64Array.from({ length: 2 * 3 * 12 }, (_, index) => index + 1);
    const feeds = new Map([
      ['x', ndArray(shape, values)],
      ['dy', ndArray([2, 3, 4, 3], gradient)],
    ]);
    const expected = new Float32Array(values.length);
    const host = (extents: readonly number[], data: Float32Array) => ({ shape: extents, data });
    maxPoolGrad.reference(
      [host([2, 3, 4, 3], Float32Array.from(gradient)), host(shape, Float32Array.from(values))],
      [host(shape, expected)],
      { kernel_shape: window.kernel, strides: window.stride, pads: window.pads },
    );
    const lowered = lower(target).run(graph);
    expect([...((await runInRuntime(lowered, feeds)).get('dx')?.data ?? [])]).toEqual([...expected]);
  });
});

describe('lower', () => {
  it.each(Object.values(targets))('leaves a graph lowered for $name as it is', (target) => {
    for (const [, { graph }] of cases) {
      const lowered = lower(target).run(graph);
      expect(printGraph(lower(target).run(lowered))).toBe(printGraph(lowered));
    }
  });

  it.each([
    ['dropout', (builder: GraphBuilder, x: Value) => builder.emit('dropout', [x], { rate: 0.5, key: 0 })],
    [
      'batchNorm',
      (builder: GraphBuilder, x: Value) => {
        const one = builder.constant(floatTensor([2], [1, 1]));
        return builder.emit('batchNorm', [x, one, one, one, one], { epsilon: 1e-5, momentum: 0.1 });
      },
    ],
  ] as const)('refuses %s, whose mode must be chosen before', (operator, emit) => {
    const builder = new GraphBuilder('mode-free');
    const x = builder.input({ dtype: 'float32', shape: ['N', 2] }, { name: 'x', role: 'batch' });
    const graph = builder.finish([{ name: 'y', role: 'result', value: emit(builder, x) }]);
    expect(() => lower(targets.cpu).run(graph)).toThrow(InternalError);
    expect(() => lower(targets.cpu).run(graph)).toThrow(`${operator} has no lowering for cpu`);
  });

  it('refuses a graph that has no input to tell the batch size', () => {
    const builder = new GraphBuilder('no-batch');
    const value = builder.emit('sizeOf', [], { shape: ['N'] });
    const graph = builder.finish([{ name: 'y', role: 'result', value }]);
    expect(() => lower(targets.cpu).run(graph)).toThrow('no batch input to tell the batch size');
  });
});

describe('dropout masks', () => {
  // Reference values of docs/decisions.md, made with numpy: seed 12345, 12,288 elements a sample.
  it.each([
    [0, 0, [0x81250660, 0xeb2c015a, 0x2b30f772, 0xd66ae410], [0x6419eba6, 0xb1db41a4]],
    [1, 0, [0xa6ca833b, 0x8accd508, 0xfe2aebd7, 0x91898afb], [0xc673bd06, 0xc2c3ec20]],
    [3_000_000_123, 2, [0xd2a1729d, 0xa5f5798c, 0xe8b74675, 0x18b82ebd], [0x84030362, 0x8851267c]],
  ])('hash as the documented generator does in step %d, layer %d', (step, layer, first, last) => {
    const hash = (sample: number, element: number) => dropoutHash(12_345, step, sample, layer, element);
    expect([0, 1, 2, 3].map((element) => hash(0, element))).toEqual(first);
    expect([12_286, 12_287].map((element) => hash(3, element))).toEqual(last);
  });

  it.each([0, 0.2, 0.5, 0.95])('are the same in the runtime, element by element, at rate %d', async (rate) => {
    const builder = new GraphBuilder('masks');
    const shape = ['N', 3, 32, 32] as const;
    builder.input({ dtype: 'float32', shape: ['N'] }, { name: 'samples', role: 'batch' });
    const scalars = ['step', 'seed'].map((name) =>
      builder.input({ dtype: 'int64', shape: [] }, { name, role: 'scalar' }),
    );
    const masks = [0, 1].map((key) => builder.emit('dropoutMask', scalars, { rate, key, shape }));
    const graph = builder.finish(masks.map((value, key) => ({ name: `mask${key}`, role: 'result', value })));
    const feeds = new Map([
      ['samples', ndArray([4], [0, 0, 0, 0])],
      ['step', ndArray([], [17])],
      ['seed', ndArray([], [-5])],
    ]);
    const expected = evaluate(graph, feeds, 4);
    expectClose(await runInRuntime(lower(targets.cpu).run(graph), feeds), expected, 0);
    const kept = [...expected.values()].map(({ data }) => data.filter((value) => value > 0).length / data.length);
    for (const share of kept) expect(Math.abs(share - (1 - rate))).toBeLessThan(0.02);
  });
});

describe('what lowering makes of a transposition', () => {
  const orders = (filters: number, perGroup: number, groups: number): readonly string[] => {
    const builder = new GraphBuilder('backward');
    const gradient = builder.input({ dtype: 'float32', shape: ['N', filters, 2, 2] }, { name: 'dy', role: 'batch' });
    const shape = [filters, perGroup, 1, 1];
    const weight = builder.input({ dtype: 'float32', shape }, { name: 'w', role: 'batch' });
    const inputShape = ['N', perGroup * groups, 2, 2];
    const window = { stride: [1, 1], pads: [0, 0, 0, 0], groups, inputShape } as const;
    const value = builder.emit('conv2dInputGrad', [gradient, weight], window);
    const { nodes } = lower(targets.cpu).run(builder.finish([{ name: 'dx', role: 'result', value }]));
    return nodes.map(({ operator }) => operator);
  };

  it('is a reshape where only axes of one element change places', () => {
    expect(orders(1, 3, 1)).toEqual(['reshape', 'conv2d']);
    expect(orders(3, 1, 1)).toEqual(['reshape', 'conv2d']);
    expect(orders(2, 2, 2)).not.toContain('transpose');
  });

  it('is one where elements do', () => {
    expect(orders(2, 3, 1)).toEqual(['transpose', 'conv2d']);
    expect(orders(4, 2, 2)).toContain('transpose');
  });
});

describe('what lowering makes of a convolution’s gradient', () => {
  const graph = (): Graph => {
    const builder = new GraphBuilder('backward');
    const x = builder.input({ dtype: 'float32', shape: ['N', 1, 3, 2] }, { name: 'x', role: 'batch' });
    const gradient = builder.input({ dtype: 'float32', shape: ['N', 2, 2, 2] }, { name: 'dy', role: 'batch' });
    const masked = builder.emit('reluGrad', [gradient, builder.emit('relu', [gradient], {})], {});
    const window = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1, kernel: [2, 1] } as const;
    const weight = builder.emit('conv2dWeightGrad', [x, masked], window);
    const mean = builder.emit('div', [weight, builder.emit('sizeOf', [], { shape: ['N', 4] })], {});
    return builder.finish([{ name: 'dw', role: 'result', value: mean }]);
  };

  it('unfolds windows by a one-hot convolution and multiplies transposed operands for cpu', () => {
    expect(printGraph(lower(targets.cpu).run(graph()))).toMatchInlineSnapshot(`
      "graph backward {
        in  batch %x: f32[N, 1, 3, 2]
        in  batch %dy: f32[N, 2, 2, 2]
        %0: f32[N, 2, 2, 2] = relu(%dy)  # forward
        %1: f32[N, 2, 2, 2] = hardSigmoid(%0) {alpha=1e+38, beta=0}  # forward
        %2: f32[N, 2, 2, 2] = mul(%dy, %1)  # forward
        %3: f32[2, 1, 2, 1] = constant() {value=[2, 1, 2, 1](1, 0, 0, 1)}  # forward
        %4: i64[1] = shape(%x) {start=0, end=1}  # forward
        %5: i64[1] = constant() {value=[1](0)}  # forward
        %6: i64[1] = minimum(%4, %5)  # forward
        %7: f32[1] = cast(%6) {to=float32}  # forward
        %8: f32[] = reshape(%7) {shape=[]}  # forward
        %9: f32[2, 1, 2, 1] = add(%3, %8)  # forward
        %10: f32[N, 2, 2, 2] = conv2d(%x, %9) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # forward
        %11: f32[N, 2, 4] = reshape(%2) {shape=[N, 2, 4]}  # forward
        %12: f32[N, 2, 4] = reshape(%10) {shape=[N, 2, 4]}  # forward
        %13: f32[N, 2, 2] = matMul(%11, %12) {transposeA=false, transposeB=true}  # forward
        %14: i64[1] = shape(%x) {start=0, end=1}  # forward
        %15: i64[1] = constant() {value=[1](0)}  # forward
        %16: i64[1] = minimum(%14, %15)  # forward
        %17: f32[2, 2] = reduceSum(%13, %16) {axes=[0], keepDims=false}  # forward
        %18: f32[2, 1, 2, 1] = reshape(%17) {shape=[2, 1, 2, 1]}  # forward
        %19: i64[1] = shape(%x) {start=0, end=1}  # forward
        %20: f32[1] = cast(%19) {to=float32}  # forward
        %21: f32[] = reshape(%20) {shape=[]}  # forward
        %22: f32[] = constant() {value=(4)}  # forward
        %23: f32[] = mul(%21, %22)  # forward
        %24: f32[2, 1, 2, 1] = div(%18, %23)  # forward
        out result dw = %24
      }"
    `);
  });

  it('unfolds windows by slices and transposes before products for webgpu', () => {
    expect(printGraph(lower(targets.webgpu).run(graph()))).toMatchInlineSnapshot(`
      "graph backward {
        in  batch %x: f32[N, 1, 3, 2]
        in  batch %dy: f32[N, 2, 2, 2]
        %0: f32[N, 2, 2, 2] = relu(%dy)  # forward
        %1: f32[N, 2, 2, 2] = hardSigmoid(%0) {alpha=1e+38, beta=0}  # forward
        %2: f32[N, 2, 2, 2] = mul(%dy, %1)  # forward
        %3: f32[N, 1, 2, 2] = slice(%x) {axes=[2, 3], starts=[0, 0], ends=[2, 2], steps=[1, 1]}  # forward
        %4: f32[N, 1, 1, 2, 2] = reshape(%3) {shape=[N, 1, 1, 2, 2]}  # forward
        %5: f32[N, 1, 2, 2] = slice(%x) {axes=[2, 3], starts=[1, 0], ends=[3, 2], steps=[1, 1]}  # forward
        %6: f32[N, 1, 1, 2, 2] = reshape(%5) {shape=[N, 1, 1, 2, 2]}  # forward
        %7: f32[N, 1, 2, 2, 2] = concat(%4, %6) {axis=2}  # forward
        %8: f32[N, 2, 2, 2] = reshape(%7) {shape=[N, 2, 2, 2]}  # forward
        %9: f32[N, 2, 4] = reshape(%2) {shape=[N, 2, 4]}  # forward
        %10: f32[N, 2, 4] = reshape(%8) {shape=[N, 2, 4]}  # forward
        %11: f32[N, 4, 2] = transpose(%10) {permutation=[0, 2, 1]}  # forward
        %12: f32[N, 2, 2] = matMul(%9, %11) {transposeA=false, transposeB=false}  # forward
        %13: i64[1] = shape(%x) {start=0, end=1}  # forward
        %14: i64[1] = constant() {value=[1](0)}  # forward
        %15: i64[1] = minimum(%13, %14)  # forward
        %16: f32[2, 2] = reduceSum(%12, %15) {axes=[0], keepDims=false}  # forward
        %17: f32[2, 1, 2, 1] = reshape(%16) {shape=[2, 1, 2, 1]}  # forward
        %18: i64[1] = shape(%x) {start=0, end=1}  # forward
        %19: f32[1] = cast(%18) {to=float32}  # forward
        %20: f32[] = reshape(%19) {shape=[]}  # forward
        %21: f32[] = constant() {value=(4)}  # forward
        %22: f32[] = mul(%20, %21)  # forward
        %23: f32[2, 1, 2, 1] = div(%17, %22)  # forward
        out result dw = %23
      }"
    `);
  });
});
