/** @file Lowering of the gradients of pooling. */

import {
  type FloatTensor,
  flatDim,
  floatTensor,
  type GraphBuilder,
  type NodeOf,
  type Value,
  type Window,
} from '../../ir/index.js';
import { batchDim, type LoweringContext, type LoweringRule, operand, product, reshaped } from './rule.js';

type Extents = readonly [n: number, c: number, h: number, w: number];

/** Each output's gradient goes to the element that was largest, wherever windows overlap added up. */
export const maxPool2dGrad: LoweringRule<'maxPool2dGrad'> = (node, inputs, { builder, target }) => {
  const { inputShape } = node.attributes;
  const [gradient, indices] = [operand(inputs, 0), operand(inputs, 1)];
  const pool = builder.nodes.find(
    (made): made is NodeOf<'maxPool2d'> => made.operator === 'maxPool2d' && made.outputs[1] === indices,
  );
  if (pool && !target.poolIndices) return [toFirstLargest(builder, pool, gradient)];
  const flat = [flatDim(gradient.type.shape)];
  const operands = [reshaped(builder, gradient, flat), reshaped(builder, indices, flat)];
  const zeros = builder.emit('expand', [builder.constant(floatTensor([1], [0]))], { shape: [flatDim(inputShape)] });
  return [reshaped(builder, builder.emit('scatterAdd', [zeros, ...operands], {}), inputShape)];
};

/**
 * The gradient of a max pooling that gives no indices: tap by tap of the window, row by row, where the tap is equal to the
 * window's largest it takes what no tap before it has taken; so of equal elements the first takes all. What the taps took
 * is put back, and added up where windows overlap, by a transposed convolution with one-hot weights.
 */
function toFirstLargest(builder: GraphBuilder, pool: NodeOf<'maxPool2d'>, gradient: Value): Value {
  const { kernel, stride, pads } = pool.attributes;
  const [x, largest] = [operand(pool.inputs, 0), operand(pool.outputs, 0)];
  const [, , inputHeight, inputWidth] = x.type.shape as Extents;
  const [, , height, width] = largest.type.shape as Extents;
  const padded = pads.some((pad) => pad > 0)
    ? builder.emit('pad', [x], { pads: [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]] })
    : x;
  const rows = [flatDim([batchDim(x), x.type.shape[1] as number]), 1, height, width];
  let left = gradient;
  const taps = Array.from({ length: kernel[0] * kernel[1] }, (_, tap): Value => {
    const starts = [Math.floor(tap / kernel[1]), tap % kernel[1]] as const;
    const ends = [starts[0] + (height - 1) * stride[0] + 1, starts[1] + (width - 1) * stride[1] + 1] as const;
    const part = builder.emit('slice', [padded], { axes: [2, 3], starts, ends, steps: stride });
    const isLargest = builder.emit('cast', [builder.emit('equal', [part, largest], {})], { to: 'float32' });
    const inside = insideMask(starts, [height, width], [inputHeight, inputWidth], { stride, pads });
    // Zeros of the padding may equal the largest element, and are none.
    const wins = inside ? product(builder, isLargest, builder.constant(inside)) : isLargest;
    const taken = product(builder, left, wins);
    left = builder.emit('sub', [left, taken], {});
    return reshaped(builder, taken, rows);
  });
  const oneHot = new Float32Array(taps.length ** 2);
  for (let tap = 0; tap < taps.length; tap++) oneHot[tap * taps.length + tap] = 1;
  const weight = builder.constant(floatTensor([taps.length, 1, ...kernel], oneHot));
  const outputPadding = restOf([inputHeight, inputWidth], [height, width], pool.attributes);
  const images = taps.length === 1 ? (taps[0] as Value) : builder.emit('concat', taps, { axis: 1 });
  const placed = builder.emit('convTranspose2d', [images, weight], { stride, pads, groups: 1, outputPadding });
  return reshaped(builder, placed, x.type.shape);
}

/** 1 where a tap of a window lies inside the image, 0 where in the padding; nothing where it always lies inside. */
function insideMask(
  [top, left]: readonly [number, number],
  [height, width]: readonly [number, number],
  [inputHeight, inputWidth]: readonly [number, number],
  { stride, pads }: Pick<Window, 'stride' | 'pads'>,
): FloatTensor | undefined {
  const mask = new Float32Array(height * width);
  for (let place = 0; place < mask.length; place++) {
    const row = Math.floor(place / width) * stride[0] + top - pads[0];
    const column = (place % width) * stride[1] + left - pads[1];
    mask[place] = row >= 0 && row < inputHeight && column >= 0 && column < inputWidth ? 1 : 0;
  }
  return mask.includes(0) ? floatTensor([1, 1, height, width], mask) : undefined;
}

