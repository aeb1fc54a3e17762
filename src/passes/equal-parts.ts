/** @file Cuts and joins otherwise where a target's kernels for unequal parts are dear: by slices, by equal parts, by kernels of ours. */

import { type Graph, GraphBuilder, InternalError, isStatic, type Node, type NodeOf, type Value } from '../ir/index.js';
import { stepMicroseconds, type Target } from '../targets/index.js';
import { removeDeadCode } from './clean.js';
import type { Pass } from './pass.js';
import { countReaders, rewriteNodes } from './rewrite.js';

/** The batch at which forms are compared. */
const nominalBatch = 64;

type Form = (builder: GraphBuilder) => readonly Value[];

/**
 * Replaces concatenations and splits of unequal parts by the form that the target's table says takes the least time:
 *
 * - a kernel of ours, where the target has one;
 * - a slice for each part of a split that is read, of what has more than one axis;
 * - parts of the greatest common length, for what has no batch axis: larger parts are cut before they are joined, or joined
 *   after all has been cut.
 *
 * First, what a split gives and only another split along the same axis reads is cut by the first one.
 */
export function equalParts(target: Target): Pass {
  return {
    name: 'equal-parts',
    run: (graph) => removeDeadCode.run(inEqualParts(removeDeadCode.run(merged(graph)), target)),
  };
}

function inEqualParts(graph: Graph, target: Target): Graph {
  const readers = countReaders(graph);
  return rewriteNodes(graph, (node, inputs, builder) => {
    if (node.operator !== 'concat' && node.operator !== 'split') return undefined;
    if (node.attributes.kernel) return undefined;
    const best = fastest(formsOf(node, inputs, target, readers), node, target);
    return best?.(builder);
  });
}

/** The fastest of other forms; undefined where none is faster than the node. */
function fastest(forms: readonly Form[], node: Node, target: Target): Form | undefined {
  let best: Form | undefined;
  let least = stepMicroseconds([node], target, nominalBatch);
  for (const form of forms) {
    const scratch = new GraphBuilder('scratch');
    form(scratch);
    const time = stepMicroseconds(scratch.nodes, target, nominalBatch);
    if (time < least) [best, least] = [form, time];
  }
  return best;
}

function formsOf(
  node: NodeOf<'concat'> | NodeOf<'split'>,
  inputs: readonly Value[],
  target: Target,
  readers: ReadonlyMap<Value, number>,
): readonly Form[] {
  const isConcat = node.operator === 'concat';
  const { axis } = node.attributes;
  const parts = isConcat ? inputs : node.outputs;
  const isFloat = parts.every(({ type }) => type.dtype === 'float32');
  if (isFloat && target.kernels.has(node.operator)) {
    return [(builder) => builder.emitAll(node.operator, inputs, { ...node.attributes, kernel: 'own' } as never)];
  }
  const lengths = parts.map(({ type }) => Number(type.shape[axis]));
  if (new Set(lengths).size === 1) return [];
  const unit = lengths.reduce(commonDivisor);
  const isFixed = parts.every(({ type }) => isStatic(type.shape));
  const whole = inputs[0] as Value;
  if (isConcat) return isFixed ? [(builder) => [joined(builder, inputs, axis, unit)]] : [];
  const beside = whole.type.shape.findIndex((dim, index) => index !== axis && typeof dim === 'number');
  const isRead = (index: number): boolean => readers.has(parts[index] as Value);
  const forms: readonly Form[] =
    beside < 0 ? [] : [(builder) => sliced(builder, whole, [axis, beside], lengths, isRead)];
  return isFixed ? [...forms, (builder) => cut(builder, whole, axis, lengths, unit)] : forms;
}

/** Parts joined after each has been cut into pieces of one length. */
function joined(builder: GraphBuilder, parts: readonly Value[], axis: number, unit: number): Value {
  const pieces = parts.flatMap((part) => inPieces(builder, part, axis, unit));
  return builder.emit('concat', pieces, { axis });
}

/** A whole cut into pieces of one length, of which each part is joined. */
function cut(
  builder: GraphBuilder,
  whole: Value,
  axis: number,
  lengths: readonly number[],
  unit: number,
): readonly Value[] {
  const pieces = inPieces(builder, whole, axis, unit);
  let from = 0;
  return lengths.map((length) => {
    const own = pieces.slice(from, from + length / unit);
    from += length / unit;
    return own.length === 1 ? (own[0] as Value) : builder.emit('concat', own, { axis });
  });
}

function inPieces(builder: GraphBuilder, value: Value, axis: number, unit: number): readonly Value[] {
  const count = Number(value.type.shape[axis]) / unit;
  if (count === 1) return [value];
  return builder.emitAll('split', [value], { axis, sizes: new Array<number>(count).fill(unit) });
}

/**
 * A slice for each part that is read; the others are never looked at. Slices along one axis alone the runtime's optimizer
 * would make a split of again, so they name a second one, all of it.
 */
function sliced(
  builder: GraphBuilder,
  whole: Value,
  axes: readonly [axis: number, beside: number],
  lengths: readonly number[],
  isRead: (index: number) => boolean,
): readonly Value[] {
  const all = whole.type.shape[axes[1]] as number;
  let end = 0;
  const ranges = lengths.map((length) => {
    end += length;
    return [end - length, end] as const;
  });
  const made = ranges.map(([start, stop], index) =>
    isRead(index)
      ? builder.emit('slice', [whole], { axes, starts: [start, 0], ends: [stop, all], steps: [1, 1] })
      : undefined,
  );
  const any = made.find((value) => value !== undefined);
  if (!any) throw new InternalError('a split of which nothing is read should have been removed');
  return made.map((value) => value ?? any);
}

/** Splits whose parts are cut further along the same axis, by nobody but one other split, cut them at once. */
function merged(graph: Graph): Graph {
  const readers = countReaders(graph);
  const splits = new Map<Value, NodeOf<'split'>>();
  for (const node of graph.nodes) {
    const isFixed = node.inputs.every(({ type }) => isStatic(type.shape));
    if (node.operator === 'split' && isFixed && !node.attributes.kernel) splits.set(node.inputs[0] as Value, node);
  }
  const inner = (value: Value, axis: number): NodeOf<'split'> | undefined => {
    const split = readers.get(value) === 1 ? splits.get(value) : undefined;
    return split?.attributes.axis === axis ? split : undefined;
  };
  const done = new Map<Node, readonly Value[]>();
  return rewriteNodes(graph, (node, inputs, builder) => {
    const known = done.get(node);
    if (known) return known;
    if (node.operator !== 'split' || node.attributes.kernel) return undefined;
    const { axis, sizes } = node.attributes;
    const within = node.outputs.map((value) => inner(value, axis));
    if (!within.some(Boolean)) return undefined;
    const all = sizes.flatMap((size, index) => within[index]?.attributes.sizes ?? [size]);
    const pieces = builder.emitAll('split', inputs, { axis, sizes: all });
    let from = 0;
    return sizes.map((_, index) => {
      const split = within[index];
      const count = split?.attributes.sizes.length ?? 1;
      const own = pieces.slice(from, from + count);
      from += count;
      if (split) done.set(split, own);
      // What was cut further is read by nobody any more.
      return own[0] as Value;
    });
  });
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
