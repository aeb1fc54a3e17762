/** @file Gradients of batch normalization's two halves. */

import { floatTensor, type GraphBuilder, type Value } from '../../ir/index.js';
import { channelCount, imagesOf, sumOverProcesses } from '../across-processes.js';
import { centerGradient } from '../center-gradient.js';
import type { GradientRule } from './rule.js';

/** y = s·x + t: dx = s·dy, ds = Σ dy·x and dt = Σ dy over all elements of a channel. */
export const affine: GradientRule<'affine'> = {
  saves: { inputs: [0, 1] },
  backward(node) {
    const { builder } = node;
    const gradient = node.gradient();
    // The sums first: x is done with before dx takes room.
    const [atScale, atShift] = sums(builder, gradient, node.input(0));
    const atX = builder.emit('affine', [gradient, node.input(1)], {});
    return node.inputCount === 3 ? [atX, atScale, atShift] : [atX, atScale];
  },
};

/** With s = γ/σ: dγ = ds/σ. What flows into the variance is taken care of by `center`, whose readers' scales these are. */
export const normalizer: GradientRule<'normalizer'> = {
  saves: { outputs: [1] },
  backward: (node) => [undefined, node.builder.emit('div', [node.gradient(), node.output(1)], {})],
};

/** For all readers at once: see `centerGradient`. */
export const center: GradientRule<'center'> = {
  saves: { inputs: [2], outputs: [0] },
  backward(node) {
    const { builder, attributes } = node;
    const atX = centerGradient(builder, node.gradient(), node.output(), node.input(2), attributes.epsilon);
    return [atX, undefined, undefined];
  },
};

/** As `center`'s, in one operator; x itself is saved instead of what is centered. */
export const normalizable: GradientRule<'normalizable'> = {
  saves: { inputs: [0, 1, 2] },
  backward: (node) => [
    node.builder.emit('centerGrad', [node.gradient(), node.input(0), node.input(1), node.input(2)], node.attributes),
    undefined,
    undefined,
  ],
};

/**
 * The gradients at scale and shift are sums over what comes through the ReLU; those at the parts of x begin without a sum:
 * `accumulate` lets them take along what else arrives. Nothing flows into the mean: `normalizable` takes care of it.
 */
export const affineRelu: GradientRule<'affineRelu'> = {
  saves: { inputs: 'all' },
  backward(node) {
    const parts = Array.from({ length: node.inputCount - 3 }, (_, part) => node.input(3 + part));
    const [atScale, atShift, ...atParts] = node.builder.emitAll(
      'affineReluGrad',
      [node.gradient(), node.input(0), node.input(1), node.input(2), ...parts.flatMap((x) => [x, x])],
      { relu: node.attributes.relu, accumulates: parts.map(() => 0 as const) },
    );
    return [atScale, atShift, undefined, ...atParts];
  },
};

/**
 * For readers other than normalization. μ = Σx / M and σ² = Σ(x − μ)² / M, so dx = dμ / M + (x − μ)·2·dσ² / M: an affine
 * map of each channel.
 */
export const batchStatistics: GradientRule<'batchStatistics'> = {
  saves: { inputs: [0], outputs: [0] },
  backward(node) {
    const { builder } = node;
    const x = node.input(0);
    const channels = x.type.shape[1] as number;
    const count = channelCount(builder, x);
    const ofAll = (gradient: Value | undefined): Value | undefined =>
      gradient && imagesOf(builder) ? sumOverProcesses(builder, gradient) : gradient;
    const [atMean, atVariance] = [ofAll(node.gradientOrNone(0)), ofAll(node.gradientOrNone(1))];
    const perElement = (gradient: Value): Value => builder.emit('div', [gradient, count], {});
    const zeros = (): Value => builder.constant(floatTensor([channels], new Float32Array(channels)));
    const shift = atMean ? perElement(atMean) : zeros();
    const scale = atVariance ? perElement(times(builder, atVariance, builder.scalar(2))) : zeros();
    const centered = builder.emit('sub', [shift, times(builder, node.output(0), scale)], {});
    return [builder.emit('affine', [x, scale, centered], {})];
  },
};

/** Σ a·b and Σ a over all elements of each channel. */
function sums(builder: GraphBuilder, a: Value, b: Value): readonly [Value, Value] {
  return builder.emitAll('channelSums', [a, b], {}) as [Value, Value];
}

function times(builder: GraphBuilder, a: Value, b: Value): Value {
  return builder.emit('mul', [a, b], {});
}