/** Rows and columns of an image behind those that its windows reach. */
function restOf(
  [inputHeight, inputWidth]: readonly [number, number],
  [height, width]: readonly [number, number],
  { kernel, stride, pads }: Window,
): readonly [number, number] {
  return [
    inputHeight - ((height - 1) * stride[0] + kernel[0] - pads[0] - pads[2]),
    inputWidth - ((width - 1) * stride[1] + kernel[1] - pads[1] - pads[3]),
  ];
}

/**
 * Each output's gradient spreads evenly over its window. Where windows tile the image, by a product with a constant
 * matrix (the fastest upsampling measured on the CPU), else by a transposed depthwise convolution.
 */
export const averagePool2dGrad: LoweringRule<'averagePool2dGrad'> = (node, inputs, { builder }) => {
  const { kernel, stride, pads, inputShape } = node.attributes;
  const gradient = operand(inputs, 0);
  const [, channels, inputHeight, inputWidth] = inputShape as Extents;
  const [, , height, width] = gradient.type.shape as Extents;
  const share = 1 / (kernel[0] * kernel[1]);
  const tiles = height * kernel[0] === inputHeight && width * kernel[1] === inputWidth;
  if (tiles && stride[0] === kernel[0] && stride[1] === kernel[1] && pads.every((pad) => pad === 0)) {
    return [tileUp(builder, gradient, kernel, inputWidth, share, inputShape)];
  }
  const weight = builder.constant(
    floatTensor([channels, 1, ...kernel], new Float32Array(channels * kernel[0] * kernel[1]).fill(share)),
  );
  const outputPadding = restOf([inputHeight, inputWidth], [height, width], node.attributes);
  return [builder.emit('convTranspose2d', [gradient, weight], { stride, pads, groups: channels, outputPadding })];
};

/**
 * Averages over windows that tile the image, as a product with a constant matrix: on the CPU as fast as the operator for
 * it, which the runtime's highest level of optimization would surround with copies in another layout.
 */
export function averageByProduct(
  node: NodeOf<'averagePool2d'>,
  inputs: readonly Value[],
  { builder, target }: LoweringContext,
): readonly Value[] | undefined {
  const { kernel, stride, pads } = node.attributes;
  const x = operand(inputs, 0);
  const [, channels, inputHeight, inputWidth] = x.type.shape as Extents;
  const [height, width] = [inputHeight / kernel[0], inputWidth / kernel[1]];
  const tiles = Number.isInteger(height) && Number.isInteger(width) && pads.every((pad) => pad === 0);
  if (!target.fusedConvolution || !tiles || stride[0] !== kernel[0] || stride[1] !== kernel[1]) return undefined;
  const columns = kernel[0] * inputWidth;
  const matrix = new Float32Array(columns * width);
  for (let column = 0; column < columns; column++) {
    matrix[column * width + Math.floor((column % inputWidth) / kernel[1])] = 1 / (kernel[0] * kernel[1]);
  }
  const rows = builder.emit('reshape', [x], { shape: [batchDim(x), channels, height, columns] });
  const average = builder.constant(floatTensor([columns, width], matrix));
  return [builder.emit('matMul', [rows, average], { transposeA: false, transposeB: false })];
}

/** A row of `width` elements becomes `kernel[0]` rows of `inputWidth`: the product with a (width, kernel[0]·inputWidth) matrix. */
function tileUp(
  builder: GraphBuilder,
  gradient: Value,
  kernel: readonly [number, number],
  inputWidth: number,
  share: number,
  inputShape: readonly (number | string)[],
): Value {
  const [, channels, height, width] = gradient.type.shape as Extents;
  const columns = kernel[0] * inputWidth;
  const matrix = new Float32Array(width * columns);
  for (let column = 0; column < columns; column++) {
    matrix[Math.floor((column % inputWidth) / kernel[1]) * columns + column] = share;
  }
  const spread = builder.emit('matMul', [gradient, builder.constant(floatTensor([width, columns], matrix))], {
    transposeA: false,
    transposeB: false,
  });
  return reshaped(builder, reshaped(builder, spread, [batchDim(gradient), channels, height, columns]), inputShape);
}
