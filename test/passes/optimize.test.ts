/** @file What each optimizer appends, and which options it refuses. PyTorch's numbers: test/conformance. */

import { describe, expect, it } from 'vitest';
import { densenet, traceNetwork } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import {
  findOutput,
  type Graph,
  GraphBuilder,
  type GraphInput,
  printGraph,
  type TensorType,
} from '../../src/ir/index.js';
import { removeDeadCode } from '../../src/passes/clean.js';
import { optimize } from '../../src/passes/optimize.js';
import { keptSlots, type OptimizerChoice, resolveOptimizer } from '../../src/passes/optimizers/index.js';
import { planSegments } from '../../src/passes/pack-state.js';
import { correctionName } from '../../src/step/interface.js';
import { evaluate, type NdArray, ndArray } from '../helpers/evaluate.js';

const vector: TensorType = { dtype: 'float32', shape: [2] };

const parameter = { name: 'w', role: 'parameter', initializer: { kind: 'constant', value: 0 } } as const;

/** A parameter with its gradient. */
function graph(): Graph {
  const builder = new GraphBuilder('state');
  builder.input(vector, parameter satisfies Omit<Extract<GraphInput, { role: 'parameter' | 'counter' }>, 'value'>);
  const gradient = builder.input(vector, { name: 'g', role: 'batch' });
  return builder.finish([{ name: 'gradient.w', role: 'gradient', of: 'w', value: gradient }]);
}

const optimized = (choice: OptimizerChoice): Graph => optimize(resolveOptimizer(choice)).run(graph());

