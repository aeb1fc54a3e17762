/** @file The gradient through batch norm's statistics, in operators that every target has: of a rule and of a lowering. */

import type { GraphBuilder, Value } from '../ir/index.js';
import { channelCount, imagesOf, sumOverProcesses } from './across-processes.js';

/**
 * Let g be the gradient that the readers' affine maps give, σ² held fixed. Then, with x̂ = (x − μ)/σ,
 * dx = g − mean(g) − x̂·mean(g·x̂), whatever the number of readers: with y = x − μ, a = Σg and b = Σg·y over M elements it
 * is g + u·y + v for u = b / (−M·(σ² + ε)) and v = a / (−M). Where all processes normalize together, a, b and M are those of
 * all of them.
 */
export function centerGradient(
  builder: GraphBuilder,
  gradient: Value,
  y: Value,
  variance: Value,
  epsilon: number,
): Value {
  const emit = (operator: 'add' | 'mul' | 'div', a: Value, b: Value): Value => builder.emit(operator, [a, b], {});
  const count = builder.emit('neg', [channelCount(builder, y)], {});
  const [product, sum] = overAll(builder, builder.emitAll('channelSums', [gradient, y], {}) as [Value, Value]);
  const spread = emit('mul', emit('add', variance, builder.scalar(epsilon)), count);
  const correction = builder.emit('affine', [y, emit('div', product, spread), emit('div', sum, count)], {});
  return emit('add', gradient, correction);
}

/** The sums of one process, or where all normalize together, of all: in one meeting. */
function overAll(builder: GraphBuilder, sums: readonly [Value, Value]): readonly [Value, Value] {
  if (!imagesOf(builder)) return sums;
  const sizes = sums.map(({ type }) => type.shape[0] as number);
  const all = sumOverProcesses(builder, builder.emit('concat', sums, { axis: 0 }));
  return builder.emitAll('split', [all], { axis: 0, sizes }) as [Value, Value];
}
