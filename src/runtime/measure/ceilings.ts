/** @file The rates that a machine reaches at best: what a profile's kernels are held against. */

import { floatTensor, type Graph, GraphBuilder, type TensorData, type Value } from '../../ir/index.js';
import { encodeGraph } from '../../onnx/index.js';
import { openSession } from '../session/open-session.js';
import type { Ceilings, CeilingsRequest } from './protocol.js';

/** 64 MB read and 64 MB written: more than any cache holds. */
const streamed = 2 ** 24;
/** Operators in the chain that streams them: enough for the first one's reading of the input not to count. */
const chained = 4;
/** Rows and columns of the matrices: large enough for the product to be bound by arithmetic. */
const matrix = 1024;
const repeats = 10;

/**
 * Measures the ceilings with two small graphs; the best of several runs counts. Each gives out a single number, since
 * handing out a large tensor costs more time than making it.
 */
export async function measureCeilings(request: CeilingsRequest): Promise<Ceilings> {
  const chain = await bestSeconds(chainGraph(), [['x', filled([streamed])]], request);
  const square = filled([matrix, matrix]);
  const product = await bestSeconds(
    productGraph(),
    [
      ['a', square],
      ['b', square],
    ],
    request,
  );
  return { bytesPerSecond: (2 * 4 * streamed * chained) / chain, flopsPerSecond: (2 * matrix ** 3) / product };
}

function chainGraph(): Graph {
  const graph = new GraphBuilder('bandwidth');
  let value = graph.input({ dtype: 'float32', shape: [streamed] }, { name: 'x', role: 'batch' });
  for (let index = 0; index < chained; index++) value = graph.emit('relu', [value], {});
  return finish(graph, value);
}

function productGraph(): Graph {
  const graph = new GraphBuilder('product');
  const type = { dtype: 'float32', shape: [matrix, matrix] } as const;
  const a = graph.input(type, { name: 'a', role: 'batch' });
  const b = graph.input(type, { name: 'b', role: 'batch' });
  return finish(graph, graph.emit('matMul', [a, b], { transposeA: false, transposeB: false }));
}

/** A graph that gives out the first number of a tensor. */
function finish(graph: GraphBuilder, value: Value): Graph {
  const axes = value.type.shape.map((_, axis) => axis);
  const [starts, ends] = [axes.map(() => 0), axes.map(() => 1)];
  const first = graph.emit('slice', [value], { axes, starts, ends, steps: ends });
  return graph.finish([{ name: 'first', value: first, role: 'result' }]);
}

function filled(shape: readonly number[]): TensorData {
  const count = shape.reduce((product, extent) => product * extent, 1);
  return floatTensor(shape, new Float32Array(count).fill(1 / matrix));
}

/** Seconds of the fastest run. */
async function bestSeconds(
  graph: Graph,
  feeds: readonly (readonly [string, TensorData])[],
  { device, threads }: CeilingsRequest,
): Promise<number> {
  const session = await openSession({
    model: encodeGraph(graph),
    device,
    threads,
    optimization: 'disabled',
    memoryPattern: false,
  });
  try {
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const began = performance.now();
      await session.run({ feeds, results: ['first'], updates: [] });
      best = Math.min(best, (performance.now() - began) / 1000);
    }
    return best;
  } finally {
    await session.close();
  }
}