describe('sgd', () => {
  /** A parameter with its gradient, a running statistic with an observation, and a counter. */
  const state = (): Graph => {
    const builder = new GraphBuilder('state');
    builder.input(vector, parameter);
    builder.input(vector, { name: 'mean', role: 'running', initializer: parameter.initializer, momentum: 0.25 });
    builder.input(
      { dtype: 'int64', shape: [] },
      { name: 'count', role: 'counter', initializer: parameter.initializer },
    );
    const gradient = builder.input(vector, { name: 'g', role: 'batch' });
    const observed = builder.input(vector, { name: 'o', role: 'batch' });
    return builder.finish([
      { name: 'loss', role: 'result', value: gradient },
      { name: 'gradient.w', role: 'gradient', of: 'w', value: gradient },
      { name: 'observed.mean', role: 'observation', of: 'mean', value: observed },
    ]);
  };

  it('appends the update of parameters, momentum, running statistics and counters', () => {
    const options = { momentum: 0.5, weightDecay: 0.125, nesterov: true };
    expect(printGraph(optimize(resolveOptimizer(options)).run(state()))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  running %mean: f32[2] {momentum=0.25}
        in  counter %count: i64[]
        in  batch %g: f32[2]
        in  batch %o: f32[2]
        in  scalar %learning_rate: f32[]
        in  momentum %momentum.w: f32[2] {parameter=w}
        %0: f32[] = constant() {value=(0.125)}  # update optimizer
        %1: f32[2] = mul(%w, %0)  # update optimizer
        %2: f32[2] = add(%g, %1)  # update optimizer
        %3: f32[] = constant() {value=(0.5)}  # update optimizer
        %4: f32[2] = mul(%momentum.w, %3)  # update optimizer
        %5: f32[2] = add(%4, %2)  # update optimizer
        %6: f32[2] = mul(%5, %3)  # update optimizer
        %7: f32[2] = add(%2, %6)  # update optimizer
        %8: f32[2] = mul(%7, %learning_rate)  # update optimizer
        %9: f32[2] = sub(%w, %8)  # update optimizer
        %10: f32[2] = sub(%o, %mean)  # update optimizer
        %11: f32[] = constant() {value=(0.25)}  # update optimizer
        %12: f32[2] = mul(%10, %11)  # update optimizer
        %13: f32[2] = add(%mean, %12)  # update optimizer
        %14: i64[] = constant() {value=(1)}  # update optimizer
        %15: i64[] = add(%count, %14)  # update optimizer
        out result loss = %g
        out next next.w of w = %9
        out next next.momentum.w of momentum.w = %5
        out next next.mean of mean = %13
        out next next.count of count = %15
      }"
    `);
  });

  /** Only the parameter's update. */
  const descent = (momentum: number): string => {
    const updated = optimize(resolveOptimizer({ momentum, weightDecay: 0, nesterov: false })).run(state());
    const inputs = updated.inputs.filter(({ name }) => /w|g|rate/.test(name));
    return printGraph(removeDeadCode.run({ ...updated, inputs, outputs: [findOutput(updated, 'next.w')] }));
  };

  it('descends along the momentum without Nesterov’s look ahead, and along the gradient without momentum', () => {
    expect(descent(0.5)).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        in  momentum %momentum.w: f32[2] {parameter=w}
        %0: f32[] = constant() {value=(0.5)}  # update optimizer
        %1: f32[2] = mul(%momentum.w, %0)  # update optimizer
        %2: f32[2] = add(%1, %g)  # update optimizer
        %3: f32[2] = mul(%2, %learning_rate)  # update optimizer
        %4: f32[2] = sub(%w, %3)  # update optimizer
        out next next.w of w = %4
      }"
    `);
    expect(descent(0)).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        %0: f32[2] = mul(%g, %learning_rate)  # update optimizer
        %1: f32[2] = sub(%w, %0)  # update optimizer
        out next next.w of w = %1
      }"
    `);
  });
});

describe('adamw', () => {
  it('averages gradient and square, divides by the weights of the averages, and decays apart', () => {
    const choice = { kind: 'adamw', betas: [0.5, 0.75], epsilon: 0.0625, weightDecay: 0.125 } as const;
    expect(printGraph(optimized(choice))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        in  correction %optimizer.momentum_weight: f32[1]
        in  correction %optimizer.variance_weight: f32[1]
        in  momentum %momentum.w: f32[2] {parameter=w}
        in  variance %variance.w: f32[2] {parameter=w}
        %0: f32[] = constant() {value=(1)}  # update optimizer
        %1: f32[] = constant() {value=(0.5)}  # update optimizer
        %2: f32[1] = mul(%optimizer.momentum_weight, %1)  # update optimizer
        %3: f32[] = mul(%0, %1)  # update optimizer
        %4: f32[1] = add(%2, %3)  # update optimizer
        %5: f32[] = constant() {value=(0.75)}  # update optimizer
        %6: f32[1] = mul(%optimizer.variance_weight, %5)  # update optimizer
        %7: f32[] = constant() {value=(0.25)}  # update optimizer
        %8: f32[] = mul(%0, %7)  # update optimizer
        %9: f32[1] = add(%6, %8)  # update optimizer
        %10: f32[2] = mul(%momentum.w, %1)  # update optimizer
        %11: f32[2] = mul(%g, %1)  # update optimizer
        %12: f32[2] = add(%10, %11)  # update optimizer
        %13: f32[2] = mul(%g, %g)  # update optimizer
        %14: f32[2] = mul(%variance.w, %5)  # update optimizer
        %15: f32[2] = mul(%13, %7)  # update optimizer
        %16: f32[2] = add(%14, %15)  # update optimizer
        %17: f32[2] = div(%16, %9)  # update optimizer
        %18: f32[2] = sqrt(%17)  # update optimizer
        %19: f32[] = constant() {value=(0.0625)}  # update optimizer
        %20: f32[2] = add(%18, %19)  # update optimizer
        %21: f32[2] = div(%12, %20)  # update optimizer
        %22: f32[] = constant() {value=(0.125)}  # update optimizer
        %23: f32[] = mul(%learning_rate, %22)  # update optimizer
        %24: f32[] = sub(%0, %23)  # update optimizer
        %25: f32[2] = mul(%w, %24)  # update optimizer
        %26: f32[1] = div(%learning_rate, %4)  # update optimizer
        %27: f32[2] = mul(%21, %26)  # update optimizer
        %28: f32[2] = sub(%25, %27)  # update optimizer
        out next next.w of w = %28
        out next next.momentum.w of momentum.w = %12
        out next next.variance.w of variance.w = %16
        out next next.optimizer.momentum_weight of optimizer.momentum_weight = %4
        out next next.optimizer.variance_weight of optimizer.variance_weight = %9
      }"
    `);
  });

  it('is PyTorch’s over three steps, by hand in float64', () => {
    const [beta1, beta2, epsilon, weightDecay, rate] = [0.9, 0.999, 1e-8, 0.1, 0.01];
    const updated = optimized({ kind: 'adamw', weightDecay });
    let [w, m, v] = [
      [1, -2],
      [0, 0],
      [0, 0],
    ];
    const zeros = ['momentum.w', 'variance.w'].map((name) => [name, ndArray([2], [0, 0])] as const);
    const weights = (['momentum', 'variance'] as const).map(
      (role) => [correctionName(role), ndArray([1], [0])] as const,
    );
    let state = new Map<string, NdArray>([['w', ndArray([2], w)], ...zeros, ...weights]);
    for (const [step, g] of [
      [0.5, -1e-3],
      [-0.25, 2],
      [1e-6, 0.125],
    ].entries()) {
      const correction = (beta: number): number => 1 - beta ** (step + 1);
      m = m.map((old, index) => beta1 * old + (1 - beta1) * (g[index] as number));
      v = v.map((old, index) => beta2 * old + (1 - beta2) * (g[index] as number) ** 2);
      w = w.map((old, index) => {
        const root = Math.sqrt((v[index] as number) / correction(beta2));
        const mean = (m[index] as number) / correction(beta1);
        return old * (1 - rate * weightDecay) - (rate * mean) / (root + epsilon);
      });
      const feeds = new Map([
        ...state,
        ['g', ndArray([2], g)] as const,
        ['learning_rate', ndArray([], [rate])] as const,
      ]);
      const next = evaluate(updated, feeds, 1);
      state = new Map([...next].map(([name, array]) => [name.replace('next.', ''), array]));
      for (const [index, value] of w.entries()) expect(state.get('w')?.data[index]).toBeCloseTo(value, 7);
    }
  });
});

