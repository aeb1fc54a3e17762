/** @file The memory plan of a graph for one batch size: the order in which the runtime will execute it, and what is alive when. */

import { aCount, checkValue, type Graph } from '../ir/index.js';
import { type Schedule, schedule } from './schedule.js';

/** A tensor that is alive at the peak. */
export interface PlannedTensor {
  readonly name: string;
  readonly bytes: number;
}

/** A schedule as the runtime will execute it for one batch size. */
export interface MemoryPlan {
  /** Names of the nodes, which are those of their first outputs, in the order they run. */
  readonly order: readonly string[];
  /** Live bytes while each node runs: its operands, its outputs and all that is wanted later. */
  readonly timeline: readonly number[];
  readonly peakBytes: number;
  /** Position in the order of the node that runs at the peak. */
  readonly peakAt: number;
  /** What is alive there, largest first. */
  readonly tensors: readonly PlannedTensor[];
}

/**
 * Predicts the order and the live bytes of a lowered graph, which is scheduled here, or of a schedule.
 * @throws RequestError when the batch size is none
 */
export function planMemory(graph: Graph | Schedule, batchSize: number): MemoryPlan {
  checkValue('the batch size', batchSize, aCount(1));
  const scheduled = 'order' in graph ? graph : schedule(graph);
  const { names, order } = scheduled;
  const { timeline, peakBytes, peakAt, tensors } = scheduled.liveness(batchSize);
  const nameOf = names.get.bind(names);
  return {
    order: order.map(({ outputs: [first] }) => (first && nameOf(first)) ?? ''),
    timeline,
    peakBytes,
    peakAt,
    tensors: tensors.map(({ value, bytes }) => ({ name: nameOf(value) ?? '', bytes })),
  };
}
