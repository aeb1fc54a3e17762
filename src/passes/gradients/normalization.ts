/** @file Gradients of batch normalization's two halves and of the cross-entropy. */

import { floatTensor, type GraphBuilder, RequestError, type Value } from '../../ir/index.js';
import { type GradientRule, perChannel } from './rule.js';

/**
 * y = (x − μ)·ι·γ + β with ι = 1 / √(σ² + ε). With dβ = Σ dy and dγ = Σ dy·x̂:
 * dx = γι·dy, dμ = −γι·dβ, dσ² = −½·γι²·dγ. What flows through μ and σ² into x is batchStatistics' part, so a
 * feature whose statistics several layers share pays for it once.
 */
export const normalize: GradientRule<'normalize'> = {
  saves: { inputs: [0, 1, 2, 3] },
  backward(node) {
    const { builder } = node;
    const { epsilon } = node.attributes;
    const [x, mean, variance, scale] = [node.input(0), node.input(1), node.input(2), node.input(3)];
    const gradient = node.gradient();
    const [atScale, atShift] = builder.emitAll('normalizeGrad', [gradient, x, mean, variance], { epsilon }) as [
      Value,
      Value,
    ];
    const deviation = builder.emit('sqrt', [builder.emit('add', [variance, builder.scalar(epsilon)], {})], {});
    const inverse = builder.emit('reciprocal', [deviation], {});
    const factor = times(builder, scale, inverse);
    const atX = times(builder, gradient, perChannel(builder, factor, x.type.shape.length));
    const atMean = builder.emit('neg', [times(builder, factor, atShift)], {});
    const atVariance = times(builder, times(builder, times(builder, factor, inverse), atScale), builder.scalar(-0.5));
    return [atX, atMean, atVariance, atScale, atShift];
  },
};

/**
 * μ = Σx / M and σ² = Σ(x − μ)² / M, so dx = dμ / M + (x − μ)·2·dσ² / M: an affine map of each channel, written as a
 * normalization by μ with unit variance.
 */
export const batchStatistics: GradientRule<'batchStatistics'> = {
  saves: { inputs: [0], outputs: [0] },
  backward(node) {
    const { builder } = node;
    const x = node.input(0);
    const channels = [x.type.shape[1] as number];
    const constant = (value: number): Value =>
      builder.constant(floatTensor(channels, new Float32Array(channels[0] ?? 0).fill(value)));
    const count = builder.emit('sizeOf', [], { shape: x.type.shape.filter((_, axis) => axis !== 1) });
    const [atMean, atVariance] = [node.gradientOrNone(0), node.gradientOrNone(1)];
    const shift = atMean ? builder.emit('div', [atMean, count], {}) : constant(0);
    const scale = atVariance
      ? builder.emit('div', [times(builder, atVariance, builder.scalar(2)), count], {})
      : constant(0);
    return [builder.emit('normalize', [x, node.output(0), constant(1), scale, shift], { epsilon: 0 })];
  },
};

export const crossEntropy: GradientRule<'crossEntropy'> = {
  saves: { inputs: [1], outputs: [1] },
  backward(node) {
    if (node.gradientOrNone(1)) {
      throw new RequestError(
        "the log probabilities of crossEntropy can't be part of the loss; make them of the logits",
      );
    }
    return [node.builder.emit('crossEntropyGrad', [node.gradient(), node.output(1), node.input(1)], {}), undefined];
  },
};

function times(builder: GraphBuilder, a: Value, b: Value): Value {
  return builder.emit('mul', [a, b], {});
}
