/** @file The cross-entropy of classes, as PyTorch defines it (torch.nn.CrossEntropyLoss). */

import { number, numbers, optional } from '../../choices.js';
import { aNumber, checkOptions, floatTensor, InternalError, type Kinds, listOf } from '../../ir/index.js';
import { checkTensors } from '../layer-options.js';
import type { Tensor } from '../tensor.js';
import { defineLoss, inShort, otherLength } from './definition.js';

/** What the cross-entropy may be told. */
export interface CrossEntropyOptions {
  /** A weight for each class: the loss is the sum of w(label)·(−log p) over a batch divided by that of w(label). */
  readonly classWeights?: readonly number[] | undefined;
  /** The share of each sample that all classes get in equal parts: at least 0, below 1. */
  readonly labelSmoothing?: number | undefined;
}

const kinds: Kinds<CrossEntropyOptions> = { classWeights: listOf(aNumber), labelSmoothing: aNumber };

/** Mean over the batch of the cross-entropy of softmax(logits) (N, K) with integer labels (N). */
export function crossEntropy(logits: Tensor, labels: Tensor, given: CrossEntropyOptions = {}): Tensor {
  checkTensors('crossEntropy', logits, labels);
  const { classWeights, labelSmoothing = 0 } = checkOptions('crossEntropy', given, kinds);
  const { builder } = logits;
  const weights = classWeights ? [builder.constant(floatTensor([classWeights.length], classWeights))] : [];
  const attributes = labelSmoothing === 0 ? {} : { smoothing: labelSmoothing };
  const [loss] = builder.emitAll('crossEntropy', [logits.value, labels.value, ...weights], attributes);
  if (!loss) throw new InternalError('crossEntropy has no output');
  return logits.with(loss);
}

export const crossEntropyLoss = defineLoss({
  task: 'classes',
  choices: {
    /** One for each class. */
    classWeights: optional(
      numbers(
        {
          name: 'class weights',
          flag: '--class-weights <w>',
          help: "weight of each class in the loss: 'balanced' by the training images' counts, numbers as in 1,2.5,1, or a file with a number (or CLASS,NUMBER) a line; a batch's mean is divided by the sum of its images' weights",
        },
        'weight of class',
        'above 0',
        (value) => value > 0,
      ),
    ),
    labelSmoothing: number(
      {
        name: 'label smoothing',
        flag: '--label-smoothing <x>',
        help: 'share of each label that all classes get in equal parts, as in 0.1',
      },
      'at least 0 and below 1',
      (value) => value >= 0 && value < 1,
    ),
  },
  defaults: { labelSmoothing: 0 },
  conflict: ({ classWeights }, classes) => otherLength('class weights', classWeights, classes, 'classes'),
  trace: crossEntropy,
  words: {
    help: 'of softmax, for images of one class each',
    report: ({ classWeights, labelSmoothing }) => [
      'cross-entropy',
      ...(classWeights ? [`class weights ${inShort(classWeights)}`] : []),
      ...(labelSmoothing > 0 ? [`label smoothing ${labelSmoothing}`] : []),
    ],
  },
});
