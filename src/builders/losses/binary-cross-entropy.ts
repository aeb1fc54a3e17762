/** @file The cross-entropy of labels of which an image may have several (torch.nn.BCEWithLogitsLoss). */

import { numbers, optional } from '../../choices.js';
import { aNumber, checkOptions, floatTensor, type Kinds, listOf } from '../../ir/index.js';
import { checkTensors } from '../layer-options.js';
import type { Tensor } from '../tensor.js';
import { defineLoss, inShort, otherLength } from './definition.js';

/** What the binary cross-entropy may be told. */
export interface BinaryCrossEntropyOptions {
  /** For each label, what an image that has it counts; one that doesn't counts 1. */
  readonly positiveWeights?: readonly number[] | undefined;
}

const kinds: Kinds<BinaryCrossEntropyOptions> = { positiveWeights: listOf(aNumber) };

/** Mean over samples and labels of the cross-entropy of σ(logits) (N, K) with targets (N, K) from 0 to 1. */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor, given: BinaryCrossEntropyOptions = {}): Tensor {
  checkTensors('binaryCrossEntropy', logits, targets);
  const { positiveWeights } = checkOptions('binaryCrossEntropy', given, kinds);
  const { builder } = logits;
  const weights = positiveWeights ? [builder.constant(floatTensor([positiveWeights.length], positiveWeights))] : [];
  return logits.with(builder.emit('binaryCrossEntropy', [logits.value, targets.value, ...weights], {}));
}

export const binaryCrossEntropyLoss = defineLoss({
  task: 'labels',
  choices: {
    /** One for each label. */
    positiveWeights: optional(
      numbers(
        {
          name: 'weights of positives',
          flag: '--pos-weight <w>',
          help: "what an image that has a label counts beside one that doesn't: 'balanced' (absent / present among the training images), numbers, or a file, as for --class-weights",
        },
        'weight of label',
        'above 0',
        (value) => value > 0,
      ),
    ),
  },
  defaults: {},
  conflict: ({ positiveWeights }, labels) => otherLength('weights of positives', positiveWeights, labels, 'labels'),
  trace: binaryCrossEntropy,
  words: {
    help: 'of a sigmoid for each label, for images that may have several',
    report: ({ positiveWeights }) => [
      'binary cross-entropy',
      ...(positiveWeights ? [`weights of positives ${inShort(positiveWeights)}`] : []),
    ],
  },
});
