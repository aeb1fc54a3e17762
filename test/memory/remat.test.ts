/**
 * @file Recomputation survives the runtime: at every level of its optimizer each recomputed operator runs, and runs
 * late; the step is the same; and the predicted peak is what recomputation promises.
 */

import { describe, expect, it } from 'vitest';
import { type DenseNetOptions, densenet } from '../../src/builders/index.js';
import { type Compiled, type CompileOptions, compile } from '../../src/compile.js';
import { type Graph, type OperatorName, printGraph } from '../../src/ir/index.js';
import { planMemory } from '../../src/memory/plan.js';
import { programOf, toModel } from '../../src/onnx/index.js';
import { type RematName, type RematPolicy, recomputeCheap } from '../../src/passes/solvers/index.js';
import { expectClose } from '../helpers/compare.js';
import { type Level, levels, type ProfiledNode, profiledRun } from '../helpers/profile.js';
import { randomSource } from '../helpers/random.js';
import { runInRuntime } from '../helpers/runtime.js';
import { packedFeeds, randomSituation, type Tensors, unpackedState } from '../helpers/training.js';

const batchSize = 4;

function compiled(remat: CompileOptions['remat'], options: DenseNetOptions = { depth: 16 }): Compiled {
  return compile(densenet(options), remat ? { remat } : {});
}

function feedsOf({ training, segments, ...rest }: Compiled) {
  const situation = randomSituation({ training, segments, ...rest }, 10, batchSize, randomSource('batch'));
  return packedFeeds(training, segments, situation);
}

/** ONNX operators that stand for one of ours, whatever the runtime has fused into them. */
const counted = {
  concat: /^Concat$/,
  fusedConv2d: /^FusedConv$/,
  conv2d: /^Conv$/,
  batchStatistics: /^ReduceMean$/,
} as const;

type Counted = keyof typeof counted;

const names = Object.keys(counted) as Counted[];

const countOf = (operators: readonly string[], name: Counted): number =>
  operators.filter((operator) => counted[name].test(operator)).length;

function counts(operators: readonly string[]): Record<Counted, number> {
  return Object.fromEntries(names.map((name) => [name, countOf(operators, name)])) as Record<Counted, number>;
}

const recomputedNodes = ({ nodes }: Graph, operator: OperatorName): number =>
  nodes.filter((node) => node.origin.phase === 'recompute' && node.operator === operator).length;

const programCounts = (graph: Graph): Record<Counted, number> =>
  counts(programOf(toModel(graph)).nodes.map(({ operator }) => operator));

const baseline = compiled('none');

describe.each([
  ['efficient', ['concat', 'fusedConv2d']],
  ['max', ['concat', 'fusedConv2d', 'conv2d']],
] as const)('recomputing %s', (remat, recomputed) => {
  const variant = compiled(remat);
  const feeds = feedsOf(variant);
  const runs = new Map<Level, Promise<readonly ProfiledNode[]>>();
  const runAt = (level: Level): Promise<readonly ProfiledNode[]> => {
    const run = runs.get(level) ?? profiledRun(variant.training, feeds, level).then(({ order }) => order);
    runs.set(level, run);
    return run;
  };

  it('adds copies of what it doesn’t keep to the forward pass, and of nothing else', () => {
    const [before, after] = [programCounts(baseline.training), programCounts(variant.training)];
    for (const name of names) {
      const copies = recomputedNodes(variant.training, name);
      expect(after[name] - before[name], name).toBe(copies);
      if (!(recomputed as readonly string[]).includes(name)) expect(copies, name).toBe(0);
    }
    for (const name of recomputed) expect(recomputedNodes(variant.training, name), name).toBeGreaterThanOrEqual(1);
  });

  it('computes no statistics twice', () => {
    for (const { origin, outputs } of variant.training.nodes) {
      if (origin.phase !== 'recompute') continue;
      for (const { type } of outputs)
        expect(type.dtype === 'int64' || type.shape[0] === 'N' || type.shape[0] === '0*N').toBe(true);
    }
  });

  it.each(levels)('runs every copy beside its original at the level %s', async (level) => {
    const order = await runAt(level);
    expect(counts(order.map(({ operator }) => operator))).toEqual(programCounts(variant.training));
  });

  it.each(levels)('recomputes nothing before the backward pass has begun at the level %s', async (level) => {
    const order = await runAt(level);
    const begun = order.findIndex(({ name }) => name.startsWith('backward/'));
    const early = order.slice(0, begun).filter(({ name }) => name.startsWith('recompute/'));
    expect(begun).toBeGreaterThan(0);
    expect(early).toEqual([]);
  });

  it.each(levels)('recomputes a layer only once the gradient has come near it at the level %s', async (level) => {
    const order = await runAt(level);
    const positions = new Map(order.map(({ name }, position) => [name, position]));
    const first = (prefix: string): number =>
      Math.min(...[...positions].filter(([name]) => name.startsWith(prefix)).map(([, position]) => position));
    for (const block of [1, 2]) {
      const recomputation = first(`recompute/features.denseblock${block}`);
      expect(recomputation).toBeGreaterThan(first(`backward/features.denseblock${block + 1}`));
      expect(recomputation).toBeLessThan(Number.POSITIVE_INFINITY);
    }
  });

  it('runs in the planned order where the runtime optimizes nothing', async () => {
    const { order: planned } = planMemory(variant.training, batchSize);
    expect((await runAt('disabled')).map(({ name }) => name)).toEqual(planned);
  });

  it('updates every running statistic once', () => {
    const updates = ({ outputs }: Graph): string[] =>
      outputs.flatMap((output) => (output.role === 'next' ? [output.of] : [])).sort();
    expect(updates(variant.training)).toEqual(updates(baseline.training));
    expect(new Set(updates(variant.training)).size).toBe(updates(variant.training).length);
  });
});

