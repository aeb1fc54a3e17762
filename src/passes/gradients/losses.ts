/** @file Gradients of the cross-entropies, in one operator each. */

import { RequestError } from '../../ir/index.js';
import type { GradientRule } from './rule.js';

export const crossEntropy: GradientRule<'crossEntropy'> = {
  saves: { inputs: [1, 2], outputs: [1] },
  backward(node) {
    if (node.gradientOrNone(1)) {
      throw new RequestError(
        "the log probabilities of crossEntropy can't be part of the loss; make them of the logits",
      );
    }
    const { builder, attributes, inputCount } = node;
    const weights = inputCount > 2 ? [node.input(2)] : [];
    const operands = [node.gradient(), node.output(1), node.input(1), ...weights];
    return [builder.emit('crossEntropyGrad', operands, attributes), undefined, undefined];
  },
};

export const binaryCrossEntropy: GradientRule<'binaryCrossEntropy'> = {
  saves: { inputs: [0, 1, 2] },
  backward(node) {
    const weights = node.inputCount > 2 ? [node.input(2)] : [];
    const operands = [node.gradient(), node.input(0), node.input(1), ...weights];
    return [node.builder.emit('binaryCrossEntropyGrad', operands, {}), undefined, undefined];
  },
};
