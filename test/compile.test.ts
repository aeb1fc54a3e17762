/** @file A forward graph that was kept as text compiles to what its network did, to the byte; other graphs are refused. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resnet } from '../examples/resnet.js';
import { densenet, linear, type Network, type Tensor } from '../src/builders/index.js';
import { type CompileOptions, compile, compileGraph } from '../src/compile.js';
import { parseGraph, printGraph, RequestError } from '../src/ir/index.js';
import { encodeGraph } from '../src/onnx/index.js';
import { sameText } from './helpers/graphs.js';
import { networkOf, networkSpecs } from './helpers/networks.js';

/** Fails unless a network's kept forward graph gives the models, the state and the layout that the network gave. */
function expectSame(network: Network, { freeze, ...options }: CompileOptions): void {
  const first = compile(network, { ...options, freeze });
  const again = compileGraph(parseGraph(printGraph(first.forward)), options);
  for (const mode of ['training', 'evaluation'] as const) {
    const [one, other] = [first, again].map(({ schedules }) => Buffer.from(encodeGraph(schedules[mode])));
    expect(other?.equals(one as Buffer), mode).toBe(true);
  }
  expect(again.initial).toEqual(first.initial);
  expect(again.segments).toEqual(first.segments);
  expect(again.leastBatchSize).toBe(first.leastBatchSize);
}

describe('compile', () => {
  const tiny = { blockConfig: [1], growthRate: 4, imageSize: 8 } as const;

  it('refuses a policy beside a solver', () => {
    const solver = () => new Set<never>();
    expect(() => compile(densenet(tiny), { remat: 'none', solver })).toThrow(
      new RequestError('compile: remat and solver each choose what is recomputed; give one'),
    );
    expect(compile(densenet(tiny), { solver }).remat).toBe('custom');
  });

  it.each(['momentum', 'variance', 'gradient_mean', 'accumulated', 'optimizer', 'next', 'gradient', 'observed'])(
    'refuses a layer named %s',
    (name) => {
      const network = {
        name: 'named',
        inputShape: [4],
        classes: 2,
        forward: (x: Tensor) => linear(x, { name, features: 2 }),
      };
      expect(() => compile(network)).toThrow(
        new RequestError(
          `the network named has a tensor ${name}.weight, and names that begin with ${name}. stand for what a step keeps or makes of other tensors; give the layer another name`,
        ),
      );
      expect(compile({ ...network, forward: (x) => linear(x, { name: `${name}s`, features: 2 }) }).initial.size).toBe(
        2,
      );
    },
  );
});

describe('compileGraph', () => {
  const small = densenet({ blockConfig: [3, 3], growthRate: 4, imageSize: 8, dropRate: 0.25 });

  it.each<[string, Network, CompileOptions]>([
    ['what is frozen', small, { remat: 'max', freeze: ['features.conv0', 'features.denseblock1'], seed: 3 }],
    ['operators of our own', small, { target: 'cuda', kernels: 'cudnn', remat: 'efficient' }],
    ['another optimizer', resnet([4, 8], 8), { optimizer: { kind: 'adamw', decayNormBias: false }, segmentBytes: 0 }],
  ])('keeps %s', (_, network, options) => expectSame(network, options));

  it(
    'gives what a random network gave',
    () =>
      fc.assert(
        fc.property(networkSpecs, fc.constantFrom('none', 'efficient', 'max'), (spec, remat) =>
          expectSame(networkOf(spec), { remat }),
        ),
        { seed: Number(process.env.DENSEC_SEED ?? 20_240_817), numRuns: process.env.DENSEC_LONG ? 300 : 10 },
      ),
    process.env.DENSEC_LONG ? 3_600_000 : 60_000,
  );

  const forward = sameText(`
    graph g {
      in  batch %images: f32[N, 2]
      in  batch %labels: i64[N]
      in  parameter %w: f32[2]
      %logits: f32[N, 2] = mul(%images, %w)
      %loss: f32[], %p: f32[N, 2] = crossEntropy(%logits, %labels)
      %errors: f32[] = countErrors(%logits, %labels)
      out result loss = %loss
      out result errors = %errors
      out result logits = %logits
    }`);

  it('takes a graph that was written by hand', () => {
    const { training } = compileGraph(parseGraph(forward), { optimizer: { momentum: 0, nesterov: false } });
    expect(training.outputs.map(({ name }) => name)).toEqual(['loss', 'errors', 'logits', 'next.parameter.0']);
  });

  it.each<[string, string, string, RegExp]>([
    ['without images', '%images', '%pixels', /no forward pass: it has no images; it takes images f32\[N, …\]/],
    ['without a loss', 'loss = ', 'cost = ', /it has no loss/],
    ['whose loss is no scalar', 'loss = %loss', 'loss = %p', /its loss has the shape \[N, 2\]/],
    ['whose logits are no matrix', 'logits = %logits', 'logits = %loss', /its logits are no matrix/],
    ['without parameters', 'in  parameter %w', 'in  batch %w', /has no parameters to train/],
  ])('refuses a graph %s', (_, from, to, message) => {
    expect(() => compileGraph(parseGraph(forward.replaceAll(from, to)))).toThrow(message);
  });
});
