/** @file Gradient clipping as PyTorch defines it: clip_grad_norm_ and clip_grad_value_. */

import { elementCount, type GraphBuilder, staticShape, type Value } from '../../ir/index.js';
import type { UpdateBuilder } from './update.js';

/** How gradients are clipped: by the norm of all together, or each element by itself. */
export interface Clipping {
  readonly clipNorm?: number | undefined;
  readonly clipValue?: number | undefined;
}

export function clips({ clipNorm, clipValue }: Clipping): boolean {
  return clipNorm !== undefined || clipValue !== undefined;
}

/**
 * Clips the gradients of all parameters. By norm, no update can begin before all gradients are there: each is scaled by
 * min(1, limit / (norm + 1e-6)), where the norm is that of all of them as one vector.
 * @returns the clipped gradients in their order, and the norm before as a scalar
 */
export function clipGradients(
  gradients: readonly Value[],
  { clipNorm, clipValue }: Clipping,
  builder: GraphBuilder,
  update: UpdateBuilder,
): { readonly clipped: readonly Value[]; readonly norm: Value } {
  const norm = normOf(gradients, builder);
  if (clipNorm === undefined) {
    const limit = clipValue ?? Number.POSITIVE_INFINITY;
    const [least, most] = [builder.scalar(-limit), builder.scalar(limit)];
    return { clipped: gradients.map((gradient) => builder.emit('clip', [gradient, least, most], {})), norm };
  }
  const ratio = update.div(builder.scalar(clipNorm), update.add(norm, 1e-6));
  const factor = builder.emit('minimum', [ratio, builder.scalar(1)], {});
  return { clipped: gradients.map((gradient) => update.mul(gradient, factor)), norm };
}

/** √ of the sum of all squares. A product of a vector with itself takes no memory for the squares. */
function normOf(gradients: readonly Value[], builder: GraphBuilder): Value {
  const squares = gradients.map((gradient) => {
    const count = elementCount(staticShape(gradient.type.shape, 'a gradient'));
    const row = builder.emit('reshape', [gradient], { shape: [1, count] });
    const column = builder.emit('reshape', [gradient], { shape: [count, 1] });
    const product = builder.emit('matMul', [row, column], { transposeA: false, transposeB: false });
    return builder.emit('reshape', [product], { shape: [1] });
  });
  const all = squares.length === 1 ? (squares[0] as Value) : builder.emit('concat', squares, { axis: 0 });
  const sum = builder.emit('reduceSum', [all], { axes: [0], keepDims: false });
  return builder.emit('sqrt', [sum], {});
}
