/** @file A recomputed convolution subtracts the mean of its channels as its bias, and the runtime gives the same bits. */

import { describe, expect, it } from 'vitest';
import { type Graph, GraphBuilder, type Phase, printGraph, type Value } from '../../src/ir/index.js';
import { foldCenter } from '../../src/passes/fold-center.js';
import { fuseConvolutions } from '../../src/passes/fuse-convolutions.js';
import { runPasses } from '../../src/passes/pass.js';
import { randomArray, randomSource } from '../helpers/random.js';
import { runInRuntime } from '../helpers/runtime.js';

const attributes = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1 } as const;

/** Convolutions of `parts` images summed, minus a mean. */
function graphOf(parts: number, phase: Phase, channels = 2): Graph {
  const builder = new GraphBuilder('tiny');
  const input = (name: string, shape: readonly (number | string)[]): Value =>
    builder.input({ dtype: 'float32', shape: shape as never }, { name, role: 'batch' });
  const mean = builder.emit('neg', [input('mean', [4])], {});
  const images = Array.from({ length: parts }, (_, part) => input(`x${part}`, ['N', channels, 8, 8]));
  const weights = images.map((_, part) => input(`w${part}`, [4, channels, 1, 1]));
  const terms = images.map((x, part) => [x, weights[part] as Value] as const);
  builder.origin = { scope: '', phase };
  const sum = terms
    .map((operands) => () => builder.emit('conv2d', operands, attributes))
    .reduce((before, term) => () => builder.emit('add', [before(), term()], {}));
  const rows = builder.emit('reshape', [mean], { shape: [1, 4, 1, 1] });
  const value = builder.emit('sub', [sum(), rows], {});
  return builder.finish([{ name: 'out', role: 'result', value: builder.emit('relu', [value], {}) }]);
}

const nodesOf = (graph: Graph): string =>
  printGraph(graph)
    .split('\n')
    .filter((line) => line.includes('  # '))
    .join('\n');

describe('fold-center', () => {
  it('leaves a sum alone where the target adds it after the bias', () => {
    const [one, two] = [graphOf(1, 'recompute'), graphOf(2, 'recompute')];
    expect(nodesOf(foldCenter(false).run(one))).toBe(nodesOf(foldCenter(true).run(one)));
    expect(printGraph(foldCenter(false).run(two))).toBe(printGraph(two));
  });

  it('gives the convolution that is added last a bias', () => {
    expect(nodesOf(foldCenter(true).run(graphOf(2, 'recompute')))).toMatchInlineSnapshot(`
      "  %0: f32[4] = neg(%mean)  # forward
        %1: f32[1, 4, 1, 1] = reshape(%0) {shape=[1, 4, 1, 1]}  # recompute
        %2: f32[4] = neg(%0)  # backward
        %3: f32[N, 4, 8, 8] = conv2d(%x0, %w0, %2) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # recompute
        %4: f32[N, 4, 8, 8] = conv2d(%x1, %w1) {stride=[1, 1], pads=[0, 0, 0, 0], groups=1}  # recompute
        %5: f32[N, 4, 8, 8] = add(%3, %4)  # recompute
        %6: f32[N, 4, 8, 8] = relu(%5)  # recompute"
    `);
  });

  it('leaves the forward pass alone', () => {
    const graph = graphOf(1, 'forward');
    expect(printGraph(foldCenter(true).run(graph))).toBe(printGraph(graph));
  });

  it.each([
    [1, 3],
    [1, 40],
    [3, 36],
    [2, 150],
  ])('gives the same bits in the runtime: %i parts of %i channels', async (parts, channels) => {
    const graph = graphOf(parts, 'recompute', channels);
    const random = randomSource('fold');
    const feeds = new Map(
      graph.inputs.map(({ name, value }) => {
        const shape = value.type.shape.map((dim) => (typeof dim === 'number' ? dim : 5));
        return [name, randomArray(shape, random, 'normal')];
      }),
    );
    const folded = runPasses(graph, [foldCenter(true), fuseConvolutions]);
    expect(folded.nodes.some(({ operator }) => operator === 'sub')).toBe(false);
    const [plain, biased] = [await runInRuntime(fuseConvolutions.run(graph), feeds), await runInRuntime(folded, feeds)];
    expect(biased.get('out')).toEqual(plain.get('out'));
  });
});
