/** @file The memory plan of a graph: the order in which the runtime will execute it, and what is alive when. */

import { bytesPerElement, concreteShape, elementCount, type Graph, type TensorType } from '../ir/index.js';
import { toModel } from '../onnx/index.js';
import { executionOrder } from './execution-order.js';
import { type Liveness, liveness } from './liveness.js';
import { type Program, programOf } from './program.js';

/** A graph as the runtime will execute it for one batch size. */
export interface MemoryPlan extends Liveness {
  readonly program: Program;
  /** Indices of the program's nodes in the order they run. */
  readonly order: readonly number[];
}

/** Predicts the order and the live bytes of a lowered graph. */
export function planMemory(graph: Graph, batchSize: number): MemoryPlan {
  const { model, names } = toModel(graph);
  const types = new Map<string, TensorType>();
  for (const [value, name] of names) types.set(name, value.type);
  const bytes = (name: string): number => {
    const type = types.get(name);
    return type ? elementCount(concreteShape(type.shape, batchSize)) * bytesPerElement[type.dtype] : 0;
  };
  const program = programOf(model);
  const order = executionOrder(program);
  return { program, order, ...liveness(program, order, { bytes }) };
}