describe('adam', () => {
  it('differs from adamw by decay alone, which goes into the gradient', () => {
    const choice = { betas: [0.5, 0.75], epsilon: 0.0625 } as const;
    const without = { ...choice, weightDecay: 0 };
    expect(printGraph(optimized({ kind: 'adam', ...without }))).toBe(
      printGraph(optimized({ kind: 'adamw', ...without })),
    );
    const decayed = printGraph(optimized({ kind: 'adam', ...choice, weightDecay: 0.125 })).split('\n');
    expect(decayed.filter((line) => line.includes('%w'))).toMatchInlineSnapshot(`
      [
        "  in  parameter %w: f32[2]",
        "  %11: f32[2] = mul(%w, %10)  # update optimizer",
        "  %27: f32[2] = sub(%w, %26)  # update optimizer",
      ]
    `);
  });
});

describe('rmsprop', () => {
  it('divides by the root of the averaged square, less that of the average where it is centered', () => {
    const choice = { kind: 'rmsprop', alpha: 0.75, epsilon: 0.0625 } as const;
    expect(printGraph(optimized(choice))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        in  variance %variance.w: f32[2] {parameter=w}
        %0: f32[2] = mul(%g, %g)  # update optimizer
        %1: f32[] = constant() {value=(0.75)}  # update optimizer
        %2: f32[2] = mul(%variance.w, %1)  # update optimizer
        %3: f32[] = constant() {value=(0.25)}  # update optimizer
        %4: f32[2] = mul(%0, %3)  # update optimizer
        %5: f32[2] = add(%2, %4)  # update optimizer
        %6: f32[2] = sqrt(%5)  # update optimizer
        %7: f32[] = constant() {value=(0.0625)}  # update optimizer
        %8: f32[2] = add(%6, %7)  # update optimizer
        %9: f32[2] = div(%g, %8)  # update optimizer
        %10: f32[2] = mul(%9, %learning_rate)  # update optimizer
        %11: f32[2] = sub(%w, %10)  # update optimizer
        out next next.w of w = %11
        out next next.variance.w of variance.w = %5
      }"
    `);
    expect(printGraph(optimized({ ...choice, centered: true, momentum: 0.5 }))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        in  variance %variance.w: f32[2] {parameter=w}
        in  gradientMean %gradient_mean.w: f32[2] {parameter=w}
        in  momentum %momentum.w: f32[2] {parameter=w}
        %0: f32[2] = mul(%g, %g)  # update optimizer
        %1: f32[] = constant() {value=(0.75)}  # update optimizer
        %2: f32[2] = mul(%variance.w, %1)  # update optimizer
        %3: f32[] = constant() {value=(0.25)}  # update optimizer
        %4: f32[2] = mul(%0, %3)  # update optimizer
        %5: f32[2] = add(%2, %4)  # update optimizer
        %6: f32[2] = mul(%gradient_mean.w, %1)  # update optimizer
        %7: f32[2] = mul(%g, %3)  # update optimizer
        %8: f32[2] = add(%6, %7)  # update optimizer
        %9: f32[2] = mul(%8, %8)  # update optimizer
        %10: f32[2] = sub(%5, %9)  # update optimizer
        %11: f32[2] = relu(%10)  # update optimizer
        %12: f32[2] = sqrt(%11)  # update optimizer
        %13: f32[] = constant() {value=(0.0625)}  # update optimizer
        %14: f32[2] = add(%12, %13)  # update optimizer
        %15: f32[2] = div(%g, %14)  # update optimizer
        %16: f32[] = constant() {value=(0.5)}  # update optimizer
        %17: f32[2] = mul(%momentum.w, %16)  # update optimizer
        %18: f32[2] = add(%17, %15)  # update optimizer
        %19: f32[2] = mul(%18, %learning_rate)  # update optimizer
        %20: f32[2] = sub(%w, %19)  # update optimizer
        out next next.w of w = %20
        out next next.variance.w of variance.w = %5
        out next next.gradient_mean.w of gradient_mean.w = %8
        out next next.momentum.w of momentum.w = %18
      }"
    `);
  });

  it('takes a variance that rounding left below 0 for 0, instead of its root for no number', () => {
    const updated = optimized({ kind: 'rmsprop', alpha: 0.5, epsilon: 0.25, centered: true });
    const state = { w: 1, 'variance.w': 0.2499999, 'gradient_mean.w': 0.5, g: 0.5 };
    const feeds = Object.entries(state).map(([name, value]) => [name, ndArray([2], [value, value])] as const);
    const next = evaluate(updated, new Map([...feeds, ['learning_rate', ndArray([], [0.125])] as const]), 1);
    expect(next.get('next.variance.w')?.data[0]).toBeLessThan(0.25);
    // 1 − 0.125 · 0.5 / (0 + 0.25)
    expect(next.get('next.w')?.data[0]).toBe(0.75);
  });
});

