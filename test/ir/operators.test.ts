/** @file The shape rules of the table of operators: what they give and what they refuse, with the message. */

import { describe, expect, it } from 'vitest';
import {
  floatTensor,
  formatType,
  inferTypes,
  type OperatorAttributes,
  type OperatorName,
  operators,
  RequestError,
  type Shape,
  type TensorType,
} from '../../src/ir/index.js';

const f32 = (...shape: Shape): TensorType => ({ dtype: 'float32', shape });
const i64 = (...shape: Shape): TensorType => ({ dtype: 'int64', shape });
const u32 = (...shape: Shape): TensorType => ({ dtype: 'uint32', shape });

interface Row<K extends OperatorName> {
  readonly operator: K;
  readonly inputs: readonly TensorType[];
  readonly attributes: OperatorAttributes[K];
  /** The outputs' types, or the refusal. */
  readonly expected: string;
}

const rows: Row<OperatorName>[] = [];

function row<K extends OperatorName>(
  operator: K,
  inputs: readonly TensorType[],
  attributes: OperatorAttributes[K],
  expected: string,
): void {
  rows.push({ operator, inputs, attributes, expected });
}

const image = f32('N', 4, 8, 6);
const unit = { stride: [1, 1], pads: [0, 0, 0, 0], groups: 1 } as const;
const window = { kernel: [2, 2], stride: [2, 2], pads: [0, 0, 0, 0] } as const;
const tooLarge =
  "a 9×2 window doesn't fit into the 8×6 image with its padding; use a smaller kernel, fewer downsamplings or larger images";

// Elementwise.
row('add', [f32('N', 3), f32(3)], {}, 'f32[N, 3]');
row('add', [i64(), i64()], {}, 'i64[]');
row('add', [f32(3), i64(3)], {}, 'add(f32[3], i64[3]): both operands must have one element type');
row('sub', [f32('N', 1), f32(1, 4)], {}, 'f32[N, 4]');
row('mul', [f32(), f32(2)], {}, 'f32[2]');
row('mul', [f32(3), f32(2)], {}, "mul: the shapes [3] and [2] don't broadcast (axis 0: 3 and 2); reshape one of them");
row('div', [f32(2), f32(2)], {}, 'f32[2]');
row('div', [f32(2)], {}, 'div takes (a, b), not 1 operands');
row('equal', [i64('N', 1), i64(1, 3)], {}, 'bool[N, 3]');
row('greater', [u32(2), u32()], {}, 'bool[2]');
row('greater', [u32(2), f32()], {}, 'greater(u32[2], f32[]): both operands must have one element type');
row('minimum', [i64(1), i64(1), i64(1)], {}, 'i64[1]');
row('minimum', [f32('N', 1), f32(4)], {}, 'f32[N, 4]');
row('minimum', [i64(1), f32(1)], {}, 'minimum(i64[1], f32[1]): all operands must have one element type');
row('clip', [f32('N', 3), f32(), f32()], {}, 'f32[N, 3]');
row('clip', [f32(3), f32(1), f32()], {}, 'clip(f32[3], f32[1], f32[]): the limits must be scalars');
row('minimum', [], {}, 'minimum takes (parts...), not 0 operands');
for (const operator of ['neg', 'exp', 'log', 'sqrt', 'reciprocal', 'relu'] as const) {
  row(operator, [f32('N', 3)], {}, 'f32[N, 3]');
  row(operator, [i64(3)], {}, `${operator}(i64[3]): operand 0 must be float32`);
}
row('hardSigmoid', [f32(3)], { alpha: 1, beta: 0 }, 'f32[3]');
row('cast', [f32('N')], { to: 'int64' }, 'i64[N]');
row('where', [{ dtype: 'bool', shape: ['N', 3] }, f32('N', 3), f32()], {}, 'f32[N, 3]');
row('where', [f32(3), f32(3), f32(3)], {}, 'where(f32[3], f32[3], f32[3]): operand 0 must be bool');
row('reluGrad', [f32('N', 3), f32('N', 3)], {}, 'f32[N, 3]');
row('dropout', [f32('N', 3)], { rate: 0.5, key: 0 }, 'f32[N, 3]');
row('allReduce', [f32(3)], { index: 0 }, 'f32[3]');
row('allReduce', [i64(3)], { index: 0 }, 'allReduce(i64[3]): operand 0 must be float32');
row('dropoutMask', [i64(), i64(), i64()], { rate: 0.5, key: 0, shape: ['N', 3] }, 'f32[N, 3]');
row('dropoutMask', [i64(), i64()], { rate: 0.5, key: 0, shape: ['N', 3] }, 'f32[N, 3]');
row(
  'dropoutMask',
  [i64(1), i64()],
  { rate: 0.5, key: 0, shape: ['N', 3] },
  'dropoutMask(i64[1], i64[]): step and seed must be scalars',
);
row(
  'dropoutMask',
  [f32(), i64()],
  { rate: 0.5, key: 0, shape: ['N', 3] },
  'dropoutMask(f32[], i64[]): operand 0 must be int64',
);

