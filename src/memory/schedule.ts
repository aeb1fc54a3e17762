/** @file The schedule of a lowered graph: the one plan that models, forecasts, reports and checks are made of. */

import {
  bytesOfType,
  bytesPerElement,
  constantValues,
  copyOutputs,
  formatType,
  type Graph,
  inPlaceOf,
  isStatic,
  type Node,
  nameValues,
  presentOutputs,
  sizeOf,
  traitsOf,
  usedValues,
  type Value,
} from '../ir/index.js';
import { bufferNumbers, type ValueTypes } from './buffers.js';
import { executionOrder } from './execution-order.js';
import { type Liveness, livenessBySizes } from './liveness.js';
import type { MemoryNode } from './node.js';
import { type PeakLine, peakLines } from './peak-lines.js';
import { placeNodes } from './place.js';
import { shareBuffers } from './share-buffers.js';

/** A node of a schedule. */
export interface ScheduledNode extends MemoryNode<Value> {
  /** The graph's node; its phase and layer are in its origin. */
  readonly node: Node;
}

/** How the runtime will execute a lowered graph, constants left out: they take no time and are counted nowhere. */
export interface Schedule {
  /** With a value of its own for each output. */
  readonly graph: Graph;
  /** Names of the graph's values, constants excepted. */
  readonly names: ReadonlyMap<Value, string>;
  /** The nodes as they must stand in the file for the runtime to execute them in `order`. */
  readonly file: readonly ScheduledNode[];
  /** The nodes as the runtime executes them. */
  readonly order: readonly ScheduledNode[];
  /** For values with a batch axis, the number of the buffer that holds them; values of one number share it, in turn or in place. */
  readonly buffers: ReadonlyMap<Value, number>;
  /** Live bytes at the peak, as lines over the batch size. */
  readonly livePeak: readonly PeakLine[];
}

/** Schedules a lowered graph, whose outputs are made values of their own: the order of its nodes is the plan. */
export function schedule(lowered: Graph): Schedule {
  const graph = copyOutputs(lowered);
  const planned = memoryNodes(graph);
  const names = nameValues(graph);
  // An output ends the life of what it is made of; for state, that is all the gradients of a segment.
  const large = new Set(graph.outputs.map(({ value }) => value));
  for (const value of names.keys()) if (!isStatic(value.type.shape)) large.add(value);
  const isLarge = (value: Value | undefined): boolean => value !== undefined && large.has(value);
  const file = placeNodes(
    planned.map((each) => ({ ...each, small: ![...each.inputs, ...each.outputs].some(isLarge) })),
  );
  const order = executionOrder({ nodes: file }).map((index) => file[index] as ScheduledNode);
  const values = valueTypes(graph, names);
  const numbers = shareBuffers(order, bufferNumbers(order, values), values);
  const buffers = new Map(
    [...numbers].filter(([value]) => names.has(value) && !values.fixed.has(value) && !isStatic(value.type.shape)),
  );
  let lines: readonly PeakLine[] | undefined;
  return {
    ...{ graph, names, file, order, buffers },
    // Not every schedule is asked: those of models to evaluate or export are not.
    get livePeak() {
      if (!lines) {
        const liveness = livenessByBatch({ graph, order });
        lines = peakLines((batchSize) => liveness(batchSize).timeline);
      }
      return lines;
    },
  };
}

/** Live bytes of a schedule's nodes, in the order in which they run, for a batch size. */
export function scheduledLiveness(scheduled: Pick<Schedule, 'graph' | 'order'>, batchSize: number): Liveness<Value> {
  return livenessByBatch(scheduled)(batchSize);
}

/** The same for any batch size. */
function livenessByBatch({ graph, order }: Pick<Schedule, 'graph' | 'order'>): (batchSize: number) => Liveness<Value> {
  const bySizes = livenessBySizes({
    inputs: graph.inputs.map(({ value }) => value),
    outputs: graph.outputs.map(({ value }) => value),
    nodes: order,
  });
  return (batchSize) => bySizes(({ type }) => bytesOfType(type, batchSize));
}

/**
 * Live bytes while each node of a lowered graph runs in the graph's own order, as it is planned, by batch size; at
 * constants 0.
 */
export function plannedLiveBytes(graph: Graph): (batchSize: number) => Float64Array {
  const liveness = livenessByBatch({ graph, order: memoryNodes(graph) });
  return (batchSize) => {
    const { timeline } = liveness(batchSize);
    let position = 0;
    return Float64Array.from(graph.nodes, ({ operator }) =>
      operator === 'constant' ? 0 : (timeline[position++] as number),
    );
  };
}

/** A graph's nodes but its constants, as the memory model sees them. */
function memoryNodes(graph: Graph): readonly ScheduledNode[] {
  const used = usedValues(graph);
  const constants = constantValues(graph);
  return graph.nodes
    .filter(({ operator }) => operator !== 'constant')
    .map((node) => ({
      node,
      inputs: node.inputs.map((value) => (constants.has(value) ? undefined : value)),
      outputs: presentOutputs(node, used),
      effect: { view: traitsOf(node.operator).view === true, inPlace: inPlaceOf(node) },
    }));
}

function valueTypes(graph: Graph, names: ReadonlyMap<Value, string>): ValueTypes<Value> {
  return {
    typeOf: (value) => (names.has(value) ? formatType(value.type) : undefined),
    bytesOf({ type }) {
      const size = sizeOf(type.shape);
      return size.symbols.length === 1 ? size.factor * bytesPerElement[type.dtype] : 0;
    },
    fixed: new Set([...graph.inputs, ...graph.outputs].map(({ value }) => value)),
  };
}
