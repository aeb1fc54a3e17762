/** @file Graphs as text. */

import { describe, expect, it } from 'vitest';
import { floatTensor, type Graph, GraphBuilder, int64Tensor, printGraph, Value } from '../../src/ir/index.js';

function exampleGraph(): Graph {
  const builder = new GraphBuilder('example');
  const zero = { kind: 'constant', value: 0 } as const;
  const x = builder.input({ dtype: 'float32', shape: ['N', 4] }, { name: 'images', role: 'batch' });
  const w = builder.input(
    { dtype: 'float32', shape: [2, 4] },
    { name: 'fc.weight', role: 'parameter', initializer: zero },
  );
  const count = builder.input({ dtype: 'int64', shape: [] }, { name: 'count', role: 'counter', initializer: zero });
  builder.origin = { scope: 'fc', phase: 'forward' };
  const product = builder.emit('matMul', [x, w], { transposeA: false, transposeB: true });
  const [left, right] = builder.emitAll('split', [product], { axis: 1, sizes: [1, 1] }) as [Value, Value];
  builder.origin = { scope: '', phase: 'update' };
  const half = builder.emit('mul', [left, builder.scalar(0.5)], {});
  builder.constant(floatTensor([2, 3], [1, 2, 3, 4, 5, 6]));
  const next = builder.emit('add', [count, builder.constant(int64Tensor([], [1]))], {});
  builder.emit('cast', [right], { to: 'bool' });
  return builder.finish([
    { name: 'half', role: 'result', value: half },
    { name: 'next.count', role: 'next', of: 'count', value: next },
  ]);
}

describe('printGraph', () => {
  it('shows inputs, nodes with types, attributes and origins, and outputs', () => {
    expect(printGraph(exampleGraph())).toMatchInlineSnapshot(`
      "graph example {
        in  batch %images: f32[N, 4]
        in  parameter %fc.weight: f32[2, 4]
        in  counter %count: i64[]
        %0: f32[N, 2] = matMul(%images, %fc.weight) {transposeA=false, transposeB=true}  # forward fc
        %1: f32[N, 1], %2: f32[N, 1] = split(%0) {axis=1, sizes=[1, 1]}  # forward fc
        %3: f32[] = constant() {value=(0.5)}  # update
        %4: f32[N, 1] = mul(%1, %3)  # update
        %5: f32[2, 3] = constant() {value=[2, 3](1, 2, 3, 4, 5, 6)}  # update
        %6: i64[] = constant() {value=(1)}  # update
        %7: i64[] = add(%count, %6)  # update
        %8: bool[N, 1] = cast(%2) {to=bool}  # update
        out result half = %4
        out next next.count of count = %7
      }"
    `);
  });

  it('prints equal graphs equally, whatever objects they are made of', () => {
    expect(printGraph(exampleGraph())).toBe(printGraph(exampleGraph()));
  });

  it('marks values that nothing defines', () => {
    const [missing, lost] = [0, 1].map(() => new Value({ dtype: 'float32', shape: [] }));
    const builder = new GraphBuilder('dangling');
    builder.emit('neg', [missing as Value], {});
    expect(printGraph(builder.finish([{ name: 'y', role: 'result', value: lost as Value }]))).toMatchInlineSnapshot(`
      "graph dangling {
        %0: f32[] = neg(%?)  # forward
        out result y = %?
      }"
    `);
  });
});