// Movement.
row('constant', [], { value: floatTensor([2, 1], [1, 2]) }, 'f32[2, 1]');
row('constant', [f32()], { value: floatTensor([], [1]) }, 'constant takes (), not 1 operands');
row('reshape', [f32('N', 2, 3)], { shape: ['N', 6] }, 'f32[N, 6]');
row('reshape', [f32('N', 2, 3)], { shape: ['6*N'] }, 'f32[6*N]');
row(
  'reshape',
  [f32('N', 2, 3)],
  { shape: ['N', 5] },
  'reshape(f32[N, 2, 3]): the shape [N, 5] holds another number of elements',
);
row('after', [f32('N', 2, 3), f32(4)], {}, 'f32[N, 2, 3]');
row('after', [f32(3), f32('N', 2), i64()], {}, 'f32[3]');
row('after', [f32(3)], {}, 'after takes (x, signals...), not 1 operands');
row('head', [f32(8, 3), i64(1), i64(1)], {}, 'f32[0*N, 3]');
row('head', [f32(8, 3), i64(1), f32(1)], {}, 'head(f32[8, 3], i64[1], f32[1]): operand 2 must be int64');
row('expand', [f32(1, 3)], { shape: ['N', 3] }, 'f32[N, 3]');
row('expand', [f32(3), i64(2)], { shape: ['N', 3] }, 'f32[N, 3]');
row(
  'expand',
  [f32(2, 3)],
  { shape: [4, 3] },
  "expand(f32[2, 3]): can't be repeated to [4, 3]; only axes of extent 1 repeat",
);
row('expand', [f32(1, 3)], { shape: [3] }, "expand(f32[1, 3]): can't be repeated to [3]; only axes of extent 1 repeat");
row('transpose', [f32('N', 2, 3)], { permutation: [2, 0, 1] }, 'f32[3, N, 2]');
row('transpose', [f32(2, 3)], { permutation: [0, 0] }, 'transpose(f32[2, 3]): [0, 0] is not a permutation of its axes');
row('transpose', [f32(2, 3)], { permutation: [0] }, 'transpose(f32[2, 3]): [0] is not a permutation of its axes');
row('concat', [f32('N', 2), f32('N', 3), f32('N', 1)], { axis: 1 }, 'f32[N, 6]');
row(
  'concat',
  [f32('N', 2, 4), f32('N', 3, 5)],
  { axis: 1 },
  'concat(f32[N, 2, 4], f32[N, 3, 5]): operand 1 must match the first except on axis 1',
);
row('concat', [f32(2), i64(2)], { axis: 0 }, 'concat(f32[2], i64[2]): operand 1 must match the first except on axis 0');
row('concat', [], { axis: 0 }, 'concat takes (parts...), not 0 operands');
row(
  'concat',
  [f32('N', 2), f32('N', 2)],
  { axis: 0 },
  'concat: operand 0 has the shape [N, 2]; axis 0 must have a size known when compiling',
);
row('split', [f32('N', 6)], { axis: 1, sizes: [1, 2, 3] }, 'f32[N, 1], f32[N, 2], f32[N, 3]');
row('split', [f32('N', 6)], { axis: 1, sizes: [1, 2] }, 'split(f32[N, 6]): axis 1 must be 3, the sum of the parts');
row('slice', [f32('N', 7)], { axes: [1], starts: [1], ends: [6], steps: [2] }, 'f32[N, 3]');
row(
  'slice',
  [f32('N', 7)],
  { axes: [1], starts: [1], ends: [8], steps: [1] },
  'slice(f32[N, 7]): 1 to 8 is outside axis 1',
);
row(
  'slice',
  [f32('N', 7)],
  { axes: [0], starts: [0], ends: [1], steps: [1] },
  'slice: the operand has the shape [N, 7]; axis 0 must have a size known when compiling',
);
row('reverse', [f32('N', 7)], { axes: [1] }, 'f32[N, 7]');
row('pad', [f32('N', 7)], { pads: [0, 1, 0, 2] }, 'f32[N, 10]');
row('pad', [f32('N', 7)], { pads: [1, 2] }, 'pad(f32[N, 7]): needs 4 padding counts, not 2');
row(
  'pad',
  [f32('N', 7)],
  { pads: [1, 0, 0, 0] },
  'pad: the operand has the shape [N, 7]; axis 0 must have a size known when compiling',
);
row('scatterAdd', [f32('8*N'), f32('2*N'), i64('2*N')], {}, 'f32[8*N]');
row(
  'scatterAdd',
  [f32(8), f32(2), i64(3)],
  {},
  'scatterAdd(f32[8], f32[2], i64[3]): updates and indices must have one shape',
);
row('scatterAdd', [f32(8, 1), f32(2), i64(2)], {}, 'scatterAdd(f32[8, 1], f32[2], i64[2]): operand 0 must have 1 axes');
row('shape', [f32('N', 3, 4)], { start: 1, end: 3 }, 'i64[2]');
row('shape', [f32('N', 3)], { start: 1, end: 3 }, 'shape(f32[N, 3]): has no axes 1 to 2');
row('sizeOf', [], { shape: ['N', 3] }, 'f32[]');
row('range', [i64()], {}, 'i64[N]');
row('range', [i64(1)], {}, 'range(i64[1]): the limit must be a scalar');

