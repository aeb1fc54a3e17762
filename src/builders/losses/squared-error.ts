/** @file The mean squared error (torch.nn.MSELoss). */

import type { Tensor } from '../tensor.js';
import { differences, mean } from './arithmetic.js';
import { defineLoss } from './definition.js';

/** Mean over samples and values of (predictions − targets)², both (N, K). */
export function squaredError(predictions: Tensor, targets: Tensor): Tensor {
  const difference = differences('squaredError', predictions, targets);
  const { builder } = predictions;
  return predictions.with(mean(builder, builder.emit('mul', [difference, difference], {})));
}

export const squaredErrorLoss = defineLoss({
  task: 'values',
  choices: {},
  defaults: {},
  trace: (predictions, targets) => squaredError(predictions, targets),
  words: { help: 'mean squared error of numbers', report: () => ['mean squared error'] },
});
