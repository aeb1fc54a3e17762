/** @file What is counted of a batch beside the loss: the sum over its samples of the task's error. */

import type { Task } from '../step/tasks.js';
import { countErrors } from './layers.js';
import { magnitude } from './losses/arithmetic.js';
import type { Tensor } from './tensor.js';

/** The sum over the samples of an error of each: a scalar of outputs (N, K) and targets. */
export const sumErrors: Readonly<Record<Task, (outputs: Tensor, targets: Tensor) => Tensor>> = {
  classes: countErrors,
  labels: sumWrongLabels,
  values: sumAbsoluteErrors,
};

/** The sum over samples of the share of labels on whose wrong side of ½ the probability is. */
function sumWrongLabels(logits: Tensor, targets: Tensor): Tensor {
  const { builder } = logits;
  const isAbove = (x: Tensor, limit: number) =>
    builder.emit('cast', [builder.emit('greater', [x.value, builder.scalar(limit)], {})], { to: 'float32' });
  const difference = builder.emit('sub', [isAbove(logits, 0), isAbove(targets, 0.5)], {});
  return shareOfOutputs(logits.with(builder.emit('mul', [difference, difference], {})));
}

/** The sum over samples of the mean of |prediction − target|. */
function sumAbsoluteErrors(predictions: Tensor, targets: Tensor): Tensor {
  const { builder } = predictions;
  const difference = builder.emit('sub', [predictions.value, targets.value], {});
  return shareOfOutputs(predictions.with(magnitude(builder, difference)));
}

/** The sum of all elements (N, K), divided by K. */
function shareOfOutputs(x: Tensor): Tensor {
  const { builder } = x;
  const sum = builder.emit('reduceSum', [x.value], { axes: [0, 1], keepDims: false });
  const outputs = x.dim(1);
  return x.with(outputs === 1 ? sum : builder.emit('mul', [sum, builder.scalar(1 / outputs)], {}));
}
