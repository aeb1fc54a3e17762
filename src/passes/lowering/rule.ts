/** @file What a lowering rule is, and the arithmetic that several rules share. */

import {
  batch,
  type Dim,
  type Graph,
  type GraphBuilder,
  InternalError,
  int64Tensor,
  type NodeOf,
  type OperatorName,
  type Shape,
  type Value,
} from '../../ir/index.js';
import type { Target } from '../../targets/index.js';

/** What a rule emits to and may ask. */
export interface LoweringContext {
  readonly builder: GraphBuilder;
  readonly target: Target;
  /** The graph being lowered. */
  readonly graph: Graph;
  /** The batch size as an int64 vector of one element. */
  batchSize(): Value;
  /** The batch size as a float32 scalar, where the target computes floats. */
  samples(): Value;
  /**
   * For a gradient that has been lowered to a sum over samples, moved about: that sum, if its shape is known only when the
   * graph runs. Whoever waits for the gradient can wait for it.
   */
  readonly sums: Map<Value, Value>;
}

/** Values that compute the same as a composite node, made of operators that the target has. */
export type LoweringRule<K extends OperatorName> = (
  node: NodeOf<K>,
  inputs: readonly Value[],
  context: LoweringContext,
) => readonly Value[];

/** The operand at a position. @throws InternalError when it is missing */
export function operand(inputs: readonly Value[], index: number): Value {
  const value = inputs[index];
  if (!value) throw new InternalError(`operand ${index} is missing`);
  return value;
}

/** The elements under another shape; nothing where the shape is the same. */
export function reshaped(builder: GraphBuilder, value: Value, shape: Shape): Value {
  return value.type.shape.join() === shape.join() ? value : builder.emit('reshape', [value], { shape });
}

/**
 * A tensor with its axes in another order. Where only axes of extent 1 change places this is a reshape: it costs nothing, and
 * of a transposition that costs nothing the runtime would make others.
 */
export function transposed(builder: GraphBuilder, value: Value, permutation: readonly number[]): Value {
  const { shape } = value.type;
  const moved = permutation.filter((axis) => shape[axis] !== 1);
  const keepsOrder = moved.every((axis, index) => index === 0 || (moved[index - 1] as number) < axis);
  return keepsOrder
    ? reshaped(
        builder,
        value,
        permutation.map((axis) => shape[axis] as Dim),
      )
    : builder.emit('transpose', [value], { permutation });
}

/** [0] as int64, which the runtime finds out only when the graph runs. */
export function zero({ builder, batchSize }: Pick<LoweringContext, 'builder' | 'batchSize'>): Value {
  return builder.emit('minimum', [batchSize(), builder.constant(int64Tensor([1], [0]))], {});
}

/**
 * The sum over some axes, the batch's among them, for which others can wait: its axes, and so its shape, are known only
 * when the graph runs, or the runtime would fold what is asked of its extents.
 */
export function sumOver(context: LoweringContext, value: Value, axes: readonly number[]): Value {
  const { builder, sums } = context;
  const inner = innerAxes(context, value, axes);
  if (inner) return sumOver(context, builder.emit('reduceSum', [value], { axes: inner, keepDims: false }), [0]);
  const first = zero(context);
  const given =
    axes.length === 1 && axes[0] === 0
      ? first
      : builder.emit('add', [builder.constant(int64Tensor([axes.length], axes)), first], {});
  const sum = builder.emit('reduceSum', [value, given], { axes, keepDims: false });
  sums.set(sum, sum);
  return sum;
}

/**
 * The axes behind the channels where a reduction takes these and the samples and the target wants that in two steps, these
 * first. Axes in ascending order.
 */
export function innerAxes(
  { target }: Pick<LoweringContext, 'target'>,
  { type }: Value,
  axes: readonly number[],
): readonly number[] | undefined {
  const behind = type.shape.flatMap((_, axis) => (axis > 1 ? [axis] : []));
  return target.sums === 'steps' && behind.length > 0 && axes.join() === [0, ...behind].join() ? behind : undefined;
}

/** A vector of one element as a float32 scalar. */
export function floatScalar(builder: GraphBuilder, value: Value): Value {
  return reshaped(builder, builder.emit('cast', [value], { to: 'float32' }), []);
}

/** a · b, element by element. */
export function product(builder: GraphBuilder, a: Value, b: Value): Value {
  return builder.emit('mul', [a, b], {});
}

/** The batch axis's symbol where a value has it, else its extent. */
export function batchDim(value: Value): Shape[number] {
  return value.type.shape[0] ?? batch;
}
