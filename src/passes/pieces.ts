/** @file Values side by side along an axis, and cut apart again; nothing is emitted where there is only one. */

import type { GraphBuilder, Value } from '../ir/index.js';

/** Values, one at least, side by side along an axis. */
export function concatenate(builder: GraphBuilder, values: readonly Value[], axis: number): Value {
  return values.length > 1 ? builder.emit('concat', values, { axis }) : (values[0] as Value);
}

/** A value cut along an axis into pieces of the given extents. */
export function cut(builder: GraphBuilder, value: Value, axis: number, sizes: readonly number[]): readonly Value[] {
  return sizes.length > 1 ? builder.emitAll('split', [value], { axis, sizes }) : [value];
}
