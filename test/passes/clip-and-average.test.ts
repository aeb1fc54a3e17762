/** @file What clipping gradients and averaging weights append to a step. PyTorch's numbers: test/conformance. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { type Graph, GraphBuilder, printGraph } from '../../src/ir/index.js';
import { optimize } from '../../src/passes/optimize.js';
import { type OptimizerChoice, resolveOptimizer } from '../../src/passes/optimizers/index.js';
import { evaluate, ndArray } from '../helpers/evaluate.js';

const zero = { kind: 'constant', value: 0 } as const;
const plain = { momentum: 0, weightDecay: 0 };

/** Two parameters with their gradients, and a running statistic with an observation. */
function graph(): Graph {
  const builder = new GraphBuilder('state');
  const vector = { dtype: 'float32', shape: [2] } as const;
  for (const name of ['v', 'w']) builder.input(vector, { name, role: 'parameter', initializer: zero });
  builder.input(vector, { name: 'mean', role: 'running', initializer: zero, momentum: 0.5 });
  const [v, w, observed] = ['dv', 'dw', 'o'].map((name) => builder.input(vector, { name, role: 'batch' }));
  if (!v || !w || !observed) throw new Error('three inputs');
  return builder.finish([
    { name: 'gradient.v', role: 'gradient', of: 'v', value: v },
    { name: 'gradient.w', role: 'gradient', of: 'w', value: w },
    { name: 'observed.mean', role: 'observation', of: 'mean', value: observed },
  ]);
}

const optimized = (choice: OptimizerChoice): Graph => optimize(resolveOptimizer({ ...plain, ...choice })).run(graph());

/** What a step gives. @param given vectors of two, and scalars */
function stepped(choice: OptimizerChoice, given: Readonly<Record<string, number[]>>): Record<string, number[]> {
  const step = optimized(choice);
  const feeds = step.inputs.map(({ name, value: { type } }) => {
    const shape = type.shape as readonly number[];
    return [name, ndArray(shape, given[name] ?? Array(shape[0] ?? 1).fill(0))] as const;
  });
  const outputs = evaluate(step, new Map(feeds), 1);
  return Object.fromEntries([...outputs].map(([name, { data }]) => [name, [...data]]));
}

