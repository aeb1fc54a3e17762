/** @file How each operator of the IR is written in ONNX, opset 17. */

import {
  type Convolution,
  type DType,
  int64Tensor,
  type NodeOf,
  type OperatorName,
  type Shape,
  type TensorData,
} from '../ir/index.js';
import { elementTypes } from './protobuf.js';

/** The value of an attribute: numbers are floats where wrapped, else integers. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

/** A node of ONNX without its names. */
export interface OnnxOperation {
  readonly operator: string;
  /** The operator set, ONNX's own where absent. */
  readonly domain?: 'com.microsoft' | 'densec';
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** Which operands, in ONNX's order, `absent` for one that isn't given; all in the IR's order where this is left out. */
  readonly operands?: readonly number[];
  /** Constant operands that come before the others. */
  readonly leading?: readonly TensorData[];
  /** Constant operands that come after the others. */
  readonly trailing?: readonly TensorData[];
}

/** Stands for an optional operand that isn't given while a later one is. */
export const absent = -1;

type Writer<K extends OperatorName> = (node: NodeOf<K>) => OnnxOperation;

/** Marks operators that lowering must have replaced. */
export type Composite = 'composite';

const named =
  (operator: string): Writer<OperatorName> =>
  () => ({ operator });

/** An operator of our own: a composite one for which the target has a kernel, so that lowering left it. */
const own = (operator: string, attributes: OnnxOperation['attributes'] = {}): OnnxOperation => ({
  operator,
  domain: 'densec',
  attributes,
});

const indices = (values: readonly (number | bigint)[]): TensorData => int64Tensor([values.length], values);

/** Reductions whose axes are attributes in opset 17. */
const reduction =
  (operator: string): Writer<'reduceMean' | 'reduceMax'> =>
  ({ attributes: { axes, keepDims } }) => ({ operator, attributes: { axes, keepdims: keepDims ? 1 : 0 } });

