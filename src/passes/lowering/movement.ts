/** @file Lowering of expand and split where a target or the batch size asks for more. */

import { int64Tensor, type NodeOf, sizeOf, type Value } from '../../ir/index.js';
import { type LoweringContext, operand } from './rule.js';

/** Gives expand its extents as an operand where it makes a batch axis; they are known only when the graph runs. */
export function expandBatch(
  node: NodeOf<'expand'>,
  inputs: readonly Value[],
  { builder, batchSize }: LoweringContext,
): readonly Value[] | undefined {
  const { shape } = node.attributes;
  const x = operand(inputs, 0);
  const offset = shape.length - x.type.shape.length;
  const makesBatch = shape.some((dim, axis) => typeof dim === 'string' && x.type.shape[axis - offset] !== dim);
  if (!makesBatch || inputs.length > 1) return undefined;
  const extents = shape.map((dim) => {
    const { factor, symbols } = sizeOf([dim]);
    const known = builder.constant(int64Tensor([1], [factor]));
    if (symbols.length === 0) return known;
    return factor === 1 ? batchSize() : builder.emit('mul', [batchSize(), known], {});
  });
  const [first] = extents as [Value];
  const together = extents.length === 1 ? first : builder.emit('concat', extents, { axis: 0 });
  return [builder.emit('expand', [x, together], { shape })];
}

/** Cuts a split into slices where the target can't give so many outputs at once. */
export function splitBySlices(
  node: NodeOf<'split'>,
  inputs: readonly Value[],
  { builder, target }: LoweringContext,
): readonly Value[] | undefined {
  const { axis, sizes } = node.attributes;
  if (sizes.length <= target.splitOutputs) return undefined;
  let end = 0;
  return sizes.map((size) => {
    const start = end;
    end += size;
    return builder.emit('slice', [operand(inputs, 0)], { axes: [axis], starts: [start], ends: [end], steps: [1] });
  });
}
