/** @file Small graphs around one operator, with random operands: what operator cases are made with. */

import { concreteShape, type Graph, GraphBuilder, type Shape, type Value } from '../../../src/ir/index.js';
import type { Feeds, NdArray } from '../evaluate.js';
import { type Distribution, type RandomSource, randomArray, randomSource } from '../random.js';

/** A graph, what to feed it and how closely results may be expected to agree. */
export interface Case {
  readonly name: string;
  readonly graph: Graph;
  readonly feeds: Feeds;
  readonly batchSize: number;
  /** Agreement of graphs that compute the same in float64, relative to the largest value. */
  readonly exactness: number;
  /** Agreement of the runtime's float32 with float64, relative to the largest value. */
  readonly precision: number;
}

export interface CaseOptions {
  /** Above 1e-10 only where a lowering rounds a constant such as 1/9 to float32. */
  readonly exactness?: number;
  /** Above 1e-4 only where the operator itself amplifies rounding. */
  readonly precision?: number;
}

const batchSize = 3;

/** A graph in the making. */
export class Draft {
  readonly builder: GraphBuilder;
  readonly feeds = new Map<string, NdArray>();
  private readonly random: RandomSource;

  constructor(name: string) {
    this.builder = new GraphBuilder('case');
    this.random = randomSource(name);
    // Tells the batch size where a lowering asks for it.
    this.batch(['N'], 'samples');
  }

  /** An operand whose gradient is checked. */
  parameter(shape: Shape, distribution: Distribution = 'normal'): Value {
    return this.given(shape, randomArray(concreteShape(shape, batchSize), this.random, distribution));
  }

  /** An operand with given elements whose gradient is checked. */
  given(shape: Shape, array: NdArray): Value {
    const name = `p${this.builder.inputs.filter(({ role }) => role === 'parameter').length}`;
    this.feeds.set(name, array);
    const initializer = { kind: 'constant', value: 0 } as const;
    return this.builder.input({ dtype: 'float32', shape }, { name, role: 'parameter', initializer });
  }

  /** A random input that is no parameter. */
  batch(shape: Shape, name: string): Value {
    this.feeds.set(name, randomArray(concreteShape(shape, batchSize), this.random, 'normal'));
    return this.builder.input({ dtype: 'float32', shape }, { name, role: 'batch' });
  }

  /** Integers below `limit`, one a sample. */
  labels(limit: number): Value {
    const data = Float64Array.from({ length: batchSize }, () => Math.floor(this.random() * limit));
    this.feeds.set('labels', { shape: [batchSize], data });
    return this.builder.input({ dtype: 'int64', shape: ['N'] }, { name: 'labels', role: 'batch' });
  }

  /** Numbers 0 or 1, and one in between, for each sample. */
  targets(columns: number): Value {
    const data = Float64Array.from({ length: batchSize * columns }, (_, at) =>
      at === 1 ? 0.25 : Math.round(this.random()),
    );
    this.feeds.set('targets', { shape: [batchSize, columns], data });
    return this.builder.input({ dtype: 'float32', shape: ['N', columns] }, { name: 'targets', role: 'batch' });
  }

  /** An integer. */
  integer(name: string, value: number): Value {
    this.feeds.set(name, { shape: [], data: Float64Array.of(value) });
    return this.builder.input({ dtype: 'int64', shape: [] }, { name, role: 'scalar' });
  }
}

/** Numbers around `mean` with a standard deviation of `deviation`. */
export function around(shape: readonly number[], mean: number, deviation: number): NdArray {
  const { data } = randomArray(shape, randomSource(`around ${mean}`), 'normal');
  return { shape, data: data.map((value) => Math.fround(mean + deviation * value)) };
}

/** A case with the result `loss`: the sum of the elements of what `build` returns, each times a random weight. */
export function differentiableCase(
  name: string,
  build: (draft: Draft) => Value | readonly Value[],
  options: CaseOptions = {},
): Case {
  return draftCase(name, options, (draft) => {
    const built = build(draft);
    const values = Array.isArray(built) ? (built as readonly Value[]) : [built as Value];
    const terms = values.map((value, index) => weightedSum(draft, value, `weights${index}`));
    const loss = terms.reduce((sum, term) => draft.builder.emit('add', [sum, term], {}));
    return [['loss', loss]];
  });
}

/** A case whose results are what `build` returns. */
export function forwardCase(name: string, build: (draft: Draft) => readonly Value[], options: CaseOptions = {}): Case {
  return draftCase(name, options, (draft) => build(draft).map((value, index) => [`result${index}`, value]));
}

function draftCase(
  name: string,
  options: CaseOptions,
  build: (draft: Draft) => readonly (readonly [string, Value])[],
): Case {
  const draft = new Draft(name);
  const results = build(draft).map(([output, value]) => ({ name: output, role: 'result', value }) as const);
  return {
    name,
    graph: draft.builder.finish(results),
    feeds: draft.feeds,
    batchSize,
    exactness: options.exactness ?? 1e-10,
    precision: options.precision ?? 1e-4,
  };
}

function weightedSum(draft: Draft, value: Value, name: string): Value {
  const { shape } = value.type;
  const weighted = draft.builder.emit('mul', [value, draft.batch(shape, name)], {});
  const axes = shape.map((_, axis) => axis);
  return axes.length === 0 ? weighted : draft.builder.emit('reduceSum', [weighted], { axes, keepDims: false });
}