/** Every operator, or that it is composite; a missing row fails the type check. */
export const onnxWriters: { readonly [K in OperatorName]: Writer<K> | Composite } = {
  add: named('Add'),
  sub: named('Sub'),
  mul: named('Mul'),
  div: named('Div'),
  equal: named('Equal'),
  greater: named('Greater'),
  minimum: named('Min'),
  clip: named('Clip'),
  neg: named('Neg'),
  exp: named('Exp'),
  log: named('Log'),
  sqrt: named('Sqrt'),
  reciprocal: named('Reciprocal'),
  relu: named('Relu'),
  hardSigmoid: ({ attributes: { alpha, beta } }) => ({
    operator: 'HardSigmoid',
    attributes: { alpha: { float: alpha }, beta: { float: beta } },
  }),
  where: named('Where'),
  cast: ({ attributes: { to } }) => ({ operator: 'Cast', attributes: { to: elementType(to) } }),

  constant: 'composite',
  reshape: ({ attributes: { shape }, inputs: [x, extents] }) => ({
    operator: 'Reshape',
    trailing: extents ? [] : [indices(targetExtents(shape, x?.type.shape ?? []))],
  }),
  after: 'composite',
  copy: named('Identity'),
  head: named('Slice'),
  expand: ({ attributes: { shape }, inputs }) => ({
    operator: 'Expand',
    // A batch axis is always the operand's own here, and 1 leaves it as it is.
    trailing: inputs.length > 1 ? [] : [indices(shape.map((dim) => (typeof dim === 'number' ? dim : 1)))],
  }),
  transpose: ({ attributes: { permutation } }) => ({ operator: 'Transpose', attributes: { perm: permutation } }),
  concat: ({ attributes: { axis, kernel } }) =>
    kernel === 'own' ? own('Concat', { axis }) : { operator: 'Concat', attributes: { axis } },
  split: ({ attributes: { axis, sizes, kernel } }) =>
    kernel === 'own'
      ? own('Split', { axis, sizes })
      : { operator: 'Split', attributes: { axis }, trailing: [indices(sizes)] },
  slice: ({ attributes: { axes, starts, ends, steps } }) => ({
    operator: 'Slice',
    trailing: [starts, ends, axes, steps].map(indices),
  }),
  reverse: ({ attributes: { axes } }) => ({
    operator: 'Slice',
    trailing: [axes.map(() => -1), axes.map(() => -(2n ** 63n)), axes, axes.map(() => -1)].map(indices),
  }),
  pad: ({ attributes: { pads } }) => ({ operator: 'Pad', trailing: [indices(pads)] }),
  scatterAdd: () => ({ operator: 'ScatterElements', operands: [0, 2, 1], attributes: { axis: 0, reduction: 'add' } }),
  shape: ({ attributes: { start, end } }) => ({ operator: 'Shape', attributes: { start, end } }),
  sizeOf: 'composite',
  range: () => ({ operator: 'Range', leading: [int64Tensor([], [0])], trailing: [int64Tensor([], [1])] }),

  reduceSum: ({ attributes: { axes, keepDims }, inputs }) => ({
    operator: 'ReduceSum',
    attributes: { keepdims: keepDims ? 1 : 0 },
    trailing: inputs.length > 1 ? [] : [indices(axes)],
  }),
  reduceMean: reduction('ReduceMean'),
  reduceMax: reduction('ReduceMax'),
  argMax: ({ attributes: { axis } }) => ({ operator: 'ArgMax', attributes: { axis, keepdims: 0 } }),
  matMul: ({ attributes: { transposeA, transposeB }, inputs }) => {
    if (!transposeA && !transposeB) return { operator: 'MatMul' };
    const transposes = [transposeA ? 1 : 0, transposeB ? 1 : 0] as const;
    const matrices = inputs.every(({ type }) => type.shape.length === 2);
    if (matrices) return { operator: 'Gemm', attributes: { transA: transposes[0], transB: transposes[1] } };
    return {
      operator: 'FusedMatMul',
      domain: 'com.microsoft',
      attributes: { transA: transposes[0], transB: transposes[1] },
    };
  },

  conv2d: ({ attributes: { stride, pads, groups }, inputs: [, weight] }) => ({
    operator: 'Conv',
    attributes: { kernel_shape: kernelOf(weight?.type.shape), strides: stride, pads, group: groups },
  }),
  conv2dAdd: 'composite',
  fusedConv2d: ({ attributes: { stride, pads, groups, adds, relu }, inputs }) => ({
    operator: 'FusedConv',
    domain: 'com.microsoft',
    // An absent bias is left out by name, since the sum comes after it.
    operands: adds && inputs.length === 3 ? [0, 1, absent, 2] : inputs.map((_, index) => index),
    attributes: {
      kernel_shape: kernelOf(inputs[1]?.type.shape),
      strides: stride,
      pads,
      group: groups,
      ...(relu && { activation: 'Relu' }),
    },
  }),
  convTranspose2d: ({ attributes: { stride, pads, groups, outputPadding }, inputs: [, weight] }) => ({
    operator: 'ConvTranspose',
    attributes: {
      kernel_shape: kernelOf(weight?.type.shape),
      strides: stride,
      pads,
      group: groups,
      output_padding: outputPadding,
    },
  }),
  conv2dInputGrad: ({ attributes: { inputShape, ...convolution } }) =>
    own('ConvInputGrad', { ...window(convolution), input_extents: inputShape.slice(2) as readonly number[] }),
  conv2dWeightGrad: ({ attributes: { kernel, ...convolution } }) =>
    own('ConvWeightGrad', { ...window(convolution), kernel_shape: kernel }),
  im2col: 'composite',
  maxPool2d: ({ attributes: { kernel, stride, pads } }) => ({
    operator: 'MaxPool',
    attributes: { kernel_shape: kernel, strides: stride, pads },
  }),
  maxPool2dGrad: 'composite',
  averagePool2d: ({ attributes: { kernel, stride, pads } }) => ({
    operator: 'AveragePool',
    attributes: { kernel_shape: kernel, strides: stride, pads, count_include_pad: 1 },
  }),
  averagePool2dGrad: ({ attributes: { kernel, stride, pads, inputShape } }) =>
    own('AveragePoolGrad', {
      kernel_shape: kernel,
      strides: stride,
      pads,
      count_include_pad: 1,
      input_extents: inputShape.slice(2) as readonly number[],
    }),

  batchNorm: 'composite',
  batchStatistics: () => own('BatchStatistics'),
  normalize: ({ attributes: { epsilon } }) => ({
    operator: 'BatchNormalization',
    attributes: { epsilon: { float: epsilon } },
    operands: [0, 3, 4, 1, 2],
  }),
  center: 'composite',
  normalizer: ({ attributes: { epsilon } }) => own('Normalizer', { epsilon: { float: epsilon } }),
  affine: 'composite',
  normalizable: 'composite',
  affineRelu: ({ attributes: { relu } }) => own('AffineRelu', { relu: relu ? 1 : 0 }),
  affineReluGrad: ({ attributes: { relu, accumulates } }) => own('AffineReluGrad', { relu: relu ? 1 : 0, accumulates }),
  centerGrad: ({ attributes: { epsilon } }) => own('CenterGrad', { epsilon: { float: epsilon } }),
  channelSums: 'composite',

  allReduce: ({ attributes: { index } }) => own('AllReduce', { index }),

  reluGrad: () => own('ReluGrad'),
  dropout: 'composite',
  dropoutMask: 'composite',
  crossEntropy: 'composite',
  crossEntropyGrad: 'composite',
  binaryCrossEntropy: 'composite',
  binaryCrossEntropyGrad: 'composite',
  countErrors: 'composite',
};

/** ONNX's operators that views become: what they give is their operand's memory. */
export const viewOperators: ReadonlySet<string> = new Set(['Reshape', 'Identity']);

function window({ stride, pads, groups }: Convolution): Readonly<Record<string, OnnxAttribute>> {
  return { strides: stride, pads, group: groups };
}

function elementType(dtype: DType): number {
  return elementTypes[dtype];
}

function kernelOf(shape: Shape | undefined): readonly number[] {
  return (shape?.slice(2) ?? []) as readonly number[];
}

/** Reshape's target: 0 copies an extent of the operand, −1 is what remains; either stands for a symbolic one. */
function targetExtents(shape: Shape, from: Shape): readonly number[] {
  return shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    return from[axis] === dim ? 0 : -1;
  });
}