// Reductions and products.
for (const operator of ['reduceSum', 'reduceMean', 'reduceMax'] as const) {
  row(operator, [f32('N', 2, 3)], { axes: [0, -1], keepDims: true }, 'f32[1, 2, 1]');
  row(operator, [f32('N', 2, 3)], { axes: [0, 2], keepDims: false }, 'f32[2]');
  row(operator, [f32('N', 2)], { axes: [2], keepDims: false }, `${operator}: the axes [2] don't fit a value of rank 2`);
}
row('argMax', [f32('N', 3)], { axis: 1 }, 'i64[N]');
row('matMul', [f32('N', 4), f32(4, 2)], { transposeA: false, transposeB: false }, 'f32[N, 2]');
row('matMul', [f32(4, 'N'), f32(2, 4)], { transposeA: true, transposeB: true }, 'f32[N, 2]');
row('matMul', [f32('N', 1, 3, 4), f32(5, 4, 2)], { transposeA: false, transposeB: false }, 'f32[N, 5, 3, 2]');
row(
  'matMul',
  [f32('N', 4), f32(2, 4)],
  { transposeA: false, transposeB: false },
  'matMul(f32[N, 4], f32[2, 4]): the inner extents 4 and 2 must be equal',
);
row(
  'matMul',
  [f32(4), f32(4, 2)],
  { transposeA: false, transposeB: false },
  'matMul(f32[4], f32[4, 2]): operand 0 must be a matrix',
);
row(
  'matMul',
  [f32(3, 2, 4), f32(5, 4, 2)],
  { transposeA: false, transposeB: false },
  "matMul: the shapes [3] and [5] don't broadcast (axis 0: 3 and 5); reshape one of them",
);

