/** @file Lowering of the gradients of pooling. */

import { flatDim, floatTensor, type GraphBuilder, type NodeOf, type Value } from '../../ir/index.js';
import { batchDim, type LoweringContext, type LoweringRule, operand, reshaped } from './rule.js';

type Extents = readonly [n: number, c: number, h: number, w: number];

/** Each output's gradient goes to the element that was largest, wherever windows overlap added up. */
export const maxPool2dGrad: LoweringRule<'maxPool2dGrad'> = (node, inputs, { builder }) => {
  const { inputShape } = node.attributes;
  const [gradient, indices] = [operand(inputs, 0), operand(inputs, 1)];
  const flat = [flatDim(gradient.type.shape)];
  const operands = [reshaped(builder, gradient, flat), reshaped(builder, indices, flat)];
  const zeros = builder.emit('expand', [builder.constant(floatTensor([1], [0]))], { shape: [flatDim(inputShape)] });
  return [reshaped(builder, builder.emit('scatterAdd', [zeros, ...operands], {}), inputShape)];
};

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
  const outputPadding = [
    inputHeight - ((height - 1) * stride[0] + kernel[0] - pads[0] - pads[2]),
    inputWidth - ((width - 1) * stride[1] + kernel[1] - pads[1] - pads[3]),
  ] as const;
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