/** Loss, logits and the next state, tensor by tensor, of a step in the runtime. */
async function step(variant: Compiled): Promise<Tensors> {
  const outputs = await runInRuntime(variant.training, feedsOf(variant));
  const results = [...outputs].filter(([name]) => !name.startsWith('next.'));
  return new Map([...results, ...unpackedState(outputs, variant.segments)]);
}

const onlyRelu: RematPolicy = ({ operator }) => operator === 'relu';
const firstBlock: RematPolicy = (node) => recomputeCheap(node) && node.origin.scope.includes('denseblock1');

describe.each([0, 0.2])('a step with dropout at rate %d', (dropRate) => {
  const options = { depth: 16, dropRate };

  it.each([
    ['efficient', 'efficient'],
    ['max', 'max'],
    ['ReLU only', onlyRelu],
    ['one block only', firstBlock],
  ] as const)('is the same recomputing %s', async (_, remat) => {
    expectClose(await step(compiled(remat, options)), await step(compiled('none', options)), 1e-5);
  });
});

describe('a policy of one’s own', () => {
  it('is followed', () => {
    const variant = compiled(onlyRelu);
    expect(variant.remat).toBe('custom');
    const added = variant.training.nodes.filter(({ origin }) => origin.phase === 'recompute');
    expect(added.filter(({ operator }) => operator === 'relu').length).toBeGreaterThanOrEqual(6);
    for (const operator of ['concat', 'fusedConv2d', 'conv2d'] as const) {
      expect(recomputedNodes(variant.training, operator)).toBe(0);
    }
  });

  it('that names nothing is none', () => {
    expect(printGraph(compiled(() => false).training)).toBe(printGraph(baseline.training));
  });
});

describe('the predicted peak', () => {
  const peak = (remat: RematName, depth: number, batch: number): number =>
    planMemory(compiled(remat, { depth }).training, batch).peakBytes;

  it('falls from none to efficient to max', () => {
    const [none, efficient, max] = (['none', 'efficient', 'max'] as const).map((remat) => peak(remat, 40, 64)) as [
      number,
      number,
      number,
    ];
    expect(efficient).toBeLessThan(0.6 * none);
    expect(max).toBeLessThan(0.8 * efficient);
  });

  /**
   * By how much a layer more adds in a deep network, in units of what it adds in a shallower one. In shallow networks
   * other tensors, of fixed size, make the peak.
   */
  const growth = (remat: RematName): number => {
    const [shallow, middle, deep] = [160, 220, 280].map((depth) => peak(remat, depth, 64)) as [number, number, number];
    return (deep - middle) / (middle - shallow);
  };

  it('grows quadratically with depth where everything is kept', () => {
    expect(growth('none')).toBeGreaterThan(1.25);
  });

  it.each(['efficient', 'max'] as const)('grows linearly with depth recomputing %s', (remat) => {
    expect(Math.abs(growth(remat) - 1)).toBeLessThan(0.12);
  });

  it('is proportional to the batch, but for the state', () => {
    const [one, two, four] = [16, 32, 64].map((batch) => peak('efficient', 22, batch)) as [number, number, number];
    expect((four - two) / (two - one)).toBeCloseTo(2, 1);
  });
});