describe('clipping', () => {
  it('by norm scales all gradients by one factor, once all are there', () => {
    expect(printGraph(optimized({ clipNorm: 2 }))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %v: f32[2]
        in  parameter %w: f32[2]
        in  running %mean: f32[2] {momentum=0.5}
        in  batch %dv: f32[2]
        in  batch %dw: f32[2]
        in  batch %o: f32[2]
        in  scalar %learning_rate: f32[]
        %0: f32[1, 2] = reshape(%dv) {shape=[1, 2]}  # update optimizer
        %1: f32[2, 1] = reshape(%dv) {shape=[2, 1]}  # update optimizer
        %2: f32[1, 1] = matMul(%0, %1) {transposeA=false, transposeB=false}  # update optimizer
        %3: f32[1] = reshape(%2) {shape=[1]}  # update optimizer
        %4: f32[1, 2] = reshape(%dw) {shape=[1, 2]}  # update optimizer
        %5: f32[2, 1] = reshape(%dw) {shape=[2, 1]}  # update optimizer
        %6: f32[1, 1] = matMul(%4, %5) {transposeA=false, transposeB=false}  # update optimizer
        %7: f32[1] = reshape(%6) {shape=[1]}  # update optimizer
        %8: f32[2] = concat(%3, %7) {axis=0}  # update optimizer
        %9: f32[] = reduceSum(%8) {axes=[0], keepDims=false}  # update optimizer
        %10: f32[] = sqrt(%9)  # update optimizer
        %11: f32[] = constant() {value=(2)}  # update optimizer
        %12: f32[] = constant() {value=(9.999999974752427e-7)}  # update optimizer
        %13: f32[] = add(%10, %12)  # update optimizer
        %14: f32[] = div(%11, %13)  # update optimizer
        %15: f32[] = constant() {value=(1)}  # update optimizer
        %16: f32[] = minimum(%14, %15)  # update optimizer
        %17: f32[2] = mul(%dv, %16)  # update optimizer
        %18: f32[2] = mul(%dw, %16)  # update optimizer
        %19: f32[2] = mul(%17, %learning_rate)  # update optimizer
        %20: f32[2] = sub(%v, %19)  # update optimizer
        %21: f32[2] = mul(%18, %learning_rate)  # update optimizer
        %22: f32[2] = sub(%w, %21)  # update optimizer
        %23: f32[2] = sub(%o, %mean)  # update optimizer
        %24: f32[] = constant() {value=(0.5)}  # update optimizer
        %25: f32[2] = mul(%23, %24)  # update optimizer
        %26: f32[2] = add(%mean, %25)  # update optimizer
        out result gradient_norm = %10
        out next next.v of v = %20
        out next next.w of w = %22
        out next next.mean of mean = %26
      }"
    `);
    const gradients = { dv: [0, 6], dw: [8, 0], learning_rate: [1] };
    const clipped = stepped({ clipNorm: 2 }, gradients);
    expect(clipped.gradient_norm).toEqual([10]);
    expect(clipped['next.w']?.[0]).toBeCloseTo(-1.6, 6);
    expect(clipped['next.v']?.[1]).toBeCloseTo(-1.2, 6);
  });

  it('by value limits each element, and tells the norm of them all', () => {
    expect(printGraph(optimized({ clipValue: 0.5 }))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %v: f32[2]
        in  parameter %w: f32[2]
        in  running %mean: f32[2] {momentum=0.5}
        in  batch %dv: f32[2]
        in  batch %dw: f32[2]
        in  batch %o: f32[2]
        in  scalar %learning_rate: f32[]
        %0: f32[1, 2] = reshape(%dv) {shape=[1, 2]}  # update optimizer
        %1: f32[2, 1] = reshape(%dv) {shape=[2, 1]}  # update optimizer
        %2: f32[1, 1] = matMul(%0, %1) {transposeA=false, transposeB=false}  # update optimizer
        %3: f32[1] = reshape(%2) {shape=[1]}  # update optimizer
        %4: f32[1, 2] = reshape(%dw) {shape=[1, 2]}  # update optimizer
        %5: f32[2, 1] = reshape(%dw) {shape=[2, 1]}  # update optimizer
        %6: f32[1, 1] = matMul(%4, %5) {transposeA=false, transposeB=false}  # update optimizer
        %7: f32[1] = reshape(%6) {shape=[1]}  # update optimizer
        %8: f32[2] = concat(%3, %7) {axis=0}  # update optimizer
        %9: f32[] = reduceSum(%8) {axes=[0], keepDims=false}  # update optimizer
        %10: f32[] = sqrt(%9)  # update optimizer
        %11: f32[] = constant() {value=(-0.5)}  # update optimizer
        %12: f32[] = constant() {value=(0.5)}  # update optimizer
        %13: f32[2] = clip(%dv, %11, %12)  # update optimizer
        %14: f32[2] = clip(%dw, %11, %12)  # update optimizer
        %15: f32[2] = mul(%13, %learning_rate)  # update optimizer
        %16: f32[2] = sub(%v, %15)  # update optimizer
        %17: f32[2] = mul(%14, %learning_rate)  # update optimizer
        %18: f32[2] = sub(%w, %17)  # update optimizer
        %19: f32[2] = sub(%o, %mean)  # update optimizer
        %20: f32[2] = mul(%19, %12)  # update optimizer
        %21: f32[2] = add(%mean, %20)  # update optimizer
        out result gradient_norm = %10
        out next next.v of v = %16
        out next next.w of w = %18
        out next next.mean of mean = %21
      }"
    `);
    const clipped = stepped({ clipValue: 0.5 }, { dv: [0.25, -6], dw: [8, 0], learning_rate: [1] });
    expect(clipped).toMatchObject({ 'next.v': [-0.25, 0.5], 'next.w': [-0.5, 0] });
    expect(clipped.gradient_norm?.[0]).toBeCloseTo(Math.hypot(0.25, 6, 8), 12);
  });

  it.each<OptimizerChoice>([{ clipNorm: 100 }, { clipValue: 100 }])(
    '%j changes no bit of gradients below',
    (choice) => {
      const gradients = { dv: [0.1, 6.3], dw: [8.7, 1e-30], learning_rate: [1] };
      const { gradient_norm: _, ...clipped } = stepped(choice, gradients);
      expect(clipped).toEqual(stepped({}, gradients));
    },
  );

  it('lets no update begin before the last gradient is there, by norm only', () => {
    const firstUpdate = (optimizer: OptimizerChoice): [first: number, last: number] => {
      const { training } = compile(densenet({ depth: 22 }), { remat: 'max', segmentBytes: 20_000, optimizer });
      const made = new Map(training.nodes.flatMap(({ outputs }, at) => outputs.map((value) => [value, at] as const)));
      const updates = training.outputs.filter(({ name }) => name.startsWith('next.parameter.'));
      const backward = training.nodes.map(({ origin }, at) => (origin.phase === 'backward' ? at : 0));
      return [Math.min(...updates.map(({ value }) => made.get(value) ?? -1)), Math.max(...backward)];
    };
    const [first, last] = firstUpdate({ clipNorm: 1 });
    expect(first).toBeGreaterThan(last);
    const [early, end] = firstUpdate({ clipValue: 1 });
    expect(early).toBeLessThan(end);
  });
});

