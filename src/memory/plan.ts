/** @file The memory plan of a graph: the order in which the runtime will execute it, and what is alive when. */

import { bytesPerElement, concreteShape, elementCount, type Graph, type TensorType } from '../ir/index.js';
import { toModel } from '../onnx/index.js';
import { executionOrder } from './execution-order.js';
import { type Liveness, liveness, type ValueSizes } from './liveness.js';
import { type Program, programOf } from './program.js';

/** A graph as the runtime will execute it for one batch size. */
export interface MemoryPlan extends Liveness {
  readonly program: Program;
  /** Indices of the program's nodes in the order they run. */
  readonly order: readonly number[];
}

/** Predicts the order and the live bytes of a lowered graph. */
export function planMemory(graph: Graph, batchSize: number): MemoryPlan {
  const { program, sizes } = written(graph, batchSize, 'placed');
  const order = executionOrder(program);
  return { program, order, ...liveness(program, order, sizes) };
}

/** Live bytes while each node of a lowered graph runs in the graph's own order, as it is planned; at constants 0. */
export function plannedLiveBytes(graph: Graph, batchSize: number): Float64Array {
  const { program, sizes } = written(graph, batchSize, 'planned');
  const { timeline } = liveness(program, [...program.nodes.keys()], sizes);
  let position = 0;
  return Float64Array.from(graph.nodes, ({ operator }) =>
    operator === 'constant' ? 0 : (timeline[position++] as number),
  );
}

/** A graph as a program, with the bytes of its values for a batch size. */
function written(
  graph: Graph,
  batchSize: number,
  order: 'placed' | 'planned',
): { readonly program: Program; readonly sizes: ValueSizes } {
  const { model, names } = toModel(graph, order);
  const types = new Map<string, TensorType>();
  for (const [value, name] of names) types.set(name, value.type);
  const bytes = (name: string): number => {
    const type = types.get(name);
    return type ? elementCount(concreteShape(type.shape, batchSize)) * bytesPerElement[type.dtype] : 0;
  };
  return { program: programOf(model), sizes: { bytes } };
}
