/** @file Shapes with a symbolic batch size: comparison, broadcasting and printing. */

import { RequestError } from './errors.js';
import { bytesPerElement, type DType } from './tensor-data.js';

/** An extent: a number, or one known only when the graph runs: the batch size `N` or a multiple of it, `64*N`. */
export type Dim = number | string;

/** Extents from the outermost to the innermost axis; `[]` is a scalar. */
export type Shape = readonly Dim[];

/** What is known of a value at compile time. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** The symbol of the batch size in every graph of densec. */
export const batch = 'N';

/** Names of element types in text. */
export const shortNames: Readonly<Record<DType, string>> = {
  float32: 'f32',
  int64: 'i64',
  uint32: 'u32',
  bool: 'bool',
};

/** Whether something is an extent: a whole number from 0, a symbol, or a multiple of one. */
export function isDim(value: unknown): value is Dim {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0;
  return typeof value === 'string' && /^(?:\d+\*)?[A-Za-z_]\w*$/.test(value);
}

/** `[N, 3, 32, 32]` */
export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** `f32[N, 3, 32, 32]` */
export function formatType(type: TensorType): string {
  return `${shortNames[type.dtype]}${formatShape(type.shape)}`;
}

/** Whether two shapes have the same extents; a symbol equals only itself. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** Whether two types agree in element type and shape. */
export function sameType(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

/** Extents of a shape without symbols. @throws RequestError naming `what` when one is symbolic */
export function staticShape(shape: Shape, what: string): readonly number[] {
  return shape.map((dim) => {
    if (typeof dim === 'string') {
      throw new RequestError(`${what} has the shape ${formatShape(shape)}; every size must be known when compiling`);
    }
    return dim;
  });
}

/** The extent of an axis that must be known when compiling. @throws RequestError when it is missing or symbolic */
export function staticDim(shape: Shape, axis: number, what: string): number {
  const dim = shape[axis];
  if (typeof dim !== 'number') {
    throw new RequestError(
      `${what} has the shape ${formatShape(shape)}; axis ${axis} must have a size known when compiling`,
    );
  }
  return dim;
}

/** Whether all extents are known, without a batch size. */
export function isStatic(shape: Shape): shape is readonly number[] {
  return shape.every((dim) => typeof dim === 'number');
}

/** A number of elements: `factor` times the product of the symbols. */
interface Size {
  readonly factor: number;
  readonly symbols: readonly string[];
}

/** The number of elements of a shape. `[N, 3, 4]` and `[N, 12]` have the same. */
export function sizeOf(shape: Shape): Size {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of shape) {
    const [first = '', second] = typeof dim === 'number' ? [`${dim}`] : dim.split('*');
    factor *= typeof dim === 'number' || second !== undefined ? Number(first) : 1;
    if (typeof dim === 'string') symbols.push(second ?? first);
  }
  return { factor, symbols: symbols.sort() };
}

/** The extent of a shape laid out along one axis. @throws RequestError when it isn't a multiple of one symbol */
export function flatDim(shape: Shape): Dim {
  const { factor, symbols } = sizeOf(shape);
  const [symbol, ...others] = symbols;
  if (others.length > 0)
    throw new RequestError(`${formatShape(shape)} can't be flattened: it has several symbolic sizes`);
  if (symbol === undefined) return factor;
  return factor === 1 ? symbol : `${factor}*${symbol}`;
}

/** Whether two shapes hold the same number of elements, whatever the symbols stand for. */
export function sameSize(a: Shape, b: Shape): boolean {
  const left = sizeOf(a);
  const right = sizeOf(b);
  return left.factor === right.factor && sameShape(left.symbols, right.symbols);
}

/** A shape's extents for a given batch size. */
export function concreteShape(shape: Shape, batchSize: number): readonly number[] {
  return shape.map((dim) => concreteDim(dim, batchSize));
}

function concreteDim(dim: Dim, batchSize: number): number {
  if (typeof dim === 'number') return dim;
  return dim === batch ? batchSize : sizeOf([dim]).factor * batchSize;
}

/** Bytes of a tensor of a type for a given batch size. */
export function bytesOfType({ dtype, shape }: TensorType, batchSize: number): number {
  return elementsOf(shape, batchSize) * bytesPerElement[dtype];
}

/** Elements of a shape for a given batch size. */
export function elementsOf(shape: Shape, batchSize: number): number {
  let count = 1;
  for (const dim of shape) count *= concreteDim(dim, batchSize);
  return count;
}

/**
 * The shape two operands take together under ONNX's (NumPy's) broadcasting rule.
 * @throws RequestError when an axis has two different extents and neither is 1
 */
export function broadcastShapes(a: Shape, b: Shape, what: string): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left === 1) return right;
    if (right === 1 || left === right) return left;
    throw new RequestError(
      `${what}: the shapes ${formatShape(a)} and ${formatShape(b)} don't broadcast (axis ${axis}: ${left} and ${right}); reshape one of them`,
    );
  });
}

/**
 * Axes as non-negative numbers in ascending order.
 * @throws RequestError when an axis is outside the rank or named twice
 */
export function normalizeAxes(axes: readonly number[], rank: number, what: string): readonly number[] {
  const normalized = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  normalized.forEach((axis, index) => {
    if (axis < 0 || axis >= rank || axis === normalized[index - 1]) {
      throw new RequestError(`${what}: the axes [${axes.join(', ')}] don't fit a value of rank ${rank}`);
    }
  });
  return normalized;
}