describe('an average of the weights', () => {
  it('is appended to what is updated', () => {
    expect(printGraph(optimized({ ema: 0.75 }))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %v: f32[2]
        in  parameter %w: f32[2]
        in  running %mean: f32[2] {momentum=0.5}
        in  batch %dv: f32[2]
        in  batch %dw: f32[2]
        in  batch %o: f32[2]
        in  scalar %learning_rate: f32[]
        in  correction %optimizer.ema_weight: f32[1]
        in  ema %ema.v: f32[2] {parameter=v}
        in  ema %ema.w: f32[2] {parameter=w}
        in  ema %ema.mean: f32[2] {parameter=mean}
        %0: f32[] = constant() {value=(1)}  # update optimizer
        %1: f32[1] = sub(%0, %optimizer.ema_weight)  # update optimizer
        %2: f32[] = constant() {value=(0.25)}  # update optimizer
        %3: f32[1] = mul(%optimizer.ema_weight, %2)  # update optimizer
        %4: f32[1] = add(%1, %3)  # update optimizer
        %5: f32[1] = add(%optimizer.ema_weight, %1)  # update optimizer
        %6: f32[2] = mul(%dv, %learning_rate)  # update optimizer
        %7: f32[2] = sub(%v, %6)  # update optimizer
        %8: f32[2] = sub(%7, %ema.v)  # update optimizer
        %9: f32[2] = mul(%8, %4)  # update optimizer
        %10: f32[2] = add(%ema.v, %9)  # update optimizer
        %11: f32[2] = mul(%dw, %learning_rate)  # update optimizer
        %12: f32[2] = sub(%w, %11)  # update optimizer
        %13: f32[2] = sub(%12, %ema.w)  # update optimizer
        %14: f32[2] = mul(%13, %4)  # update optimizer
        %15: f32[2] = add(%ema.w, %14)  # update optimizer
        %16: f32[2] = sub(%o, %mean)  # update optimizer
        %17: f32[] = constant() {value=(0.5)}  # update optimizer
        %18: f32[2] = mul(%16, %17)  # update optimizer
        %19: f32[2] = add(%mean, %18)  # update optimizer
        %20: f32[2] = sub(%19, %ema.mean)  # update optimizer
        %21: f32[2] = mul(%20, %4)  # update optimizer
        %22: f32[2] = add(%ema.mean, %21)  # update optimizer
        out next next.v of v = %7
        out next next.ema.v of ema.v = %10
        out next next.w of w = %12
        out next next.ema.w of ema.w = %15
        out next next.mean of mean = %19
        out next next.ema.mean of ema.mean = %22
        out next next.optimizer.ema_weight of optimizer.ema_weight = %5
      }"
    `);
  });

  it('begins with the first weights that a step makes, and follows them', () => {
    const state = { v: [1, 2], w: [3, 4], mean: [1, 1], o: [3, 3], dv: [1, 1], learning_rate: [0.5] };
    const first = stepped({ ema: 0.75 }, state);
    expect(first).toMatchObject({ 'next.v': [0.5, 1.5], 'next.ema.v': [0.5, 1.5], 'next.ema.mean': [2, 2] });
    expect(first['next.optimizer.ema_weight']).toEqual([1]);
    const second = stepped(
      { ema: 0.75 },
      { ...state, 'ema.v': [4.5, 1.5], 'ema.mean': [6, 2], 'optimizer.ema_weight': [1] },
    );
    expect(second).toMatchObject({ 'next.ema.v': [3.5, 1.5], 'next.ema.mean': [5, 2] });
  });

  it.each([0, 1])('stays as it is in a step that only accumulates, begun (%i) or not', (begun) => {
    const state = { v: [1, 2], dv: [1, 1], 'ema.v': [0.1, 0.7], learning_rate: [0.5], gradient_share: [0.5] };
    const waiting = stepped({ ema: 0.9, accumulate: 2 }, { ...state, 'optimizer.ema_weight': [begun], apply: [0] });
    expect(waiting).toMatchObject({ 'next.ema.v': [0.1, 0.7], 'next.optimizer.ema_weight': [begun] });
  });
});
