/** @file The mean absolute error (torch.nn.L1Loss). */

import type { Tensor } from '../tensor.js';
import { differences, magnitude, mean } from './arithmetic.js';
import { defineLoss } from './definition.js';

/** Mean over samples and values of |predictions − targets|, both (N, K). */
export function absoluteError(predictions: Tensor, targets: Tensor): Tensor {
  const difference = differences('absoluteError', predictions, targets);
  const { builder } = predictions;
  return predictions.with(mean(builder, magnitude(builder, difference)));
}

export const absoluteErrorLoss = defineLoss({
  task: 'values',
  choices: {},
  defaults: {},
  trace: (predictions, targets) => absoluteError(predictions, targets),
  words: { help: 'mean absolute error of numbers', report: () => ['mean absolute error'] },
});
