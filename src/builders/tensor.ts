/** @file The handle that a network's function passes around: a value together with the graph it belongs to. */

import { type GraphBuilder, RequestError, type Shape, show, type Value } from '../ir/index.js';

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

  /**
   * The extent of an axis, a number for all but the batch.
   * @param axis counted from the front, 0 being the batch
   * @throws RequestError when there is no such axis or its extent depends on the batch size
   */
  dim(axis: number): number {
    const extent = this.shape[axis];
    if (typeof extent === 'number') return extent;
    const last = this.shape.length - 1;
    const shape = `[${this.shape.join(', ')}]`;
    if (extent === undefined) {
      const end = Number.isInteger(axis) && axis < 0 && axis + last >= 0 ? ` (${axis + last + 1} is meant?)` : '';
      throw new RequestError(
        `dim: there is no axis ${show(axis)} of ${shape}; count axes from the front, 0 to ${last}${end}`,
      );
    }
    throw new RequestError(
      `dim: axis ${axis} of ${shape} is ${extent}, known only when the graph runs; use extents of other axes, or reshape to [N, …] first`,
    );
  }

  /** Another value of the same graph. */
  with(value: Value): Tensor {
    return new Tensor(this.builder, value);
  }
}
