/** @file Runs a lowered graph in the stock runtime, on the CPU. */

import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { DType, Graph, GraphInput } from '../../src/ir/index.js';
import { encodeGraph } from '../../src/onnx/index.js';
import { type Feeds, type NdArray, ndArray } from './evaluate.js';

/** What a graph's outputs are when the runtime computes them; session options are the runtime's defaults. */
export async function runInRuntime(graph: Graph, feeds: Feeds): Promise<Map<string, NdArray>> {
  const session = await InferenceSession.create(encodeGraph(graph));
  try {
    return await runSession(session, graph, feeds);
  } finally {
    await session.release();
  }
}

/** What a session made of a graph gives. */
export async function runSession(session: InferenceSession, graph: Graph, feeds: Feeds): Promise<Map<string, NdArray>> {
  const results = await session.run(Object.fromEntries(graph.inputs.map((input) => [input.name, feed(input, feeds)])));
  return new Map(
    graph.outputs.map(({ name }) => {
      const result = results[name];
      if (!result) throw new Error(`the runtime gave no output ${name}`);
      const data = Array.from(result.data as ArrayLike<number | bigint>, Number);
      return [name, ndArray(result.dims, data)];
    }),
  );
}

const convert: Readonly<
  Record<DType, (data: Float64Array) => Float32Array | BigInt64Array | Uint32Array | Uint8Array>
> = {
  float32: (data) => Float32Array.from(data),
  int64: (data) => BigInt64Array.from(data, (value) => BigInt(value)),
  uint32: (data) => Uint32Array.from(data),
  bool: (data) => Uint8Array.from(data),
};

function feed({ name, value }: GraphInput, feeds: Feeds): Tensor {
  const array = feeds.get(name);
  if (!array) throw new Error(`the input ${name} is missing`);
  return new Tensor(value.type.dtype, convert[value.type.dtype](array.data) as Float32Array, array.shape);
}
