/** @file Steps that several processes take together: what is summed, and that nothing undoes it. */

import { describe, expect, it } from 'vitest';
import { batchNorm, compile, conv2d, dropout, flatten, linear, type Network, relu } from '../../src/index.js';
import { type Graph, parseGraph, printGraph, RequestError, traitsOf } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { removeDeadCode, shareSubexpressions } from '../../src/passes/clean.js';
import { reduceAcrossProcesses } from '../../src/passes/reduce-across-processes.js';

const network: Network = {
  name: 'small',
  inputShape: [2, 4, 4],
  classes: 3,
  forward(images) {
    const features = relu(
      batchNorm(conv2d(images, { name: 'conv', filters: 4, kernel: 3, padding: 1 }), { name: 'norm' }),
    );
    return linear(dropout(flatten(features), { name: 'drop', rate: 0.5 }), { name: 'fc', features: 3 });
  },
};

function sumsOf({ nodes }: Graph): number[] {
  return nodes.flatMap((node) => (node.operator === 'allReduce' ? [node.attributes.index] : []));
}

describe('a step of several processes', () => {
  it('sums gradients and weighs observations', () => {
    const graph = parseGraph(`
      graph draft {
        in  scalar %process_share: f32[]
        in  parameter %w: f32[2] {initializer=constant(0)}
        in  running %r: f32[2] {initializer=constant(0), momentum=0.1}
        %g: f32[2] = neg(%w)
        %s: f32[2] = exp(%r)
        out gradient gradient.w of w = %g
        out observation observed.r of r = %s
      }`);
    expect(printGraph(reduceAcrossProcesses.run(graph))).toMatchInlineSnapshot(`
      "graph draft {
        in  scalar %process_share: f32[]
        in  parameter %w: f32[2]
        in  running %r: f32[2] {momentum=0.1}
        %0: f32[2] = neg(%w)  # forward
        %1: f32[2] = exp(%r)  # forward
        %2: f32[2] = allReduce(%0) {index=0}  # update processes
        %3: f32[2] = mul(%1, %process_share)  # update processes
        %4: f32[2] = allReduce(%3) {index=0}  # update processes
        out gradient gradient.w of w = %2
        out observation observed.r of r = %4
      }"
    `);
  });

  it('has nothing of that where there is one', () => {
    const one = compile(network);
    expect(sumsOf(one.training)).toEqual([]);
    expect(one.training.inputs.map(({ name }) => name)).not.toContain('process_share');
    expect(Buffer.from(encodeGraph(one.schedules.training)).includes('AllReduce')).toBe(false);
  });

  it('meets once a segment, in an order that is numbered', () => {
    const { training, segments } = compile(network, { processes: true, segmentBytes: 400 });
    const summed = segments.filter(({ role }) => role === 'parameter' || role === 'running');
    expect(sumsOf(training)).toEqual(summed.map((_, index) => index));
    expect(training.inputs.map(({ name }) => name)).toEqual(expect.arrayContaining(['process_share', 'first_sample']));
  });

  it('meets for statistics and their gradients where batch norm is synchronized', () => {
    const own = sumsOf(compile(network, { processes: true }).training).length;
    const { training } = compile(network, { processes: true, syncBatchNorm: true });
    // Mean, variance, both sums of the gradient in one; running statistics are the same for all then.
    expect(sumsOf(training)).toHaveLength(own - 1 + 3);
    expect(sumsOf(training)).toEqual(sumsOf(training).map((_, index) => index));
  });

  it('keeps sums that are alike, and those that nobody reads', () => {
    expect(traitsOf('allReduce').collective).toBe(true);
    const graph = parseGraph(`
      graph draft {
        in  parameter %w: f32[2] {initializer=constant(0)}
        %a: f32[2] = allReduce(%w) {index=0}
        %b: f32[2] = allReduce(%w) {index=0}
        %c: f32[2] = allReduce(%w) {index=0}
        %y: f32[2] = add(%a, %b)
        out result y = %y
      }`);
    expect(sumsOf(shareSubexpressions.run(removeDeadCode.run(graph)))).toHaveLength(3);
  });

  it('computes no sum again, whatever the policy', () => {
    const plain = sumsOf(compile(network, { processes: true, syncBatchNorm: true }).training).length;
    const all = compile(network, { processes: true, syncBatchNorm: true, remat: () => true });
    expect(sumsOf(all.training)).toHaveLength(plain);
  });

  it('refuses to synchronize what it can not', () => {
    expect(() => compile(network, { syncBatchNorm: true })).toThrow(RequestError);
  });
});
