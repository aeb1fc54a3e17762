/** @file What nodes become on a card, counted by hand. */

import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Node, type Value } from '../../src/ir/index.js';
import { nodeMicroseconds, targetOf, workOf } from '../../src/targets/index.js';

const { launches, workspace } = targetOf('cuda');

/** The last node of a graph with images [N, 8, 64, 64], a vector of 8 and one of 4. */
function node(build: (builder: GraphBuilder, x: Value, eight: Value, four: Value) => unknown): Node {
  const builder = new GraphBuilder('one');
  const input = (name: string, ...shape: readonly (number | string)[]): Value =>
    builder.input({ dtype: 'float32', shape }, { name, role: 'batch' });
  build(builder, input('x', 'N', 8, 64, 64), input('eight', 8), input('four', 4));
  return builder.nodes.at(-1) as Node;
}

/** Kinds of a node's launches at a batch of 2. */
function kinds(...build: Parameters<typeof node>): readonly string[] {
  return launches(node(...build), 2).map(({ kind }) => kind);
}

/** A node's bytes on the card over the least, at a batch of 2. */
function slowness(...build: Parameters<typeof node>): number {
  const made = node(...build);
  const bytes = launches(made, 2).reduce((sum, work) => sum + work.bytes, 0);
  return bytes / workOf(made, 2).bytes;
}

const sum = (axes: readonly number[], operator: 'reduceSum' | 'reduceMean' = 'reduceSum') =>
  [(b: GraphBuilder, x: Value) => b.emit(operator, [x], { axes, keepDims: false })] as const;

describe('launches', () => {
  it('of sums are two where rows are long or axes lead, and slow where they lie in the midst', () => {
    expect(kinds(...sum([2, 3]))).toEqual(['elementwise', 'reduction']);
    expect(kinds(...sum([3]))).toEqual(['reduction']);
    expect(kinds(...sum([0]))).toEqual(['elementwise', 'reduction']);
    expect(kinds(...sum([3], 'reduceMean'))).toEqual(['reduction', 'elementwise']);
    expect(slowness(...sum([2, 3]))).toBe(1);
    expect(slowness(...sum([0, 2, 3]))).toBe(12);
  });

  it('of concatenations and splits are five where parts are unequal', () => {
    expect(kinds((b, _, eight, four) => b.emit('concat', [eight, four], { axis: 0 }))).toHaveLength(5);
    expect(kinds((b, _, eight) => b.emit('concat', [eight, eight], { axis: 0 }))).toEqual(['movement']);
    expect(kinds((b, x) => b.emitAll('split', [x], { axis: 1, sizes: [2, 6] }))).toHaveLength(5);
    expect(kinds((b, x) => b.emitAll('split', [x], { axis: 1, sizes: [4, 4] }))).toEqual(['movement']);
    expect(kinds((b, _, eight) => b.emit('concat', new Array<Value>(33).fill(eight), { axis: 0 }))).toHaveLength(2);
    expect(kinds((b, _, eight, four) => b.emit('concat', [eight, four], { axis: 0, kernel: 'own' }))).toHaveLength(1);
  });

  it('are none for views and extents', () => {
    expect(kinds((b, x) => b.emit('reshape', [x], { shape: ['N', 8, 4096] }))).toEqual([]);
    expect(kinds((b, x) => b.emit('shape', [x], { start: 0, end: 1 }))).toEqual([]);
    expect(
      kinds((b, x) => {
        const size = b.emit('shape', [x], { start: 0, end: 1 });
        b.emit('minimum', [size, size], {});
      }),
    ).toEqual([]);
  });

  it('of arithmetic are slow where a vector by channel is on the left', () => {
    const byChannel = (b: GraphBuilder, eight: Value): Value => b.emit('reshape', [eight], { shape: [1, 8, 1, 1] });
    expect(slowness((b, x, eight) => b.emit('mul', [x, byChannel(b, eight)], {}))).toBe(1);
    expect(slowness((b, x, eight) => b.emit('mul', [byChannel(b, eight), x], {}))).toBe(2);
  });

  it('of transpositions are slow where no rows stay together', () => {
    const permuted = (...permutation: readonly number[]) =>
      slowness((b, x) => b.emit('transpose', [x], { permutation }));
    expect(permuted(1, 0, 2, 3)).toBe(1);
    expect(permuted(0, 1, 3, 2)).toBe(1);
    expect(permuted(3, 1, 2, 0)).toBe(2);
  });

  it('of convolutions have a pass over the result more for a bias', () => {
    const weight = (b: GraphBuilder): Value =>
      b.input({ dtype: 'float32', shape: [8, 8, 1, 1] }, { name: 'w', role: 'batch' });
    const attributes = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1 } as const;
    expect(kinds((b, x) => b.emit('conv2d', [x, weight(b)], attributes))).toEqual(['pointwise']);
    expect(kinds((b, x, eight) => b.emit('conv2d', [x, weight(b), eight], attributes))).toEqual([
      'pointwise',
      'elementwise',
    ]);
  });

  it('of ours are one for up to sixty parts, and two for what is summed and then applied', () => {
    const affine = (parts: number) =>
      kinds((b, x, eight) => {
        const vector = b.emit('concat', new Array<Value>(parts).fill(eight), { axis: 0 });
        b.emit('affineRelu', [vector, vector, vector, ...new Array<Value>(parts).fill(x)], { relu: true });
      });
    expect(affine(60)).toHaveLength(1);
    expect(affine(61)).toHaveLength(2);
    expect(kinds((b, x, eight) => b.emit('centerGrad', [x, x, eight, eight], { epsilon: 0 }))).toEqual([
      'reduction',
      'elementwise',
    ]);
  });

  it('of a gradient of a convolution take longer than others', () => {
    const target = targetOf('cuda', 'cudnn');
    const gradient = node((b, _, eight) => {
      const image = b.emit('reshape', [eight], { shape: [1, 8, 1, 1] });
      const attributes = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1, kernel: [1, 1] } as const;
      b.emit('conv2dWeightGrad', [image, image], attributes);
    });
    expect(nodeMicroseconds(gradient, target, 1)).toBeGreaterThan(15);
  });
});

describe('the workspace', () => {
  const weight = (b: GraphBuilder, kernel: number): Value =>
    b.input({ dtype: 'float32', shape: [16, 8, kernel, kernel] }, { name: 'w', role: 'batch' });
  const convolved = (kernel: number): Node =>
    node((b, x) => b.emit('conv2d', [x, weight(b, kernel)], { stride: [1, 1], pads: [1, 1, 1, 1], groups: 1 }));

  it('of a 3×3 convolution is its larger tensor once more, that of others nothing', () => {
    expect(workspace(convolved(3), 2)).toBe(4 * 2 * 16 * 64 * 64);
    expect(workspace(convolved(1), 2)).toBe(0);
    expect(
      workspace(
        node((b, x) => b.emit('relu', [x], {})),
        2,
      ),
    ).toBe(0);
  });
});
