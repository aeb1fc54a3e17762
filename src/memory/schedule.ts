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
  /** What is alive while the nodes run, for a batch size. */
  liveness(batchSize: number): Liveness<Value>;
  /** Live bytes at the peak, as lines over the batch size. */
  readonly livePeak: readonly PeakLine[];
}

/** Schedules a lowered graph, whose outputs are made values of their own: the order of its nodes is the plan. */
export function schedule(lowered: Graph): Schedule {
  const graph = copyOutputs(lowered);
  const file = placed(graph);
  const order = executionOrder({ nodes: file }).map((index) => file[index] as ScheduledNode);
  // Names, buffers and peaks are asked of the schedules that ship, and not of all that a solver tries.
  const names = once(() => nameValues(graph));
  const buffers = once(() => buffersOf(graph, order, names()));
  const liveness = once(() => livenessByBatch(graph, order));
  const livePeak = once(() => peakLines((batchSize) => liveness()(batchSize).timeline));
  return {
    ...{ graph, file, order },
    get names() {
      return names();
    },
    get buffers() {
      return buffers();
    },
    get livePeak() {
      return livePeak();
    },
    liveness: (batchSize) => liveness()(batchSize),
  };
}

/** A graph's nodes as they must stand in the file to be executed in the graph's order. */
function placed(graph: Graph): readonly ScheduledNode[] {
  // An output ends the life of what it is made of; for state, that is all the gradients of a segment.
  const results = new Set(graph.outputs.map(({ value }) => value));
  const isLarge = (value: Value | undefined): boolean =>
    value !== undefined && (results.has(value) || !isStatic(value.type.shape));
  return placeNodes(
    memoryNodes(graph).map((each) => ({ ...each, small: !each.inputs.some(isLarge) && !each.outputs.some(isLarge) })),
  );
}

function buffersOf(
  graph: Graph,
  order: readonly ScheduledNode[],
  names: ReadonlyMap<Value, string>,
): ReadonlyMap<Value, number> {
  const values = valueTypes(graph, names);
  const numbers = shareBuffers(order, bufferNumbers(order, values), values);
  return new Map(
    [...numbers].filter(([value]) => names.has(value) && !values.fixed.has(value) && !isStatic(value.type.shape)),
  );
}

function livenessByBatch(graph: Graph, order: readonly ScheduledNode[]): (batchSize: number) => Liveness<Value> {
  const bySizes = livenessBySizes({
    inputs: graph.inputs.map(({ value }) => value),
    outputs: graph.outputs.map(({ value }) => value),
    nodes: order,
  });
  return (batchSize) => bySizes(({ type }) => bytesOfType(type, batchSize));
}

/** A function that makes something when it is first called. */
function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
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