describe('accumulation', () => {
  it('adds two scalars that tell an updating step from another', () => {
    const choice = { momentum: 0.5, weightDecay: 0, nesterov: false, accumulate: 2 };
    expect(printGraph(optimized(choice))).toMatchInlineSnapshot(`
      "graph state {
        in  parameter %w: f32[2]
        in  batch %g: f32[2]
        in  scalar %learning_rate: f32[]
        in  scalar %gradient_share: f32[]
        in  scalar %apply: f32[]
        in  accumulator %accumulated.w: f32[2] {parameter=w}
        in  momentum %momentum.w: f32[2] {parameter=w}
        %0: f32[] = constant() {value=(1)}  # update optimizer
        %1: f32[] = sub(%0, %apply)  # update optimizer
        %2: f32[] = mul(%learning_rate, %apply)  # update optimizer
        %3: f32[2] = mul(%g, %gradient_share)  # update optimizer
        %4: f32[2] = add(%accumulated.w, %3)  # update optimizer
        %5: f32[2] = mul(%4, %1)  # update optimizer
        %6: f32[] = constant() {value=(0.5)}  # update optimizer
        %7: f32[] = mul(%apply, %6)  # update optimizer
        %8: f32[] = add(%7, %1)  # update optimizer
        %9: f32[2] = mul(%momentum.w, %8)  # update optimizer
        %10: f32[2] = mul(%4, %apply)  # update optimizer
        %11: f32[2] = add(%9, %10)  # update optimizer
        %12: f32[2] = mul(%11, %2)  # update optimizer
        %13: f32[2] = sub(%w, %12)  # update optimizer
        out next next.w of w = %13
        out next next.momentum.w of momentum.w = %11
        out next next.accumulated.w of accumulated.w = %5
      }"
    `);
  });
});