// Convolution and pooling.
row('conv2d', [image, f32(5, 4, 3, 3)], unit, 'f32[N, 5, 6, 4]');
row('conv2d', [image, f32(5, 4, 3, 3), f32(5)], { ...unit, pads: [1, 0, 1, 2] }, 'f32[N, 5, 8, 6]');
row('conv2d', [image, f32(6, 2, 3, 2)], { stride: [2, 3], pads: [0, 0, 0, 0], groups: 2 }, 'f32[N, 6, 3, 2]');
row('conv2d', [image, f32(5, 4, 9, 2)], unit, `conv2d(f32[N, 4, 8, 6], f32[5, 4, 9, 2]): ${tooLarge}`);
row(
  'conv2d',
  [image, f32(5, 3, 3, 3)],
  unit,
  'conv2d(f32[N, 4, 8, 6], f32[5, 3, 3, 3]): the weight must have 4 input channels',
);
row(
  'conv2d',
  [image, f32(5, 2, 3, 3)],
  { ...unit, groups: 2 },
  'conv2d(f32[N, 4, 8, 6], f32[5, 2, 3, 3]): 2 groups must divide 4 and 5 channels',
);
row(
  'conv2d',
  [image, f32(5, 4, 1, 1), f32(4)],
  unit,
  'conv2d(f32[N, 4, 8, 6], f32[5, 4, 1, 1], f32[4]): the bias must have 5 elements',
);
row('conv2d', [f32('N', 4), f32(5, 4, 1, 1)], unit, 'conv2d(f32[N, 4], f32[5, 4, 1, 1]): operand 0 must have 4 axes');
row('conv2dAdd', [f32('N', 5, 6, 4), image, f32(5, 4, 3, 3)], unit, 'f32[N, 5, 6, 4]');
row(
  'conv2dAdd',
  [f32('N', 5, 8, 6), image, f32(5, 4, 3, 3)],
  unit,
  'conv2dAdd(f32[N, 5, 8, 6], f32[N, 4, 8, 6], f32[5, 4, 3, 3]): what is added to must be f32[N, 5, 6, 4], as the result',
);
row('fusedConv2d', [image, f32(5, 4, 3, 3)], { ...unit, adds: false, relu: true }, 'f32[N, 5, 6, 4]');
row(
  'fusedConv2d',
  [image, f32(5, 4, 3, 3), f32('N', 5, 6, 4)],
  { ...unit, adds: true, relu: false },
  'f32[N, 5, 6, 4]',
);
row(
  'fusedConv2d',
  [image, f32(5, 4, 3, 3), f32(4), f32('N', 5, 6, 4)],
  { ...unit, adds: true, relu: false },
  'fusedConv2d(f32[N, 4, 8, 6], f32[5, 4, 3, 3], f32[4], f32[N, 5, 6, 4]): the bias must have 5 elements',
);
row('conv2d', [image], unit, 'conv2d takes (x, weight, bias?), not 1 operands');
row(
  'convTranspose2d',
  [f32('N', 4, 3, 3), f32(4, 3, 3, 2)],
  { stride: [2, 3], pads: [1, 0, 1, 1], groups: 2, outputPadding: [1, 2] },
  'f32[N, 6, 6, 9]',
);
row(
  'convTranspose2d',
  [f32('N', 4, 3, 3), f32(5, 3, 3, 2)],
  { ...unit, outputPadding: [0, 0] },
  'convTranspose2d(f32[N, 4, 3, 3], f32[5, 3, 3, 2]): the weight must have 4 input channels',
);
row(
  'conv2dInputGrad',
  [f32('N', 5, 6, 4), f32(5, 4, 3, 3)],
  { ...unit, inputShape: ['N', 4, 8, 6] },
  'f32[N, 4, 8, 6]',
);
row(
  'conv2dInputGrad',
  [f32('N', 5, 6, 4), f32(5, 4, 3, 3)],
  { ...unit, inputShape: ['N', 4] },
  "conv2dInputGrad(f32[N, 5, 6, 4], f32[5, 4, 3, 3]): the input's shape [N, 4] must have 4 axes",
);
row('conv2dWeightGrad', [image, f32('N', 6, 6, 4)], { ...unit, groups: 2, kernel: [3, 3] }, 'f32[6, 2, 3, 3]');
row('im2col', [image], { kernel: [3, 2], stride: [1, 2], pads: [1, 0, 1, 0] }, 'f32[N, 24, 8, 3]');
row('maxPool2d', [f32('N', 4, 7, 6)], window, 'f32[N, 4, 3, 3], i64[N, 4, 3, 3]');
row('maxPool2d', [image], { ...window, kernel: [9, 2] }, `maxPool2d(f32[N, 4, 8, 6]): ${tooLarge}`);
row('maxPool2dGrad', [f32('N', 4, 4, 3), i64('N', 4, 4, 3)], { inputShape: ['N', 4, 8, 6] }, 'f32[N, 4, 8, 6]');
row('averagePool2d', [image], { ...window, pads: [1, 1, 1, 1] }, 'f32[N, 4, 5, 4]');
row('averagePool2d', [image], { ...window, kernel: [9, 2] }, `averagePool2d(f32[N, 4, 8, 6]): ${tooLarge}`);
row('averagePool2dGrad', [f32('N', 4, 4, 3)], { ...window, inputShape: ['N', 4, 8, 6] }, 'f32[N, 4, 8, 6]');

