/**
 * @file An evaluator of IR graphs in float64, independent of the compiler: each operator, composite or not, is computed
 * from its definition. What passes, exported models and gradients are held against.
 */

import { concreteShape, type Graph, type Node, type OperatorName, type Value } from '../../src/ir/index.js';
import { count, type NdArray } from './evaluate/array.js';
import { contraction } from './evaluate/contraction.js';
import { convolution } from './evaluate/convolution.js';
import { elementwise } from './evaluate/elementwise.js';
import { Call, type Kernel, type Kernels } from './evaluate/kernel.js';
import { losses } from './evaluate/losses.js';
import { movement } from './evaluate/movement.js';
import { normalization } from './evaluate/normalization.js';

export { type NdArray, ndArray } from './evaluate/array.js';

/** Every operator; a missing one fails the type check. */
const kernels: Kernels<OperatorName> = {
  ...elementwise,
  ...movement,
  ...contraction,
  ...convolution,
  ...normalization,
  ...losses,
};

/** Arrays for a graph's inputs, by name. */
export type Feeds = ReadonlyMap<string, NdArray>;

/** In which arithmetic a graph is evaluated: float64 throughout, or with the result of each node rounded to float32. */
export type Arithmetic = 'float64' | 'rounded';

/**
 * What a graph's outputs are for the given inputs.
 * @param batchSize what `N` stands for
 * @throws Error when an input is missing or has another shape than the graph says
 */
export function evaluate(
  graph: Graph,
  feeds: Feeds,
  batchSize: number,
  arithmetic: Arithmetic = 'float64',
): Map<string, NdArray> {
  const values = evaluateValues(graph, feeds, batchSize, arithmetic);
  return new Map(graph.outputs.map(({ name, value }) => [name, known(values, value, `the output ${name}`)]));
}

/** What every value of a graph is. */
export function evaluateValues(
  graph: Graph,
  feeds: Feeds,
  batchSize: number,
  arithmetic: Arithmetic = 'float64',
): Map<Value, NdArray> {
  const values = new Map<Value, NdArray>();
  for (const { name, value } of graph.inputs) {
    const array = feeds.get(name);
    if (!array) throw new Error(`the input ${name} is missing`);
    const shape = concreteShape(value.type.shape, batchSize);
    if (array.shape.join() !== shape.join()) {
      throw new Error(`the input ${name} is [${array.shape.join()}], not [${shape.join()}]`);
    }
    values.set(value, array);
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((value) => known(values, value, `an operand of ${node.operator}`));
    const results = compute(node, inputs, batchSize);
    for (const [index, value] of node.outputs.entries()) {
      const { shape, data } = results[index] as NdArray;
      const rounds = arithmetic === 'rounded' && value.type.dtype === 'float32';
      values.set(value, { shape, data: rounds ? data.map(Math.fround) : data });
    }
  }
  return values;
}

function compute(node: Node, inputs: readonly NdArray[], batchSize: number): readonly NdArray[] {
  const shapes = node.outputs.map((value) => concreteShape(value.type.shape, batchSize));
  const dtypes = {
    inputs: node.inputs.map(({ type }) => type.dtype),
    outputs: node.outputs.map(({ type }) => type.dtype),
  };
  const kernel = kernels[node.operator] as Kernel<OperatorName>;
  const outputs = kernel(new Call(inputs, node.attributes, shapes, dtypes, batchSize));
  return shapes.map((shape, index) => {
    const data = outputs[index];
    if (data?.length !== count(shape)) {
      throw new Error(`${node.operator} gives ${data?.length} elements for the shape [${shape.join()}]`);
    }
    return { shape, data };
  });
}

function known(values: ReadonlyMap<Value, NdArray>, value: Value, what: string): NdArray {
  const array = values.get(value);
  if (!array) throw new Error(`${what} is not computed`);
  return array;
}
