/** @file What a kernel has to do at least, from its operator and shapes: bytes to move and operations to compute. */

import { viewOperators } from '../../onnx/index.js';
import type { KernelEvent, KernelTensor } from './profile-reader.js';

/** The least work that a kernel's result takes. */
export interface KernelCost {
  /** Bytes that must be read and written once. */
  readonly bytes: number;
  /** Floating point operations; a multiplication with an addition counts as two. */
  readonly flops: number;
}

type Shapes = Pick<KernelEvent, 'operator' | 'inputs' | 'outputs'>;

const elementBytes: Readonly<Record<string, number>> = {
  float: 4,
  double: 8,
  float16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Operators that move nothing: views, also those that the runtime's optimizer makes, and what only looks at a shape. */
const views = new Set([...viewOperators, 'Squeeze', 'Unsqueeze', 'Flatten', 'Shape', 'Size']);

/** Operators that read no more of their first operand than they give out. */
const selections = new Set(['Slice', 'Gather', 'GatherElements', 'GatherND', 'Expand', 'Tile']);

/** Operators that move data and compute nothing. */
const movements = new Set([
  ...views,
  ...selections,
  'Split',
  'Concat',
  'Transpose',
  'Pad',
  'Cast',
  'Where',
  'ConstantOfShape',
  'Range',
  'OneHot',
  'ScatterElements',
  'DepthToSpace',
  'SpaceToDepth',
]);

/** Operations for each element read, in operators that reduce or pool. */
const perInput: readonly [RegExp, number][] = [
  [/^ReduceSumSquare$/, 2],
  [/^(Reduce|ArgM|AveragePool|MaxPool|GlobalAveragePool|GlobalMaxPool)/, 1],
];

/** Operations for each element written, where it isn't one. */
const perOutput: Readonly<Record<string, number>> = { BatchNormalization: 2, Softmax: 4, LogSoftmax: 4, Gelu: 8 };

/** The least work of a kernel. */
export function kernelCost(kernel: Shapes): KernelCost {
  return { bytes: bytesMoved(kernel), flops: operations(kernel) };
}

function bytesMoved({ operator, inputs, outputs }: Shapes): number {
  if (views.has(operator)) return 0;
  const written = sum(outputs.map(bytesOf));
  if (!selections.has(operator)) return sum(inputs.map(bytesOf)) + written;
  const [first, ...others] = inputs;
  return Math.min(first ? bytesOf(first) : 0, written) + sum(others.map(bytesOf)) + written;
}

function operations(kernel: Shapes): number {
  const { operator, inputs, outputs } = kernel;
  if (movements.has(operator)) return 0;
  const product = productOperations(kernel);
  if (product !== undefined) return product;
  const reduction = perInput.find(([pattern]) => pattern.test(operator));
  if (reduction) return reduction[1] * (inputs[0] ? elementsOf(inputs[0]) : 0);
  const terms = operator === 'Sum' || operator === 'Min' || operator === 'Max' ? Math.max(1, inputs.length - 1) : 1;
  return (perOutput[operator] ?? terms) * (outputs[0] ? elementsOf(outputs[0]) : 0);
}

/** Convolutions and matrix products: twice the elements on one side times the length of each sum. */
function productOperations({ operator, inputs, outputs }: Shapes): number | undefined {
  const [a, b] = inputs;
  const [out] = outputs;
  if (!a || !b || !out) return undefined;
  switch (operator) {
    case 'Conv':
    case 'FusedConv':
      // The weight is [filters, channels of a group, height, width].
      return 2 * elementsOf(out) * product(b.shape.slice(1));
    case 'ConvTranspose':
      // The weight is [channels, filters of a group, height, width].
      return 2 * elementsOf(a) * product(b.shape.slice(1));
    case 'MatMul':
    case 'FusedMatMul':
    case 'Gemm': {
      // Whether an operand is transposed is not in the profile: the sum's length is what is left of a matrix of a's.
      const rows = out.shape.at(-2) ?? 1;
      const inner = rows === 0 ? 0 : product(a.shape.slice(-2)) / rows;
      return 2 * elementsOf(out) * inner;
    }
    default:
      return undefined;
  }
}

function bytesOf({ type, shape }: KernelTensor): number {
  // Strings and the like don't occur in training; what is unknown is taken for four bytes.
  return product(shape) * (elementBytes[type] ?? 4);
}

function elementsOf({ shape }: KernelTensor): number {
  return product(shape);
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all * number, 1);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}