row('copy', [image], {}, 'f32[N, 4, 8, 6]');

// Normalization and losses.
const vectors = [f32(4), f32(4), f32(4), f32(4)] as const;
row('batchNorm', [image, ...vectors], { epsilon: 1e-5, momentum: 0.1 }, 'f32[N, 4, 8, 6]');
row(
  'batchNorm',
  [f32('N', 4), f32(4), f32(3), f32(4), f32(4)],
  { epsilon: 1e-5, momentum: 0.1 },
  'batchNorm(f32[N, 4], f32[4], f32[3], f32[4], f32[4]): operand 2 must have the shape [4]',
);
row('batchStatistics', [image], {}, 'f32[4], f32[4]');
row('normalize', [f32('N', 4), ...vectors], { epsilon: 1e-5 }, 'f32[N, 4]');
row(
  'normalize',
  [f32('N', 4), f32(4), f32(4), f32(4)],
  { epsilon: 1e-5 },
  'normalize takes (x, mean, variance, scale, shift), not 4 operands',
);
row('affine', [image, f32(4), f32(4)], {}, 'f32[N, 4, 8, 6]');
row('affine', [image, f32(4)], {}, 'f32[N, 4, 8, 6]');
row('affine', [image, f32(3)], {}, 'affine(f32[N, 4, 8, 6], f32[3]): operand 1 must have the shape [4]');
row('channelSums', [image, image], {}, 'f32[4], f32[4]');
row(
  'channelSums',
  [image, f32('N', 4)],
  {},
  'channelSums(f32[N, 4, 8, 6], f32[N, 4]): both operands must have one shape',
);
row('center', [image, f32(4), f32(4)], { epsilon: 1e-5 }, 'f32[N, 4, 8, 6]');
row('normalizer', [f32(4), f32(4)], { epsilon: 1e-5 }, 'f32[4], f32[4]');
row('normalizer', [f32(4), f32(3)], { epsilon: 1e-5 }, 'normalizer(f32[4], f32[3]): operand 1 must have the shape [4]');
row('normalizable', [image, f32(4), f32(4)], { epsilon: 1e-5 }, 'f32[N, 4, 8, 6]');
const other = f32('N', 2, 8, 6);
row('affineRelu', [f32(6), f32(6), f32(6), image, other], { relu: true }, 'f32[N, 6, 8, 6]');
row(
  'affineRelu',
  [f32(6), f32(6), f32(4), image, other],
  { relu: true },
  'affineRelu(f32[6], f32[6], f32[4], f32[N, 4, 8, 6], f32[N, 2, 8, 6]): operand 2 must have the shape [6]',
);
row(
  'affineRelu',
  [f32(6), f32(6), f32(6), image, f32('N', 2, 8, 5)],
  { relu: true },
  'affineRelu(f32[6], f32[6], f32[6], f32[N, 4, 8, 6], f32[N, 2, 8, 5]): the parts of x must differ in their channels only',
);
row(
  'affineReluGrad',
  [f32('N', 6, 8, 6), f32(6), f32(6), f32(6), image, image, other, other],
  { relu: true, accumulates: [1, 0] },
  'f32[6], f32[6], f32[N, 4, 8, 6], f32[N, 2, 8, 6]',
);
row(
  'affineReluGrad',
  [f32('N', 6, 8, 6), f32(6), f32(6), f32(6), image, image],
  { relu: true, accumulates: [1] },
  'affineReluGrad(f32[N, 6, 8, 6], f32[6], f32[6], f32[6], f32[N, 4, 8, 6], f32[N, 4, 8, 6]): the parts must have 6 channels together',
);
row('centerGrad', [image, image, f32(4), f32(4)], { epsilon: 1e-5 }, 'f32[N, 4, 8, 6]');
row(
  'centerGrad',
  [other, image, f32(4), f32(4)],
  { epsilon: 1e-5 },
  'centerGrad(f32[N, 2, 8, 6], f32[N, 4, 8, 6], f32[4], f32[4]): the gradient must have the shape of x',
);
row('crossEntropy', [f32('N', 5), i64('N')], {}, 'f32[], f32[N, 5]');
row('crossEntropy', [f32('N', 5), f32('N')], {}, 'crossEntropy(f32[N, 5], f32[N]): operand 1 must be int64');
row(
  'crossEntropy',
  [f32('N', 5), i64('N', 1)],
  {},
  'crossEntropy(f32[N, 5], i64[N, 1]): the labels must be integers of the shape [N], one a sample',
);
row('crossEntropy', [f32('N', 5, 1), i64('N')], {}, 'crossEntropy(f32[N, 5, 1], i64[N]): operand 0 must have 2 axes');
row('crossEntropyGrad', [f32(), f32('N', 5), i64('N')], {}, 'f32[N, 5]');
row('crossEntropy', [f32('N', 5), i64('N'), f32(5)], { smoothing: 0.1 }, 'f32[], f32[N, 5]');
row(
  'crossEntropy',
  [f32('N', 5), i64('N'), f32(4)],
  {},
  'crossEntropy(f32[N, 5], i64[N], f32[4]): the weights must have the shape [5], one for each column of the logits',
);
row('crossEntropyGrad', [f32(), f32('N', 5), i64('N'), f32(5)], {}, 'f32[N, 5]');
row('binaryCrossEntropy', [f32('N', 5), f32('N', 5)], {}, 'f32[]');
row('binaryCrossEntropy', [f32('N', 5), f32('N', 5), f32(5)], {}, 'f32[]');
row(
  'binaryCrossEntropy',
  [f32('N', 5), i64('N')],
  {},
  'binaryCrossEntropy(f32[N, 5], i64[N]): operand 1 must be float32',
);
row(
  'binaryCrossEntropy',
  [f32('N', 5), f32('N', 1)],
  {},
  'binaryCrossEntropy(f32[N, 5], f32[N, 1]): the targets must have the shape [N, 5], one for each logit',
);
row('binaryCrossEntropyGrad', [f32(), f32('N', 5), f32('N', 5)], {}, 'f32[N, 5]');
row('countErrors', [f32('N', 5), i64('N')], {}, 'f32[]');

const shown = ({ operator, inputs, attributes }: Row<OperatorName>): string =>
  `${operator}(${inputs.map(formatType).join(', ')}) ${JSON.stringify(attributes)}`;

const isRefusal = ({ expected }: Row<OperatorName>): boolean => !/^(f32|i64|bool|u32)\[/.test(expected);

describe('shape rules', () => {
  it.each(rows.filter((entry) => !isRefusal(entry)).map((entry) => [shown(entry), entry.expected, entry] as const))(
    '%s gives %s',
    (_, expected, { operator, inputs, attributes }) => {
      expect(inferTypes(operator, inputs, attributes).map(formatType).join(', ')).toBe(expected);
    },
  );

  it.each(rows.filter(isRefusal).map((entry) => [shown(entry), entry] as const))(
    'refuse %s',
    (_, { operator, inputs, attributes, expected }) => {
      expect(() => inferTypes(operator, inputs, attributes)).toThrow(new RequestError(expected));
    },
  );

  it.each(Object.keys(operators))('are tested for %s', (operator) => {
    expect(rows.map((entry) => entry.operator)).toContain(operator);
  });
});
