/** @file Lowering of batch statistics, normalization's gradient and ReLU's gradient. */

import { floatTensor, type GraphBuilder, sizeOf as sizeOfShape, type TensorData, type Value } from '../../ir/index.js';
import { imagesOf, shareInput, sumOverProcesses } from '../across-processes.js';
import { centerGradient } from '../center-gradient.js';
import { type LoweringRule, operand, product, reshaped, sumOver } from './rule.js';

/**
 * The mask [y > 0] as min(1, 1e38·y), cheaper on the CPU than comparing and casting, or as what isn't 0 of a ReLU's result.
 */
export const reluGrad: LoweringRule<'reluGrad'> = (_, inputs, { builder, target }) => {
  if (target.reluMask === 'bool') {
    const passes = builder.emit('cast', [operand(inputs, 1)], { to: 'bool' });
    return [builder.emit('where', [passes, operand(inputs, 0), builder.scalar(0)], {})];
  }
  const mask = builder.emit('hardSigmoid', [operand(inputs, 1)], { alpha: 1e38, beta: 0 });
  return [product(builder, operand(inputs, 0), mask)];
};

/** Two passes, mean and then mean of squared deviations: E[x²] − μ² would lose digits where μ is far from 0. */
export const batchStatistics: LoweringRule<'batchStatistics'> = (_, inputs, { builder, target }) => {
  const x = operand(inputs, 0);
  const axes = axesOfChannels(x);
  if (imagesOf(builder)) return statisticsOfAll(builder, x, axes);
  if (target.sums === 'steps') return statisticsBySums(builder, x, axes);
  const mean = builder.emit('reduceMean', [x], { axes, keepDims: true });
  const centered = builder.emit('sub', [x, mean], {});
  const variance = builder.emit('reduceMean', [product(builder, centered, centered)], { axes, keepDims: false });
  return [reshaped(builder, mean, variance.type.shape), variance];
};

/** The same over the images of all processes: each adds its means, weighted by its share, first of x and then of the squares. */
function statisticsOfAll(builder: GraphBuilder, x: Value, axes: readonly number[]): readonly [Value, Value] {
  const share = shareInput(builder);
  const average = (value: Value): Value =>
    sumOverProcesses(builder, product(builder, builder.emit('reduceMean', [value], { axes, keepDims: false }), share));
  const mean = average(x);
  const extents = x.type.shape.map((dim, axis) => (axis === 1 ? dim : 1));
  const centered = builder.emit('sub', [x, reshaped(builder, mean, extents)], {});
  return [mean, average(product(builder, centered, centered))];
}

/** The same where sums are taken in steps: a quotient of short vectors follows, not of one number for each sample. */
function statisticsBySums(builder: GraphBuilder, x: Value, axes: readonly number[]): readonly [Value, Value] {
  const count = builder.emit('sizeOf', [], { shape: x.type.shape.filter((_, axis) => axis !== 1) });
  const average = (value: Value): Value =>
    builder.emit('div', [builder.emit('reduceSum', [value], { axes, keepDims: false }), count], {});
  const mean = average(x);
  const extents = x.type.shape.map((dim, axis) => (axis === 1 ? dim : 1));
  const centered = builder.emit('sub', [x, reshaped(builder, mean, extents)], {});
  return [mean, average(product(builder, centered, centered))];
}

export const center: LoweringRule<'center'> = (_, inputs, { builder }) => {
  const [x, mean] = [operand(inputs, 0), operand(inputs, 1)];
  const [channels] = mean.type.shape as readonly [number];
  const positions = x.type.shape.slice(2).map(() => 1);
  return [builder.emit('sub', [x, reshaped(builder, mean, [1, channels, ...positions])], {})];
};

export const normalizer: LoweringRule<'normalizer'> = (node, inputs, { builder }) => {
  const [variance, gamma] = inputs as [Value, Value];
  const spread = builder.emit('add', [variance, builder.scalar(node.attributes.epsilon)], {});
  const deviation = builder.emit('sqrt', [spread], {});
  return [builder.emit('div', [gamma, deviation], {}), deviation];
};

/**
 * An image's channels are scaled by a depthwise 1×1 convolution where that is one pass over memory: it takes a ReLU or an
 * addition along. Else by batch normalization in its inference form.
 */
