/** @file Lowering of convolutions' gradients: to convolutions, transposed convolutions and matrix products. */

import { type Convolution, flatDim, floatTensor, type GraphBuilder, type Pads, type Value } from '../../ir/index.js';
import {
  batchDim,
  floatScalar,
  type LoweringContext,
  type LoweringRule,
  operand,
  reshaped,
  sumOver,
  transposed,
  zero,
} from './rule.js';

type Extents = readonly [n: number, c: number, h: number, w: number];

const extents = (value: Value): Extents => value.type.shape as unknown as Extents;

/** The sum is taken along where the target has such a convolution: `fuse-convolutions` joins the two. */
export const conv2dAdd: LoweringRule<'conv2dAdd'> = (node, inputs, { builder }) => {
  const [sum, x, weight] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
  return [builder.emit('add', [sum, builder.emit('conv2d', [x, weight], node.attributes)], {})];
};

/**
 * dX. For stride 1 the correlation of dY with the flipped, transposed weight (several times faster than a transposed
 * convolution on the CPU), else a transposed convolution.
 */
export const conv2dInputGrad: LoweringRule<'conv2dInputGrad'> = (node, inputs, { builder }) => {
  const { stride, pads, groups, inputShape } = node.attributes;
  const [gradient, weight] = [operand(inputs, 0), operand(inputs, 1)];
  const [, , kernelHeight, kernelWidth] = extents(weight);
  const mirrored = mirrorPads(pads, kernelHeight, kernelWidth);
  if (stride[0] === 1 && stride[1] === 1 && mirrored.every((pad) => pad >= 0)) {
    const flipped = flipTransposed(builder, weight, groups);
    return [builder.emit('conv2d', [gradient, flipped], { stride, pads: mirrored, groups })];
  }
  const [, , height, width] = gradient.type.shape as Extents;
  const [, , inputHeight, inputWidth] = inputShape as Extents;
  const outputPadding = [
    inputHeight - ((height - 1) * stride[0] + kernelHeight - pads[0] - pads[2]),
    inputWidth - ((width - 1) * stride[1] + kernelWidth - pads[1] - pads[3]),
  ] as const;
  return [builder.emit('convTranspose2d', [gradient, weight], { stride, pads, groups, outputPadding })];
};

/**
 * dW: a product of one operand's windows (im2col) with the other, over all positions and samples. For stride 1 the
 * windows can be those of dY instead of x; whichever has fewer channels is unfolded.
 */
export const conv2dWeightGrad: LoweringRule<'conv2dWeightGrad'> = (node, inputs, context) => {
  const { builder } = context;
  const { stride, pads, groups, kernel } = node.attributes;
  const [x, gradient] = [operand(inputs, 0), operand(inputs, 1)];
  const [, channels] = extents(x);
  const [, filters] = extents(gradient);
  const taps = kernel[0] * kernel[1];
  const mirrored = mirrorPads(pads, kernel[0], kernel[1]);
  const stepsByOne = stride[0] === 1 && stride[1] === 1;
  if (taps > 1 && stepsByOne && groups === 1 && filters < channels && mirrored.every((pad) => pad >= 0)) {
    const columns = builder.emit('im2col', [gradient], { kernel, stride, pads: mirrored, mirrored: true });
    const sums = contractPositions(context, columns, x, 1);
    const byTap = reshaped(builder, sums, [filters, kernel[0], kernel[1], channels]);
    return [noted(transposed(builder, byTap, [0, 3, 1, 2]), sums, context)];
  }
  const columns = unfold(context, x, { kernel, stride, pads });
  const sums = contractPositions(context, gradient, columns, groups);
  return [noted(reshaped(builder, sums, [filters, channels / groups, ...kernel]), sums, context)];
};

/** Lets whoever waits for a gradient wait for the sum that it is made of, where that is found in the context. */
function noted(gradient: Value, sums: Value, context: LoweringContext): Value {
  const sum = context.sums.get(sums);
  if (sum) context.sums.set(gradient, sum);
  return gradient;
}