describe('parameters without decay', () => {
  const forward = traceNetwork(densenet({ blockConfig: [1], growthRate: 4, imageSize: 8 }));

  it('are norms and biases, in segments of their own', () => {
    const segments = planSegments(forward, { decayNormBias: false }).filter(({ role }) => role === 'parameter');
    const names = (decay: false | undefined): string[] =>
      segments.filter((segment) => segment.decay === decay).flatMap(({ tensors }) => tensors.map(({ name }) => name));
    expect(names(false).length).toBeGreaterThan(0);
    for (const name of names(false)) expect(name).toMatch(/norm\w*\.(weight|bias)$|classifier\.bias$/);
    for (const name of names(undefined)) expect(name).toMatch(/conv\w*\.weight$|classifier\.weight$/);
  });

  it('are the same tensors, each once, however they are packed', () => {
    const names = (decayNormBias: boolean): string[] =>
      planSegments(forward, { decayNormBias })
        .flatMap(({ tensors }) => tensors.map(({ name }) => name))
        .sort();
    expect(names(false)).toEqual(names(true));
  });
});

it('tells what is kept of each parameter', () => {
  const kept = (choice: OptimizerChoice): readonly string[] => keptSlots(resolveOptimizer(choice));
  expect(kept({})).toEqual(['momentum']);
  expect(kept({ momentum: 0, nesterov: false })).toEqual([]);
  expect(kept({ ema: 0.9, accumulate: 2 })).toEqual(['momentum', 'accumulator', 'ema']);
  expect(kept({ kind: 'adamw', accumulate: 2 })).toEqual(['momentum', 'variance', 'accumulator']);
});

it.each<[string, OptimizerChoice, RegExp]>([
  ['a momentum of 1', { momentum: 1 }, /momentum is 1/],
  ['Nesterov without momentum', { momentum: 0, nesterov: true }, /--no-nesterov/],
  ['a negative decay', { weightDecay: -1 }, /weight decay is -1/],
  ['a beta of 1', { kind: 'adamw', betas: [0.9, 1] }, /beta is 1/],
  ['an epsilon of 0', { kind: 'adamw', epsilon: 0 }, /epsilon is 0/],
  ['an alpha of 1', { kind: 'rmsprop', alpha: 1 }, /alpha is 1/],
  [
    'an option of another',
    { kind: 'adam', momentum: 0.5 } as OptimizerChoice,
    /adam takes no --momentum.*sgd or rmsprop/,
  ],
  [
    'an option of none',
    { kind: 'adam', amsgrad: true } as OptimizerChoice,
    /optimizer adam: there is no option amsgrad.*; it takes betas/,
  ],
  ['one that is none', { kind: 'lion' } as unknown as OptimizerChoice, /no optimizer lion.*rmsprop/],
  ['a norm of 0', { clipNorm: 0 }, /largest norm of the gradients is 0; it must be above 0/],
  ['a limit below 0', { clipValue: -1 }, /largest gradient is -1/],
  ['two ways to clip', { clipNorm: 1, clipValue: 1 }, /by their norm \(1\) or by value \(1\), not by both/],
  ['an average that never moves', { ema: 1 }, /decay of the averaged weights is 1; .*below 1/],
  ['half a batch an update', { accumulate: 0.5 }, /batches an update is 0\.5/],
])('refuses %s', (_, optimizer, message) => {
  expect(() => compile(densenet({ blockConfig: [1], imageSize: 8 }), { optimizer })).toThrow(message);
});
