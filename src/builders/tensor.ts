/** @file The handle that a network's function passes around: a value together with the graph it belongs to. */

import { type GraphBuilder, InternalError, type Shape, type Value } from '../ir/index.js';

/** A value of the network being traced. Layers take tensors and return tensors. */
export class Tensor {
  constructor(
    readonly builder: GraphBuilder,
    readonly value: Value,
  ) {}

  /** Extents; the first is the batch size `N`. */
  get shape(): Shape {
    return this.value.type.shape;
  }

  /** The extent of an axis, a number for all but the batch. @throws InternalError for the batch axis */
  dim(axis: number): number {
    const extent = this.shape[axis];
    if (typeof extent !== 'number') throw new InternalError(`axis ${axis} of [${this.shape.join(', ')}] is not static`);
    return extent;
  }

  /** Another value of the same graph. */
  with(value: Value): Tensor {
    return new Tensor(this.builder, value);
  }
}
