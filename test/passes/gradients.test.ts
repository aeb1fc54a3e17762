/** @file Every gradient rule against finite differences in float64. */

import { describe, expect, it } from 'vitest';
import {
  type Graph,
  GraphBuilder,
  type OperatorName,
  operators,
  RequestError,
  type Value,
  verifyGraph,
} from '../../src/ir/index.js';
import { differentiate } from '../../src/passes/differentiate.js';
import { gradientRules } from '../../src/passes/gradients/index.js';
import { freezeUnused } from '../../src/passes/unused-parameters.js';
import { byName, differentiableCases } from '../helpers/cases.js';
import { evaluate } from '../helpers/evaluate.js';
import { gradientErrors, gradientTolerance } from '../helpers/finite-differences.js';

const f32 = (...shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;
const parameter = (name: string) => ({ name, role: 'parameter', initializer: { kind: 'constant', value: 0 } }) as const;

describe('the gradient derived for', () => {
  it.each(byName(differentiableCases))('%s', (name, { graph, feeds, batchSize }) => {
    const differentiated = differentiate.run(graph);
    verifyGraph(differentiated);
    const errors = gradientErrors({ forward: graph, differentiated, feeds, batchSize, seed: name });
    const parameters = graph.inputs.filter(({ role }) => role === 'parameter');
    expect(errors).toHaveLength(2 * parameters.length);
    for (const error of errors) expect(error.error, JSON.stringify(error)).toBeLessThan(gradientTolerance);
  });
});

/** Operators through which a parameter reaches the loss, so whose rules the derivation used. */
function differentiatedOperators({ inputs, nodes, outputs }: Graph): readonly OperatorName[] {
  const active = new Set<Value>(inputs.filter(({ role }) => role === 'parameter').map(({ value }) => value));
  for (const node of nodes) {
    if (node.inputs.some((value) => active.has(value))) for (const value of node.outputs) active.add(value);
  }
  const needed = new Set<Value>(outputs.map(({ value }) => value));
  const found: OperatorName[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some((value) => needed.has(value))) continue;
    for (const value of node.inputs) needed.add(value);
    if (node.outputs.some((value) => active.has(value))) found.push(node.operator);
  }
  return found;
}

describe('the table of gradient rules', () => {
  const checked = new Set(differentiableCases.flatMap(({ graph }) => differentiatedOperators(graph)));

  it.each(Object.keys(operators) as OperatorName[])('has a checked rule or a reason for %s', (operator) => {
    const rule = gradientRules[operator];
    if ('none' in rule) {
      expect(rule.none).toMatch(/\w+ \w+/);
      expect(checked).not.toContain(operator);
    } else {
      expect(checked).toContain(operator);
    }
  });
});

describe('differentiate', () => {
  it('takes no parameter that the loss does not depend on, unless it is frozen', () => {
    const builder = new GraphBuilder('unused');
    const used = builder.input(f32(), parameter('used'));
    builder.input(f32(2, 3), parameter('unused'));
    const graph = builder.finish([{ name: 'loss', role: 'result', value: used }]);
    expect(() => differentiate.run(graph)).toThrow("the loss doesn't depend on unused, which isn't frozen");
    const frozen = differentiate.run(freezeUnused(graph).graph);
    expect(frozen.outputs.map(({ name }) => name)).toEqual(['loss', 'gradient.used']);
    const feeds = new Map([
      ['used', { shape: [], data: Float64Array.of(5) }],
      ['unused', { shape: [2, 3], data: new Float64Array(6) }],
    ]);
    expect(evaluate(frozen, feeds, 1).get('gradient.used')?.data).toEqual(Float64Array.of(1));
  });

  it('derives nothing for inputs that are no parameters', () => {
    const builder = new GraphBuilder('inputs');
    const x = builder.input(f32('N', 2), { name: 'x', role: 'batch' });
    const weight = builder.input(f32(2, 4), parameter('weight'));
    const product = builder.emit('matMul', [x, weight], { transposeA: false, transposeB: false });
    const loss = builder.emit('reduceSum', [product], { axes: [0, 1], keepDims: false });
    const graph = differentiate.run(builder.finish([{ name: 'loss', role: 'result', value: loss }]));
    expect(graph.outputs.map(({ name }) => name)).toEqual(['loss', 'gradient.weight']);
  });

  it.each([
    ['cast', (builder: GraphBuilder, x: Value) => builder.emit('cast', [x], { to: 'float32' })],
    ['reduceMax', (builder: GraphBuilder, x: Value) => builder.emit('reduceMax', [x], { axes: [0], keepDims: true })],
  ] as const)('refuses a loss that goes through %s, naming the layer and the reason', (operator, emit) => {
    const builder = new GraphBuilder('refused');
    const x = builder.input(f32(2), parameter('x'));
    builder.origin = { scope: 'block.layer', phase: 'forward' };
    const loss = builder.emit('reduceSum', [emit(builder, x)], { axes: [0], keepDims: false });
    const graph = builder.finish([{ name: 'loss', role: 'result', value: loss }]);
    expect(() => differentiate.run(graph)).toThrow(RequestError);
    expect(() => differentiate.run(graph)).toThrow(
      new RegExp(`the loss depends on block\\.layer through ${operator}, which has no gradient: it `),
    );
  });

  it('refuses a slice in steps, which it has no rule for', () => {
    const builder = new GraphBuilder('steps');
    const x = builder.input(f32(4), parameter('x'));
    const part = builder.emit('slice', [x], { axes: [0], starts: [0], ends: [4], steps: [2] });
    const loss = builder.emit('reduceSum', [part], { axes: [0], keepDims: false });
    const graph = builder.finish([{ name: 'loss', role: 'result', value: loss }]);
    expect(() => differentiate.run(graph)).toThrow('slice has a gradient only where its steps are 1');
  });
});
