/** @file Other forms of unequal concatenations and splits: when they are taken, and that they compute the same. */

import { describe, expect, it } from 'vitest';
import { type Graph, GraphBuilder, type Node, type Value } from '../../src/ir/index.js';
import { equalParts } from '../../src/passes/equal-parts.js';
import { type Target, targetOf, targets } from '../../src/targets/index.js';
import { evaluate, ndArray } from '../helpers/evaluate.js';

/** A graph over a vector of 36 and images [N, 36, 2, 2], all of whose results are outputs. */
function graphOf(build: (builder: GraphBuilder, vector: Value, images: Value) => readonly Value[]): Graph {
  const builder = new GraphBuilder('parts');
  const vector = builder.input({ dtype: 'float32', shape: [36] }, { name: 'vector', role: 'batch' });
  const images = builder.input({ dtype: 'float32', shape: ['N', 36, 2, 2] }, { name: 'images', role: 'batch' });
  const results = build(builder, vector, images);
  return builder.finish(results.map((value, index) => ({ name: `y${index}`, role: 'result' as const, value })));
}

const numbers = (length: number): Float64Array => Float64Array.from({ length }, (_, index) => Math.sin(index));

const inputs = new Map([
  ['vector', ndArray([36], numbers(36))],
  ['images', ndArray([3, 36, 2, 2], numbers(3 * 36 * 4))],
]);

/** The operators of the other form, which gives the same. */
function formOf(graph: Graph, target: Target = targets.cuda): readonly string[] {
  const other = equalParts(target).run(graph);
  expect(evaluate(other, inputs, 3)).toEqual(evaluate(graph, inputs, 3));
  return other.nodes.map((node) => `${node.operator} ${lengths(node).join('+')}`.trim());
}

function lengths({ operator, attributes, inputs: from, outputs }: Node): readonly unknown[] {
  if (operator === 'concat') return from.map(({ type }) => type.shape[(attributes as { axis: number }).axis]);
  return operator === 'split' ? outputs.map(({ type }) => type.shape[(attributes as { axis: number }).axis]) : [];
}

const split = (...sizes: readonly number[]): Graph =>
  graphOf((b, vector) => b.emitAll('split', [vector], { axis: 0, sizes }));

describe('equal-parts', () => {
  it('leaves equal parts as they are', () => {
    expect(formOf(split(12, 12, 12))).toEqual(['split 12+12+12']);
  });

  it('slices few parts of what has several axes', () => {
    const images = graphOf((b, _, x) => b.emitAll('split', [x], { axis: 1, sizes: [23, 13] }));
    expect(formOf(images)).toEqual(['slice', 'slice']);
  });

  it('cuts many parts to one length and joins the larger ones', () => {
    expect(formOf(split(12, 4, 4, 4, 4, 4, 4))).toEqual(['split 4+4+4+4+4+4+4+4+4', 'concat 4+4+4']);
  });

  it('leaves many parts that have hardly a length in common', () => {
    expect(formOf(split(11, 5, 7, 9, 4))).toEqual(['split 11+5+7+9+4']);
  });

  it('cuts the larger operands of a concatenation first', () => {
    const joined = graphOf((b, vector) => {
      const [large, small] = b.emitAll('split', [vector], { axis: 0, sizes: [24, 12] }) as [Value, Value];
      return [b.emit('concat', [large, small, small], { axis: 0 })];
    });
    expect(formOf(joined)).toEqual(['split 12+12+12', 'concat 12+12', 'split 12+12', 'concat 12+12+12+12']);
  });

  it('makes no copies of a batch for it', () => {
    const joined = graphOf((b, _, images) => {
      const [large, small] = b.emitAll('split', [images], { axis: 1, sizes: [24, 12] }) as [Value, Value];
      return [b.emit('concat', [small, large], { axis: 1 })];
    });
    expect(formOf(joined)).toEqual(['slice', 'slice', 'concat 12+24']);
  });

  it('cuts at once what is cut further', () => {
    const twice = graphOf((b, vector) => {
      const [first, last] = b.emitAll('split', [vector], { axis: 0, sizes: [12, 24] }) as [Value, Value];
      return [first, ...b.emitAll('split', [last], { axis: 0, sizes: [12, 12] })];
    });
    expect(formOf(twice)).toEqual(['split 12+12+12']);
  });

  it('takes a kernel of ours where the target has one', () => {
    const own = equalParts(targetOf('cuda', 'cudnn')).run(split(24, 12));
    expect(own.nodes.map(({ attributes }) => attributes)).toEqual([{ axis: 0, sizes: [24, 12], kernel: 'own' }]);
  });
});
