/** @file What a kernel of the reference evaluator is: one operator computed from its definition. */

import type { DType, OperatorAttributes, OperatorName } from '../../../src/ir/index.js';
import type { NdArray } from './array.js';

/** One application of an operator to arrays. */
export class Call<K extends OperatorName> {
  constructor(
    readonly inputs: readonly NdArray[],
    readonly attributes: OperatorAttributes[K],
    /** The outputs' extents for the batch size at hand. */
    readonly shapes: readonly (readonly number[])[],
    readonly dtypes: { readonly inputs: readonly DType[]; readonly outputs: readonly DType[] },
    readonly batchSize: number,
  ) {}

  input(index: number): NdArray {
    const array = this.inputs[index];
    if (!array) throw new Error(`operand ${index} is missing`);
    return array;
  }

  /** The extents of an output. */
  shape(output = 0): readonly number[] {
    const shape = this.shapes[output];
    if (!shape) throw new Error(`output ${output} is missing`);
    return shape;
  }

  /** Zeros for an output. */
  zeros(output = 0): Float64Array {
    return new Float64Array(this.shape(output).reduce((product, extent) => product * extent, 1));
  }
}

/** The elements of each output. */
export type Kernel<K extends OperatorName> = (call: Call<K>) => readonly Float64Array[];

/** Kernels of some of the operators. */
export type Kernels<K extends OperatorName> = { readonly [P in K]: Kernel<P> };
