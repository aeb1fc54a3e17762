/**
 * @file Lowering of `after`: a data dependency that copies nothing and that no level of the runtime's optimizer sees
 * through. What was tried, and at which levels it holds: docs/decisions.md.
 */

import { batch, elementCount, int64Tensor, type Value } from '../../ir/index.js';
import { type LoweringContext, type LoweringRule, reshaped } from './rule.js';

/** A tensor of up to so many elements is copied rather than reshaped: its Reshape could be merged with a neighbour. */
const smallTensor = 65_536;

/**
 * Adds to `x` a zero made of the signals' sizes: to a small tensor itself, to a large one's extents in a Reshape, which
 * aliases its operand.
 */
export const after: LoweringRule<'after'> = (_, inputs, context) => {
  const { builder } = context;
  const [x, ...signals] = inputs as [Value, ...Value[]];
  const none = builder.constant(int64Tensor([1], [0]));
  const sizes = signals.map((signal) => firstExtent(signal, context));
  const zero = builder.emit('minimum', [...sizes, none], {});
  const { dtype, shape } = x.type;
  const isStatic = shape.every((dim) => typeof dim === 'number');
  if (isStatic && dtype === 'float32' && elementCount(shape as readonly number[]) <= smallTensor) {
    const floatZero = reshaped(builder, builder.emit('cast', [zero], { to: 'float32' }), []);
    return [builder.emit('add', [x, floatZero], {})];
  }
  const extents = shape.map((dim) => (typeof dim === 'number' ? dim : 0));
  const target = builder.emit('add', [builder.constant(int64Tensor([extents.length], extents)), zero], {});
  return [builder.emit('reshape', [x, target], { shape })];
};

/** The extent of a signal's first axis where that is the batch; else of an empty slice, which is not folded either. */
function firstExtent(signal: Value, { builder, batchSize }: LoweringContext): Value {
  if (signal.type.shape[0] === batch) return builder.emit('shape', [signal], { start: 0, end: 1 });
  const none = builder.constant(int64Tensor([1], [0]));
  const end = builder.emit('minimum', [batchSize(), none], {});
  const empty = builder.emit('head', [signal, none, end], {});
  return builder.emit('shape', [empty], { start: 0, end: 1 });
}
