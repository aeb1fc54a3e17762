/** @file Nodes to ask a provider for its kernels with: of each operator that is written to ONNX, all operand types it may have. */

import {
  type CompositeName,
  DensecError,
  type DType,
  inferTypes,
  type OperatorAttributes,
  type OperatorName,
  type Shape,
  type TensorType,
} from '../src/ir/index.js';

/** A node: its operator, operands and attributes. */
export interface Sample {
  readonly operator: OperatorName;
  readonly inputs: readonly TensorType[];
  readonly attributes: OperatorAttributes[OperatorName];
  /** Values of operands that hold extents, axes or indices, by position. */
  readonly values?: Readonly<Record<number, readonly number[]>>;
}

/** Those that the runtime has kernels of; sums over processes are ours. */
type Primitive = Exclude<OperatorName, CompositeName | 'constant' | 'allReduce'>;

const all = ['float32', 'int64', 'uint32', 'bool'] as const;
const images = [2, 4, 6, 6];
const square = { stride: [1, 1], pads: [1, 1, 1, 1] } as const;
const pooling = { kernel: [2, 2], stride: [2, 2], pads: [0, 0, 0, 0] } as const;

/** A node for each element type, all operands of which have it; those that the operator refuses are left out. */
function alike<K extends Primitive>(
  operator: K,
  shapes: readonly Shape[],
  attributes: OperatorAttributes[K],
): Sample[] {
  return all.flatMap((dtype) =>
    typed(
      operator,
      shapes.map((shape) => ({ dtype, shape })),
      attributes,
    ),
  );
}

/** A node, unless the operator refuses the types. */
function typed<K extends Primitive>(
  operator: K,
  inputs: readonly TensorType[],
  attributes: OperatorAttributes[K],
  values: Readonly<Record<number, readonly number[]>> = {},
): Sample[] {
  try {
    inferTypes(operator, inputs, attributes);
    return [{ operator, inputs, attributes, values }];
  } catch (error) {
    if (error instanceof DensecError) return [];
    throw error;
  }
}

const of = (dtype: DType, ...shape: number[]): TensorType => ({ dtype, shape });

/** Two operands of one shape. */
const binary = (operator: 'add' | 'sub' | 'mul' | 'div' | 'equal' | 'greater' | 'minimum'): Sample[] =>
  alike(operator, [images, images], {});

const unary = (operator: 'neg' | 'exp' | 'log' | 'sqrt' | 'reciprocal' | 'relu' | 'copy'): Sample[] =>
  alike(operator, [images], {});

const weight = of('float32', 8, 4, 3, 3);
const x = of('float32', ...images);
const convolution = { ...square, groups: 1 } as const;

const samples: { readonly [K in Primitive]: () => readonly Sample[] } = {
  add: () => binary('add'),
  sub: () => binary('sub'),
  mul: () => binary('mul'),
  div: () => binary('div'),
  equal: () => binary('equal'),
  greater: () => binary('greater'),
  minimum: () => binary('minimum'),
  clip: () => alike('clip', [images, [], []], {}),
  neg: () => unary('neg'),
  exp: () => unary('exp'),
  log: () => unary('log'),
  sqrt: () => unary('sqrt'),
  reciprocal: () => unary('reciprocal'),
  relu: () => unary('relu'),
  hardSigmoid: () => alike('hardSigmoid', [images], { alpha: 0.2, beta: 0.5 }),
  where: () => all.flatMap((dtype) => typed('where', [of('bool', ...images), of(dtype, ...images), of(dtype, 1)], {})),
  cast: () => all.flatMap((to) => alike('cast', [images], { to }).filter(({ inputs }) => inputs[0]?.dtype !== to)),
  reshape: () => [
    ...alike('reshape', [images], { shape: [2, 144] }),
    ...all.flatMap((dtype) =>
      typed('reshape', [of(dtype, ...images), of('int64', 2)], { shape: [2, 144] }, { 1: [2, 144] }),
    ),
  ],
  copy: () => unary('copy'),
  head: () =>
    all.flatMap((dtype) =>
      typed('head', [of(dtype, ...images), of('int64', 1), of('int64', 1)], {}, { 1: [0], 2: [0] }),
    ),
  expand: () => [
    ...alike('expand', [[2, 4, 1, 1]], { shape: images }),
    ...all.flatMap((dtype) =>
      typed('expand', [of(dtype, 2, 4, 1, 1), of('int64', 4)], { shape: images }, { 1: images }),
    ),
  ],
  transpose: () => alike('transpose', [images], { permutation: [0, 2, 3, 1] }),
  concat: () => alike('concat', [images, [2, 3, 6, 6]], { axis: 1 }),
  split: () => alike('split', [images], { axis: 1, sizes: [1, 3] }),
  slice: () => alike('slice', [images], { axes: [2, 3], starts: [0, 1], ends: [5, 6], steps: [2, 1] }),
  reverse: () => alike('reverse', [images], { axes: [2, 3] }),
  pad: () => alike('pad', [images], { pads: [0, 0, 1, 1, 0, 0, 1, 1] }),
  scatterAdd: () =>
    all.flatMap((dtype) => typed('scatterAdd', [of(dtype, 8), of(dtype, 4), of('int64', 4)], {}, { 2: [0, 5, 3, 5] })),
  shape: () => alike('shape', [images], { start: 0, end: 1 }),
  range: () => typed('range', [of('int64')], {}, { 0: [5] }),
  reduceSum: () => [
    ...alike('reduceSum', [images], { axes: [0, 2, 3], keepDims: false }),
    ...typed('reduceSum', [x, of('int64', 3)], { axes: [0, 2, 3], keepDims: false }, { 1: [0, 2, 3] }),
  ],
  reduceMean: () => alike('reduceMean', [images], { axes: [0, 2, 3], keepDims: false }),
  reduceMax: () => alike('reduceMax', [images], { axes: [3], keepDims: true }),
  argMax: () => alike('argMax', [images], { axis: 1 }),
  matMul: () =>
    [false, true].flatMap((transposeB) => [
      ...alike(
        'matMul',
        [
          [4, 6],
          [6, 6],
        ],
        { transposeA: false, transposeB },
      ),
      ...alike(
        'matMul',
        [
          [2, 4, 6],
          [2, 6, 6],
        ],
        { transposeA: false, transposeB },
      ),
    ]),
  conv2d: () => typed('conv2d', [x, weight], convolution),
  fusedConv2d: () => [
    ...typed('fusedConv2d', [x, weight], { ...convolution, adds: false, relu: true }),
    ...typed('fusedConv2d', [x, weight, of('float32', 8)], { ...convolution, adds: false, relu: true }),
    ...typed('fusedConv2d', [x, weight, of('float32', 2, 8, 6, 6)], { ...convolution, adds: true, relu: false }),
  ],
  convTranspose2d: () =>
    typed('convTranspose2d', [of('float32', 2, 8, 6, 6), weight], { ...convolution, outputPadding: [0, 0] }),
  maxPool2d: () => typed('maxPool2d', [x], pooling),
  averagePool2d: () => typed('averagePool2d', [x], pooling),
  normalize: () => typed('normalize', [x, ...Array.from({ length: 4 }, () => of('float32', 4))], { epsilon: 1e-5 }),
};

/** All of them. */
export const kernelSamples: readonly Sample[] = Object.values(samples).flatMap((make) => make());