/** Windows as channels, by one-hot weights: channel c·taps + t of the output is channel c shifted by tap t. */
export const im2col: LoweringRule<'im2col'> = (node, inputs, context) => {
  const { builder, target } = context;
  const { kernel, stride, pads, mirrored = false } = node.attributes;
  const x = operand(inputs, 0);
  const [, channels, height, width] = extents(x);
  const taps = kernel[0] * kernel[1];
  const outputShape = (node.outputs[0] as Value).type.shape;
  if (target.im2col !== 'slices' && taps > 1) {
    const groups = target.im2col === 'grouped' ? channels : 1;
    const weight = new Float32Array(groups * taps * taps);
    for (let filter = 0; filter < groups * taps; filter++) {
      const tap = filter % taps;
      weight[filter * taps + (mirrored ? taps - 1 - tap : tap)] = 1;
    }
    const oneHot = builder.constant(floatTensor([groups * taps, 1, ...kernel], weight));
    const images = groups === channels ? x : reshaped(builder, x, [flatDim([batchDim(x), channels]), 1, height, width]);
    const taken = builder.emit('conv2d', [images, notFolded(context, oneHot)], { stride, pads, groups });
    return [reshaped(builder, taken, outputShape)];
  }
  const padded = pads.some((pad) => pad > 0)
    ? builder.emit('pad', [x], { pads: [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]] })
    : x;
  const [, , outHeight, outWidth] = outputShape as Extents;
  const shifted = Array.from({ length: taps }, (_, position): Value => {
    const tap = mirrored ? taps - 1 - position : position;
    const starts = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
    const ends = [starts[0] + (outHeight - 1) * stride[0] + 1, starts[1] + (outWidth - 1) * stride[1] + 1] as const;
    const whole = padded === x && outHeight === height && outWidth === width;
    const part = whole ? padded : builder.emit('slice', [padded], { axes: [2, 3], starts, ends, steps: stride });
    return taps === 1
      ? part
      : builder.emit('reshape', [part], { shape: [batchDim(x), channels, 1, outHeight, outWidth] });
  });
  if (taps === 1) return shifted;
  return [reshaped(builder, builder.emit('concat', shifted, { axis: 2 }), outputShape)];
};

/**
 * Sums a[n, i, p]·b[n, j, p] over samples n and positions p, in groups of channels: (groups·I, groups·J) → (groups·I, J).
 * Either a product for each sample, summed after; or, where those products would outgrow the operands, one product of
 * the operands laid out with the samples inside.
 */
function contractPositions(context: LoweringContext, a: Value, b: Value, groups: number): Value {
  const { builder, target } = context;
  const n = batchDim(a);
  const [, rows, height, width] = extents(a);
  const [, columns] = extents(b);
  const positions = height * width;
  if (groups === 1 && rows * columns > 2 * (rows + columns) * positions) {
    const inside = (value: Value, channels: number): Value => {
      const byChannel = transposed(builder, reshaped(builder, value, [n, channels, positions]), [1, 0, 2]);
      return reshaped(builder, byChannel, [channels, flatDim([n, positions])]);
    };
    return builder.emit('matMul', [inside(a, rows), inside(b, columns)], { transposeA: false, transposeB: true });
  }
  const split = (value: Value, channels: number): Value =>
    reshaped(builder, value, groups === 1 ? [n, channels, positions] : [n, groups, channels / groups, positions]);
  const left = split(a, rows);
  const right = split(b, columns);
  const perSample = target.transposedMatMul
    ? builder.emit('matMul', [left, right], { transposeA: false, transposeB: true })
    : builder.emit('matMul', [left, swapLastAxes(builder, right)], { transposeA: false, transposeB: false });
  const summed = sumOver(context, perSample, [0]);
  return noted(reshaped(builder, summed, [rows, columns / groups]), summed, context);
}

function unfold(
  context: LoweringContext,
  value: Value,
  window: Pick<Convolution, 'stride' | 'pads'> & { readonly kernel: readonly [number, number] },
): Value {
  const isIdentity =
    window.kernel.every((k) => k === 1) && window.stride.every((s) => s === 1) && window.pads.every((p) => p === 0);
  return isIdentity ? value : context.builder.emit('im2col', [value], window);
}

/** (O, C / groups, kH, kW) → (C, O / groups, kH, kW) with the taps in opposite order. */
function flipTransposed(builder: GraphBuilder, weight: Value, groups: number): Value {
  const [filters, perGroup, height, width] = extents(weight);
  const byGroup = (): Value => reshaped(builder, weight, [groups, filters / groups, perGroup, height, width]);
  const shape = [perGroup * groups, filters / groups, height, width];
  const swapped =
    groups === 1
      ? transposed(builder, weight, [1, 0, 2, 3])
      : reshaped(builder, transposed(builder, byGroup(), [0, 2, 1, 3, 4]), shape);
  return height * width === 1 ? swapped : builder.emit('reverse', [swapped], { axes: [2, 3] });
}

/** Padding that makes a convolution with the mirrored kernel its own transpose. */
function mirrorPads([top, left, bottom, right]: Pads, kernelHeight: number, kernelWidth: number): Pads {
  return [kernelHeight - 1 - top, kernelWidth - 1 - left, kernelHeight - 1 - bottom, kernelWidth - 1 - right];
}

/**
 * A constant as a sum with a zero that the runtime can't know. A convolution with constant weights is what its highest
 * level of optimization lays out anew, in buffers that no plan knows of.
 */
function notFolded(context: LoweringContext, value: Value): Value {
  const { builder, target, samples } = context;
  const none = target.hostScalars
    ? floatScalar(builder, zero(context))
    : builder.emit('sub', [samples(), samples()], {});
  return builder.emit('add', [value, none], {});
}

/** A batch of matrices transposed. */
export function swapLastAxes(builder: GraphBuilder, value: Value): Value {
  const rank = value.type.shape.length;
  const permutation = Array.from({ length: rank }, (_, axis) => axis);
  permutation.splice(rank - 2, 2, rank - 1, rank - 2);
  return transposed(builder, value, permutation);
}
