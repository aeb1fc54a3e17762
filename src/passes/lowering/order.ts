/**
 * @file Lowering of `after`: a data dependency that copies nothing and that no level of the runtime's optimizer sees
 * through. What was tried, and at which levels it holds: docs/decisions.md.
 */

import { elementCount, int64Tensor, isStatic, type Value } from '../../ir/index.js';
import { floatScalar, type LoweringContext, type LoweringRule, zero } from './rule.js';

/** A tensor of up to so many elements is copied rather than reshaped: its Reshape could be merged with a neighbour. */
const smallTensor = 65_536;

/**
 * Makes a zero of the signals' sizes. A small tensor has it added; a large one is reshaped to it, once for each axis: a
 * Reshape reads 0 as the operand's own extent and aliases its operand.
 */
export const after: LoweringRule<'after'> = (_, inputs, context) => {
  const { builder, target } = context;
  const [x, ...signals] = inputs as [Value, ...Value[]];
  const sizes = signals.map((signal) => firstExtent(signal, context));
  const zeros = (count: number): Value => {
    const constant = builder.constant(int64Tensor([count], new Array<number>(count).fill(0)));
    return builder.emit('minimum', [...sizes, constant], {});
  };
  const { dtype, shape } = x.type;
  const isSmall = dtype === 'float32' && isStatic(shape) && elementCount(shape) <= smallTensor;
  if (isSmall && (target.hostScalars || shape.length === 0)) {
    return [builder.emit('add', [x, floatScalar(builder, zeros(1))], {})];
  }
  return [builder.emit('reshape', [x, zeros(shape.length)], { shape })];
};

/** The extent of a signal's first axis where the runtime can't know it beforehand; else of an empty slice of it. */
function firstExtent(signal: Value, context: LoweringContext): Value {
  const { builder, sums } = context;
  const sum = sums.get(signal);
  if (sum) return builder.emit('shape', [sum], { start: 0, end: 1 });
  if (typeof signal.type.shape[0] === 'string') return builder.emit('shape', [signal], { start: 0, end: 1 });
  const none = builder.constant(int64Tensor([1], [0]));
  const empty = builder.emit('head', [signal, none, zero(context)], {});
  return builder.emit('shape', [empty], { start: 0, end: 1 });
}
