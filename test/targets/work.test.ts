/** @file The work of nodes, counted by hand, and what it costs. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { GraphBuilder, type Node, traitsOf } from '../../src/ir/index.js';
import { nodeMicroseconds, type Target, targets, workOf } from '../../src/targets/index.js';

const f32 = (...shape: readonly (number | string)[]) => ({ dtype: 'float32', shape }) as const;
const square = { stride: [1, 1], pads: [0, 0, 0, 0] } as const;

/** The only node of a graph. */
function node(build: (builder: GraphBuilder) => unknown): Node {
  const builder = new GraphBuilder('one');
  build(builder);
  return builder.nodes[0] as Node;
}

function images(builder: GraphBuilder, name = 'x') {
  return builder.input(f32('N', 8, 10, 10), { name, role: 'batch' });
}

function weight(builder: GraphBuilder, ...shape: readonly number[]) {
  return builder.input(f32(...shape), { name: 'w', role: 'parameter', initializer: { kind: 'constant', value: 0 } });
}

describe('workOf', () => {
  it('counts a convolution: 2 operations for each product of a window, each byte once', () => {
    const conv = node((b) => b.emit('conv2d', [images(b), weight(b, 4, 8, 3, 3)], { ...square, groups: 1 }));
    const elements = { x: 2 * 8 * 100, w: 4 * 8 * 9, y: 2 * 4 * 64 };
    expect(workOf(conv, 2)).toEqual({
      kind: 'convolution',
      bytes: 4 * (elements.x + elements.w + elements.y),
      flops: 2 * elements.y * 8 * 9,
    });
  });

  it.each([
    ['pointwise', [4, 8, 1, 1], 1],
    ['grouped', [8, 4, 3, 3], 2],
  ] as const)('tells a %s convolution by its weight and groups', (kind, shape, groups) => {
    const conv = node((b) => b.emit('conv2d', [images(b), weight(b, ...shape)], { ...square, groups }));
    expect(workOf(conv, 1).kind).toBe(kind);
  });

  it('takes the gradients of a convolution for as many operations as the convolution', () => {
    const attributes = { ...square, groups: 1 };
    const forward = node((b) => b.emit('conv2d', [images(b), weight(b, 4, 8, 3, 3)], attributes));
    const gradient = (b: GraphBuilder) => b.input(f32('N', 4, 8, 8), { name: 'dy', role: 'batch' });
    const atInput = node((b) =>
      b.emit('conv2dInputGrad', [gradient(b), weight(b, 4, 8, 3, 3)], { ...attributes, inputShape: ['N', 8, 10, 10] }),
    );
    const atWeight = node((b) =>
      b.emit('conv2dWeightGrad', [images(b), gradient(b)], { ...attributes, kernel: [3, 3] }),
    );
    expect(workOf(atInput, 5).flops).toBe(workOf(forward, 5).flops);
    expect(workOf(atWeight, 5).flops).toBe(workOf(forward, 5).flops);
  });

  it('counts a product with a transposed operand by the axis that is summed over', () => {
    const product = node((b) => {
      const a = b.input(f32(7, 'N'), { name: 'a', role: 'batch' });
      const c = b.input(f32(7, 5), { name: 'c', role: 'batch' });
      return b.emit('matMul', [a, c], { transposeA: true, transposeB: false });
    });
    expect(workOf(product, 3).flops).toBe(2 * 3 * 5 * 7);
  });

  it('takes a view for no work, and a slice for what it gives out', () => {
    const view = node((b) => b.emit('reshape', [images(b)], { shape: ['N', 800] }));
    expect(workOf(view, 64)).toEqual({ kind: 'view', bytes: 0, flops: 0 });
    const slice = node((b) => b.emit('slice', [images(b)], { axes: [1], starts: [0], ends: [2], steps: [1] }));
    expect(workOf(slice, 1).bytes).toBe(2 * 4 * 200);
  });
});

describe('nodeMicroseconds', () => {
  const target: Target = {
    ...targets.cpu,
    costs: { name: 'mine', nodeUs: 3, rates: { ...targets.cpu.costs.rates, elementwise: { bytesPerSecond: 1e9 } } },
  };

  it('adds the time of a node to that of its bytes', () => {
    const relu = node((b) => b.emit('relu', [images(b)], {}));
    expect(nodeMicroseconds(relu, target, 10)).toBeCloseTo(3 + (1e6 * 2 * 4 * 8000) / 1e9);
  });

  it.each(Object.values(targets))('is a number for every node of a step for $name, and only for views 0', (each) => {
    const { training } = compile(densenet({ depth: 10 }), { target: each.name });
    for (const one of training.nodes) {
      const time = nodeMicroseconds(one, each, 4);
      expect(time).toBeGreaterThanOrEqual(0);
      expect(Number.isFinite(time)).toBe(true);
      if (one.operator !== 'constant' && one.outputs[0]?.type.dtype === 'float32' && !traitsOf(one.operator).view)
        expect(time).toBeGreaterThan(0);
    }
  });
});
