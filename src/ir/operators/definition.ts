/** @file What the table of operators says about each operator, and helpers to state it. */

import { RequestError } from '../errors.js';
import { formatType, type Shape, staticDim, type TensorType } from '../shape.js';
import type { DType } from '../tensor-data.js';
import type { OperatorAttributes, OperatorName, Pads, Pair } from './attributes.js';

/** Facts about an operator that passes ask for, instead of listing names. */
export interface Traits {
  /** Each output element depends on the elements at its own (broadcast) position only. */
  readonly elementwise?: true;
  /** The first output is the first input's memory under another shape. */
  readonly view?: true;
  /** Draws random numbers. */
  readonly random?: true;
  /** Moves or touches each element a few times: worth computing twice to save memory. */
  readonly cheap?: true;
  /** Where it is applied, the backward pass reads its result in its first operand's stead. */
  readonly replacesOperand?: true;
  /** Outputs may be left out at the end where nothing reads them; kernels then compute less. */
  readonly optionalOutputs?: true;
  /**
   * Waits for other processes, which do the same at the same place: it is neither computed again nor shared nor left out, and
   * its order is that of all of them.
   */
  readonly collective?: true;
  /** Has no counterpart in the target: lowering replaces it by other operators. */
  readonly composite?: true;
}

/** An output that may take over an operand's memory, by positions. */
export type InPlace = readonly [operand: number, output: number];

/** One row of the table of operators. */
export interface OperatorDefinition<Attributes> extends Traits {
  /** Names of the operands; a trailing `?` marks optional ones at the end, a trailing `...` one or more. */
  readonly operands: readonly string[];
  /**
   * Outputs that the runtime may write over an operand which dies there and is of the output's type. On the CPU these are
   * activations and the sum of a convolution; arithmetic gets memory of its own (`test/memory/aliasing.test.ts` asks the
   * runtime), and on a GPU the model is on the safe side.
   */
  inPlace?(operands: number, attributes: Attributes): readonly InPlace[];
  /**
   * The types of the outputs.
   * @throws RequestError naming both types when the operands don't fit
   */
  infer(inputs: Operands, attributes: Attributes): readonly TensorType[];
}

/** Rows for some of the operators. */
export type Definitions<K extends OperatorName> = { readonly [P in K]: OperatorDefinition<OperatorAttributes[P]> };

/** The types of a node's operands, with the checks that shape rules share. */
export class Operands {
  constructor(
    readonly types: readonly TensorType[],
    private readonly operator: string,
  ) {}

  /** The type of operand `index`. */
  at(index: number): TensorType {
    const type = this.types[index];
    if (!type) throw this.error(`operand ${index} is missing`);
    return type;
  }

  /** The extents of operand `index`. */
  shape(index: number): Shape {
    return this.at(index).shape;
  }

  /** The extents of an operand of a given rank. */
  ranked(index: number, rank: number): Shape {
    const { shape } = this.at(index);
    if (shape.length !== rank) throw this.error(`operand ${index} must have ${rank} axes`);
    return shape;
  }

  /** The extents of a float32 image batch (N, C, H, W) as batch size and three numbers. */
  image(index: number): { n: Shape[number]; c: number; h: number; w: number } {
    const shape = this.ranked(index, 4);
    this.dtype(index, 'float32');
    const dim = (axis: number): number => staticDim(shape, axis, `${this.operator}: operand ${index}`);
    return { n: shape[0] ?? 0, c: dim(1), h: dim(2), w: dim(3) };
  }

  /** Requires an element type. */
  dtype(index: number, ...allowed: readonly DType[]): void {
    if (!allowed.includes(this.at(index).dtype)) throw this.error(`operand ${index} must be ${allowed.join(' or ')}`);
  }

  /** Requires a condition that the types must meet. */
  require(condition: boolean, expectation: string): void {
    if (!condition) throw this.error(expectation);
  }

  /** A shape error that shows every operand. */
  error(expectation: string): RequestError {
    return new RequestError(`${this.operator}(${this.types.map(formatType).join(', ')}): ${expectation}`);
  }
}

/** A float32 type. */
export function float(shape: Shape): TensorType {
  return { dtype: 'float32', shape };
}

/** The same types as outputs: the rule of operators that keep their first operand's type. */
export function sameAsFirst(inputs: Operands): readonly TensorType[] {
  return [inputs.at(0)];
}

/**
 * Extents that a sliding window leaves: ⌊(size + padding − kernel) / stride⌋ + 1.
 * @throws RequestError when the window doesn't fit into the padded image
 */
export function windowExtents(size: Pair, kernel: Pair, stride: Pair, pads: Pads, inputs: Operands): Pair {
  const extent = (axis: 0 | 1): number => {
    const padded = size[axis] + pads[axis] + pads[(axis + 2) as 2 | 3];
    inputs.require(
      kernel[axis] <= padded,
      `a ${kernel[0]}×${kernel[1]} window doesn't fit into the ${size[0]}×${size[1]} image with its padding; use a smaller kernel, fewer downsamplings or larger images`,
    );
    return Math.floor((padded - kernel[axis]) / stride[axis]) + 1;
  };
  return [extent(0), extent(1)];
}
