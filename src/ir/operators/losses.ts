/** @file Losses, and how many samples are misclassified. */

import { formatShape, sameShape, staticDim } from '../shape.js';
import { type Definitions, float, type Operands } from './definition.js';

type Losses = 'crossEntropy' | 'crossEntropyGrad' | 'binaryCrossEntropy' | 'binaryCrossEntropyGrad' | 'countErrors';

function checkLabels(inputs: Operands, logits: number, labels: number): void {
  const shape = inputs.ranked(logits, 2);
  inputs.dtype(labels, 'int64');
  inputs.require(
    sameShape(inputs.shape(labels), shape.slice(0, 1)),
    `the labels must be integers of the shape ${formatShape(shape.slice(0, 1))}, one a sample`,
  );
}

/** Requires a number of each logit's shape. */
function checkTargets(inputs: Operands, logits: number, targets: number): void {
  const shape = inputs.ranked(logits, 2);
  inputs.dtype(targets, 'float32');
  inputs.require(
    sameShape(inputs.shape(targets), shape),
    `the targets must have the shape ${formatShape(shape)}, one for each logit`,
  );
}

/** Requires one number a column of the logits, where the operand is there. */
function checkWeights(inputs: Operands, logits: number, weights: number): void {
  if (inputs.types.length <= weights) return;
  inputs.dtype(weights, 'float32');
  const columns = staticDim(inputs.shape(logits), 1, 'the logits');
  inputs.require(
    sameShape(inputs.shape(weights), [columns]),
    `the weights must have the shape [${columns}], one for each column of the logits`,
  );
}

/**
 * With p = softmax(logits), weights w (1 where absent) and the smoothing s, a sample of the class y counts
 * −Σ q·log p with q = w·((1 − s)·[k = y] + s / K); `crossEntropy` is the sum over the samples divided by that of w(y).
 * With logits x, targets y and weights w (1 where absent), `binaryCrossEntropy` is the mean over samples and columns of
 * −w·y·log σ(x) − (1 − y)·log(1 − σ(x)).
 */
export const losses = {
  crossEntropy: {
    operands: ['logits', 'labels', 'weights?'],
    composite: true,
    infer(inputs) {
      checkLabels(inputs, 0, 1);
      checkWeights(inputs, 0, 2);
      return [float([]), float(inputs.shape(0))];
    },
  },
  crossEntropyGrad: {
    operands: ['lossGradient', 'logProbabilities', 'labels', 'weights?'],
    composite: true,
    infer(inputs) {
      checkLabels(inputs, 1, 2);
      checkWeights(inputs, 1, 3);
      return [float(inputs.shape(1))];
    },
  },
  binaryCrossEntropy: {
    operands: ['logits', 'targets', 'weights?'],
    composite: true,
    infer(inputs) {
      checkTargets(inputs, 0, 1);
      checkWeights(inputs, 0, 2);
      return [float([])];
    },
  },
  binaryCrossEntropyGrad: {
    operands: ['lossGradient', 'logits', 'targets', 'weights?'],
    composite: true,
    infer(inputs) {
      checkTargets(inputs, 1, 2);
      checkWeights(inputs, 1, 3);
      return [float(inputs.shape(1))];
    },
  },
  countErrors: {
    operands: ['logits', 'labels'],
    composite: true,
    infer(inputs) {
      checkLabels(inputs, 0, 1);
      return [float([])];
    },
  },
} satisfies Definitions<Losses>;
