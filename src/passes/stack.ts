/** @file Does once for many what is done to each: to the operands of a concatenation, to the parts of a split. */

import {
  elementCount,
  type Graph,
  type GraphBuilder,
  isStatic,
  type Node,
  type NodeOf,
  type Shape,
  type Value,
} from '../ir/index.js';
import { removeDeadCode } from './clean.js';
import type { Pass } from './pass.js';
import { concatenate } from './pieces.js';
import { countReaders, rewriteNodes } from './rewrite.js';

/**
 * A step has hundreds of gradients and statistics of a few numbers each, and the runtime spends the same microseconds on
 * each node whatever its size. Where a concatenation gathers what was computed alike, the operands of that are gathered
 * and it is computed once; where it gathers concatenations, it gathers what these do; again and again, as long as something
 * changes. Only what has no batch axis.
 */
export const stackOperands: Pass = {
  name: 'stack-operands',
  run(graph) {
    for (let current = graph; ; ) {
      const stacked = stackOnce(current);
      if (stacked === current) return current;
      current = removeDeadCode.run(stacked);
    }
  },
};

function stackOnce(graph: Graph): Graph {
  const readers = countReaders(graph);
  const producers = new Map<Value, Node>();
  let changed = false;
  const stacked = rewriteNodes(graph, (node, inputs, builder) => {
    for (const value of node.outputs) producers.set(value, { ...node, inputs } as Node);
    if (node.operator !== 'concat' || !isStatic((node.outputs[0] as Value).type.shape)) return undefined;
    const { axis } = node.attributes;
    const operands = inputs.flatMap((value) => {
      const producer = producers.get(value);
      const isInner = producer?.operator === 'concat' && producer.attributes.axis === axis && readers.get(value) === 1;
      return isInner ? producer.inputs : [value];
    });
    const runs = runsOf(operands, (value) => {
      const producer = producers.get(value);
      return producer && liftOf(producer, axis, (readers.get(value) ?? 0) > 1);
    });
    const isAlone = runs.every(({ lift, values }) => !lift || values.length < lift.least);
    if (isAlone && operands.length === inputs.length) return undefined;
    changed = true;
    const pieces = runs.flatMap(({ lift, values }) =>
      lift && values.length >= lift.least
        ? [
            lift.emit(
              builder,
              values.map((value) => producers.get(value) as Node),
            ),
          ]
        : values,
    );
    return [concatenate(builder, pieces, axis)];
  });
  return changed ? stacked : graph;
}

/** How what computes an operand of a concatenation can be done after the concatenation. */
interface Lift {
  /** The same for operands that can be computed together, */
  readonly key: string;
  /** and so is this, where they have an operand in common. */
  readonly common?: Value;
  /** From how many operands on it is worth it. */
  readonly least: number;
  /** Concatenates what the nodes read and computes once. */
  emit(builder: GraphBuilder, nodes: readonly Node[]): Value;
}

function liftOf(node: Node, axis: number, shared: boolean): Lift | undefined {
  switch (node.operator) {
    case 'reshape':
      return liftReshape(node, axis);
    case 'transpose': {
      if (shared) return undefined;
      const { permutation } = node.attributes;
      return {
        key: `transpose ${permutation}`,
        least: 2,
        emit: (builder, nodes) =>
          builder.emit('transpose', [concatenate(builder, sources(nodes, 0), permutation[axis] ?? 0)], { permutation }),
      };
    }
    case 'mul':
    case 'div':
      return shared ? undefined : liftArithmetic(node, axis);
    default:
      return undefined;
  }
}

/** A reshape, along the axis of its operand before which there are as many elements as before that of the result. */
function liftReshape({ inputs, outputs }: NodeOf<'reshape'>, axis: number): Lift | undefined {
  const [from, to] = [inputs[0]?.type.shape ?? [], outputs[0]?.type.shape ?? []];
  if (inputs.length > 1 || !isStatic(from)) return undefined;
  const before = product(to.slice(0, axis));
  const source = from.findIndex((dim, index) => product(from.slice(0, index)) === before && dim !== 1);
  if (source < 0) return undefined;
  const others = (shape: Shape, except: number): string => shape.filter((_, index) => index !== except).join('×');
  return {
    key: `reshape ${source} ${others(from, source)} ${others(to, axis)}`,
    least: 2,
    emit(builder, nodes) {
      const together = concatenate(builder, sources(nodes, 0), source);
      const rows = nodes.reduce((sum, node) => sum + Number(node.outputs[0]?.type.shape[axis]), 0);
      return builder.emit('reshape', [together], { shape: to.map((dim, index) => (index === axis ? rows : dim)) });
    },
  };
}

