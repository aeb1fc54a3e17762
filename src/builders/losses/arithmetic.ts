/** @file What the losses of regressions are made of: differences, absolute values and means, with gradients of their own. */

import type { GraphBuilder, Value } from '../../ir/index.js';
import { RequestError } from '../../ir/index.js';
import { checkTensors } from '../layer-options.js';
import type { Tensor } from '../tensor.js';

/** predictions − targets. @throws RequestError when they have different shapes: nothing is broadcast */
export function differences(loss: string, predictions: Tensor, targets: Tensor): Value {
  checkTensors(loss, predictions, targets);
  if (predictions.shape.join() !== targets.shape.join()) {
    throw new RequestError(
      `${loss}: the predictions have the shape [${predictions.shape.join(', ')}] and the targets [${targets.shape.join(', ')}]; give a target for each prediction`,
    );
  }
  return predictions.builder.emit('sub', [predictions.value, targets.value], {});
}

/** |x| as max(x, 0) + max(−x, 0); its gradient at 0 is 0. */
export function magnitude(builder: GraphBuilder, x: Value): Value {
  const above = builder.emit('relu', [x], {});
  return builder.emit('add', [above, builder.emit('relu', [builder.emit('neg', [x], {})], {})], {});
}

/** The mean of all elements. */
export function mean(builder: GraphBuilder, x: Value): Value {
  return builder.emit('reduceMean', [x], { axes: x.type.shape.map((_, axis) => axis), keepDims: false });
}
