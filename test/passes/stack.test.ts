/** @file What is done to many short vectors and weights is done once, gives the same numbers, and is done no second time. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { type Graph, GraphBuilder, printGraph, type Shape, type Value } from '../../src/ir/index.js';
import type { Pass } from '../../src/passes/pass.js';
import type { RematName } from '../../src/passes/solvers/index.js';
import { stackOperands, stackParts } from '../../src/passes/stack.js';
import { stackExpressions } from '../../src/passes/stack-expressions.js';
import { expectClose } from '../helpers/compare.js';
import { evaluate } from '../helpers/evaluate.js';
import { randomArray, randomSource } from '../helpers/random.js';

/** A graph over inputs of static shapes. */
function graphOf(shapes: readonly (readonly number[])[], body: (b: GraphBuilder, v: readonly Value[]) => Value): Graph {
  const builder = new GraphBuilder('tiny');
  const inputs = shapes.map((shape, index) =>
    builder.input({ dtype: 'float32', shape }, { name: `x${index}`, role: 'scalar' }),
  );
  return builder.finish([{ name: 'out', role: 'result', value: body(builder, inputs) }]);
}

/** Runs a pass, requires that the result computes the same and that a second run changes nothing; its nodes as text. */
function stacked(graph: Graph, pass: Pass): string {
  const result = pass.run(graph);
  const random = randomSource('stack');
  const feeds = new Map(
    graph.inputs.map(({ name, value }) => [name, randomArray(value.type.shape as number[], random, 'positive')]),
  );
  expectClose(evaluate(result, feeds, 2), evaluate(graph, feeds, 2), 1e-12);
  expect(printGraph(pass.run(result))).toBe(printGraph(result));
  const lines = printGraph(result).split('\n');
  return lines
    .filter((line) => line.includes('  # '))
    .map((line) => line.replace(/ {2}# .*/, '').trim())
    .join('\n');
}

describe('stack-operands', () => {
  it('multiplies runs of vectors by the number that they have in common', () => {
    const graph = graphOf([[2], [3], [4], [], []], (builder, [a, b, c, s, t]) => {
      const scale = (x?: Value, by?: Value): Value => builder.emit('mul', [x as Value, by as Value], {});
      return builder.emit('concat', [scale(a, s), scale(b, s), scale(c, t)], { axis: 0 });
    });
    expect(stacked(graph, stackOperands)).toMatchInlineSnapshot(`
      "%0: f32[4] = mul(%x2, %x4)
      %1: f32[5] = concat(%x0, %x1) {axis=0}
      %2: f32[5] = mul(%1, %x3)
      %3: f32[9] = concat(%2, %0) {axis=0}"
    `);
  });

  it('divides vectors by vectors', () => {
    const graph = graphOf([[2], [3], [4], [2], [3], [4]], (builder, values) => {
      const quotients = [0, 1, 2].map((i) => builder.emit('div', [values[i] as Value, values[i + 3] as Value], {}));
      return builder.emit('concat', quotients, { axis: 0 });
    });
    expect(stacked(graph, stackOperands)).toMatchInlineSnapshot(`
      "%0: f32[9] = concat(%x0, %x1, %x2) {axis=0}
      %1: f32[9] = concat(%x3, %x4, %x5) {axis=0}
      %2: f32[9] = div(%0, %1)"
    `);
  });

  it('moves weights to where they belong after they have been gathered', () => {
    const graph = graphOf(
      [
        [8, 3],
        [8, 3],
      ],
      (builder, values) => {
        const weights = values.map((sums) => {
          const byTap = builder.emit('reshape', [sums], { shape: [2, 2, 2, 3] });
          return builder.emit('transpose', [byTap], { permutation: [0, 3, 1, 2] });
        });
        return builder.emit('concat', weights, { axis: 0 });
      },
    );
    expect(stacked(graph, stackOperands)).toMatchInlineSnapshot(`
      "%0: f32[16, 3] = concat(%x0, %x1) {axis=0}
      %1: f32[4, 2, 2, 3] = reshape(%0) {shape=[4, 2, 2, 3]}
      %2: f32[4, 3, 2, 2] = transpose(%1) {permutation=[0, 3, 1, 2]}"
    `);
  });

  it('gathers at once what was gathered step by step', () => {
    const graph = graphOf(
      [
        [1, 2, 1],
        [1, 3, 1],
        [1, 4, 1],
      ],
      (builder, values) => {
        const [a, b, c] = values.map((x) => builder.emit('reshape', [x], { shape: [Number(x.type.shape[1])] }));
        const first = builder.emit('concat', [a as Value, b as Value], { axis: 0 });
        return builder.emit('concat', [first, c as Value], { axis: 0 });
      },
    );
    expect(stacked(graph, stackOperands)).toMatchInlineSnapshot(`
      "%0: f32[1, 9, 1] = concat(%x0, %x1, %x2) {axis=1}
      %1: f32[9] = reshape(%0) {shape=[9]}"
    `);
  });

  it('leaves alone what others read too', () => {
    const graph = graphOf([[2], [3], []], (builder, [a, b, s]) => {
      const scaled = [a, b].map((x) => builder.emit('mul', [x as Value, s as Value], {})) as [Value, Value];
      return builder.emit('concat', [...scaled, builder.emit('neg', [scaled[0]], {})], { axis: 0 });
    });
    expect(printGraph(stackOperands.run(graph))).toBe(printGraph(graph));
  });

  it('keeps the numbers of whatever is concatenated', () => {
    const operand = fc.record({
      by: fc.constantFrom('nothing', 's', 't', 'itself', 'reshape', 'transpose'),
      rows: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(operand, { minLength: 1, maxLength: 8 }), fc.boolean(), (operands, nested) => {
        const shapes: readonly (readonly number[])[] = operands.map(({ by, rows }) =>
          by === 'reshape' ? [2 * rows] : by === 'transpose' ? [2, rows] : [rows, 2],
        );
        const graph = graphOf([...shapes, [], []], (builder, values) => {
          const [s, t] = values.slice(-2) as [Value, Value];
          const parts = operands.map(({ by, rows }, index): Value => {
            const x = values[index] as Value;
            if (by === 'reshape') return builder.emit('reshape', [x], { shape: [rows, 2] as Shape });
            if (by === 'transpose') return builder.emit('transpose', [x], { permutation: [1, 0] });
            return by === 'nothing' ? x : builder.emit('mul', [x, by === 's' ? s : by === 't' ? t : x], {});
          });
          const inner = nested ? [builder.emit('concat', parts, { axis: 0 }), ...parts] : parts;
          return builder.emit('concat', inner, { axis: 0 });
        });
        stacked(graph, stackOperands);
      }),
      { numRuns: 100 },
    );
  });
});

describe('stack-parts', () => {
  const flipped = (sizes: readonly number[], count: number): Graph =>
    graphOf([[sizes.reduce((sum, size) => sum + size, 0), 2, 1, 3]], (builder, [x]) => {
      const parts = builder.emitAll('split', [x as Value], { axis: 0, sizes });
      const moved = parts.slice(0, count).map((part) => {
        const transposed = builder.emit('transpose', [part], { permutation: [1, 0, 2, 3] });
        return builder.emit('reverse', [transposed], { axes: [2, 3] });
      });
      return builder.emit('concat', moved, { axis: 1 });
    });

  it('flips weights before they are split', () => {
    expect(stacked(flipped([1, 2, 1], 3), stackParts)).toMatchInlineSnapshot(`
      "%0: f32[2, 4, 1, 3] = transpose(%x0) {permutation=[1, 0, 2, 3]}
      %1: f32[2, 4, 1, 3] = reverse(%0) {axes=[2, 3]}
      %2: f32[2, 1, 1, 3], %3: f32[2, 2, 1, 3], %4: f32[2, 1, 1, 3] = split(%1) {axis=1, sizes=[1, 2, 1]}
      %5: f32[2, 4, 1, 3] = concat(%2, %3, %4) {axis=1}"
    `);
  });

  it('leaves them alone where one is not flipped', () => {
    const graph = flipped([1, 2, 1], 2);
    expect(printGraph(stackParts.run(graph))).toBe(printGraph(graph));
  });
});

describe('stack-expressions', () => {
  const scales = (count: number): Graph =>
    graphOf([...Array.from({ length: count }, (_, index) => [index + 2]), []], (builder, values) => {
      const epsilon = builder.scalar(0.5);
      builder.origin = { scope: '', phase: 'backward' };
      const size = builder.emit('neg', [values.at(-1) as Value], {});
      const results = values.slice(0, -1).map((variance) => {
        const spread = builder.emit('add', [variance, epsilon], {});
        return builder.emit('div', [variance, builder.emit('mul', [spread, size], {})], {});
      });
      return builder.emit('concat', results, { axis: 0 });
    });

  it('computes equal expressions at once', () => {
    expect(stacked(scales(3), stackExpressions)).toMatchInlineSnapshot(`
      "%0: f32[] = constant() {value=(0.5)}
      %1: f32[] = neg(%x3)
      %2: f32[9] = concat(%x0, %x1, %x2) {axis=0}
      %3: f32[9] = add(%2, %0)
      %4: f32[9] = mul(%3, %1)
      %5: f32[9] = div(%2, %4)
      %6: f32[2], %7: f32[3], %8: f32[4] = split(%5) {axis=0, sizes=[2, 3, 4]}
      %9: f32[9] = concat(%6, %7, %8) {axis=0}"
    `);
  });

  it('leaves two alone', () => expect(printGraph(stackExpressions.run(scales(2)))).toBe(printGraph(scales(2))));
});

describe('the nodes of a training step', () => {
  const nodes = (remat: RematName, depth: number): number => {
    const { training } = compile(densenet({ depth }), { remat });
    return training.nodes.filter(({ operator }) => operator !== 'constant').length;
  };

  it.each(['none', 'efficient', 'max'] as const)(
    'are fewer than 5,000 for DenseNet-BC-100, recomputing %s',
    (remat) => {
      expect(nodes(remat, 100)).toBeLessThan(5000);
    },
  );

  it('are as many for each further layer', () => {
    const [a, b, c] = [58, 100, 142].map((depth) => nodes('max', depth)) as [number, number, number];
    expect((c - b) / (b - a)).toBeLessThan(1.15);
  });
});