/** A product or quotient of two vectors, or of vectors and one number for all of them. */
function liftArithmetic({ operator, inputs, outputs }: NodeOf<'mul' | 'div'>, axis: number): Lift | undefined {
  const [a, b] = inputs as readonly [Value, Value];
  const shape = outputs[0]?.type.shape.join();
  const isVector = ({ type }: Value): boolean => type.shape.join() === shape;
  const isNumber = ({ type }: Value): boolean => type.shape.length === 0;
  if (isVector(a) && isVector(b)) {
    return {
      key: operator,
      // Two concatenations take the place of one.
      least: 3,
      emit: (builder, nodes) =>
        builder.emit(
          operator,
          [concatenate(builder, sources(nodes, 0), axis), concatenate(builder, sources(nodes, 1), axis)],
          {},
        ),
    };
  }
  if (!isVector(a) || !isNumber(b)) return undefined;
  return {
    key: `${operator} by`,
    common: b,
    least: 2,
    emit: (builder, nodes) => builder.emit(operator, [concatenate(builder, sources(nodes, 0), axis), b], {}),
  };
}

interface Run {
  readonly lift: Lift | undefined;
  readonly values: Value[];
}

/** Neighbours that can be computed together. */
function runsOf(values: readonly Value[], liftFor: (value: Value) => Lift | undefined): readonly Run[] {
  const runs: Run[] = [];
  for (const value of values) {
    const lift = liftFor(value);
    const last = runs.at(-1);
    if (last?.lift && last.lift.key === lift?.key && last.lift.common === lift.common) last.values.push(value);
    else runs.push({ lift, values: [value] });
  }
  return runs;
}

type Movement = NodeOf<'transpose'> | NodeOf<'reverse'>;

/** Largest tensor to be transposed or reversed as a whole, in elements: its parts are all there while the first is used. */
const largestWhole = 262_144;

/**
 * Transposes and reverses a tensor before it is split, where that is done to each of the parts. A network's 3×3 weights of
 * equal extents are flipped for the backward pass all at once.
 */
export const stackParts: Pass = {
  name: 'stack-parts',
  run(graph) {
    const once = stackPartsOf(graph, 'transpose');
    return removeDeadCode.run(stackPartsOf(removeDeadCode.run(once), 'reverse'));
  },
};

function stackPartsOf(graph: Graph, operator: 'transpose' | 'reverse'): Graph {
  const splits = new Map<Value, NodeOf<'split'>>();
  const moved = new Map<Value, Movement>();
  for (const node of graph.nodes) {
    if (node.operator === 'split' && fits(node)) for (const value of node.outputs) splits.set(value, node);
    else if (node.operator === operator) moved.set(node.inputs[0] as Value, node as Movement);
  }
  const done = new Map<Node, readonly Value[]>();
  return rewriteNodes(graph, (node, _, builder) => {
    if (node.operator !== operator) return undefined;
    const part = node.inputs[0] as Value;
    const split = splits.get(part);
    if (!split || moved.get(part) !== node) return undefined;
    const index = split.outputs.indexOf(part);
    const known = done.get(split);
    if (known) return [known[index] as Value];
    const attributes = JSON.stringify(node.attributes);
    const alike = split.outputs.every((value) => JSON.stringify(moved.get(value)?.attributes) === attributes);
    const axis = newAxis(node as Movement, split.attributes.axis);
    if (!alike || axis === undefined) return undefined;
    const whole = builder.emit(operator, [split.inputs[0] as Value], node.attributes as never);
    const parts = builder.emitAll('split', [whole], { axis, sizes: split.attributes.sizes });
    done.set(split, parts);
    return [parts[index] as Value];
  });
}

function fits({ inputs, outputs }: NodeOf<'split'>): boolean {
  const shape = inputs[0]?.type.shape ?? [];
  return outputs.length > 2 && isStatic(shape) && elementCount(shape) <= largestWhole;
}

/** Where the axis of a split is found after a movement; undefined where it can't be split there any more. */
function newAxis(node: Movement, axis: number): number | undefined {
  if (node.operator === 'transpose') return node.attributes.permutation.indexOf(axis);
  return node.attributes.axes.includes(axis) ? undefined : axis;
}

function sources(nodes: readonly Node[], position: number): readonly Value[] {
  return nodes.map(({ inputs }) => inputs[position] as Value);
}

function product(extents: readonly (number | string)[]): number {
  return extents.reduce<number>((result, extent) => result * Number(extent), 1);
}