export const affine: LoweringRule<'affine'> = (_, inputs, { builder, target }) => {
  const [x, scale, shift] = [operand(inputs, 0), operand(inputs, 1), inputs[2]];
  const channels = scale.type.shape[0] as number;
  const rank = x.type.shape.length;
  if (target.fusedConvolution && rank === 4) {
    const weight = reshaped(builder, scale, [channels, 1, 1, 1]);
    const attributes = { stride: [1, 1], pads: [0, 0, 0, 0], groups: channels } as const;
    return [builder.emit('conv2d', shift ? [x, weight, shift] : [x, weight], attributes)];
  }
  if (!shift) return [product(builder, x, reshaped(builder, scale, [1, channels, ...Array<number>(rank - 2).fill(1)]))];
  const filled = (value: number): Value => builder.constant(filledVector(channels, value));
  return [builder.emit('normalize', [x, filled(0), filled(1), scale, shift], { epsilon: 0 })];
};

export const normalizable: LoweringRule<'normalizable'> = (_, inputs) => [operand(inputs, 0)];

/** For targets without a kernel of this kind: batch normalization in its inference form, and a ReLU. */
export const affineRelu: LoweringRule<'affineRelu'> = (node, inputs, { builder }) => {
  const [scale, shift, mean, ...parts] = inputs as [Value, Value, Value, ...Value[]];
  const whole = joined(builder, parts);
  const ones = builder.constant(filledVector(mean.type.shape[0] as number, 1));
  const result = builder.emit('normalize', [whole, mean, ones, scale, shift], { epsilon: 0 });
  return [node.attributes.relu ? builder.emit('relu', [result], {}) : result];
};

/** For targets without a kernel of this kind, of the operators that `affine` and `relu` have gradients of. */
export const affineReluGrad: LoweringRule<'affineReluGrad'> = (node, inputs, { builder }) => {
  const [gradient, scale, shift, mean, ...pairs] = inputs as [Value, Value, Value, Value, ...Value[]];
  const { relu, accumulates } = node.attributes;
  const parts = accumulates.map((_, part) => pairs[2 * part + 1] as Value);
  const variance = builder.constant(filledVector(mean.type.shape[0] as number, 1));
  const centered = builder.emit('center', [joined(builder, parts), mean, variance], { epsilon: 0 });
  const result = builder.emit('affine', [centered, scale, shift], {});
  // Masks are taken from what a ReLU gives.
  const through = relu ? builder.emit('reluGrad', [gradient, builder.emit('relu', [result], {})], {}) : gradient;
  const sums = builder.emitAll('channelSums', [through, centered], {});
  const scaled = builder.emit('affine', [through, scale], {});
  const sizes = parts.map(({ type }) => type.shape[1] as number);
  const shares = parts.length === 1 ? [scaled] : builder.emitAll('split', [scaled], { axis: 1, sizes });
  const gradients = shares.map((share, part) =>
    accumulates[part] ? builder.emit('add', [pairs[2 * part] as Value, share], {}) : share,
  );
  return [...sums, ...gradients];
};

/** What is centered is computed anew. */
export const centerGrad: LoweringRule<'centerGrad'> = (node, inputs, { builder }) => {
  const [gradient, x, mean, variance] = inputs as [Value, Value, Value, Value];
  const centered = builder.emit('center', [x, mean, variance], node.attributes);
  return [centerGradient(builder, gradient, centered, variance, node.attributes.epsilon)];
};

export const channelSums: LoweringRule<'channelSums'> = (_, inputs, context) => {
  const [a, b] = [operand(inputs, 0), operand(inputs, 1)];
  const axes = axesOfChannels(a);
  return [sumOver(context, product(context.builder, a, b), axes), sumOver(context, a, axes)];
};

/** The number of elements of a shape: a multiple of the batch size that the images have. */
export const sizeOf: LoweringRule<'sizeOf'> = (node, _, { builder, samples: count }) => {
  const { factor, symbols } = sizeOfShape(node.attributes.shape);
  if (symbols.length === 0) return [builder.scalar(factor)];
  const samples = count();
  return [factor === 1 ? samples : product(builder, samples, builder.scalar(factor))];
};

/** The axes along which a channel lies: all but the second. */
function axesOfChannels({ type }: Value): readonly number[] {
  return type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
}

/** Parts side by side along the channels. */
function joined(builder: GraphBuilder, parts: readonly Value[]): Value {
  return parts.length === 1 ? (parts[0] as Value) : builder.emit('concat', parts, { axis: 1 });
}

function filledVector(length: number, value: number): TensorData {
  return floatTensor([length], new Float32Array(length).fill(value));
}
