/** @file What an operator of our own is: its operands and attributes, a shape rule and a reference kernel. */

/** A tensor on the host: float32, contiguous, row-major. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A number for `int` and `float`, an array for `ints`. */
export type AttributeValue = number | readonly number[];

/** A node's attributes by name. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** How ONNX writes an attribute. */
export type AttributeKind = 'int' | 'ints' | 'float';

/** An operand and the output that may take its memory. */
export type InPlacePair = readonly [operand: number, output: number];

/** A row of the table of operators of our own, ONNX domain `densec`. */
export interface OwnOperator {
  /** Name in the domain `densec`. */
  readonly name: string;
  /** Names of the operands; a trailing `...` on the last one says that any number of them follows. */
  readonly operands: readonly string[];
  /** Names of the outputs, likewise. */
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeKind>>;
  /**
   * Extents of the outputs.
   * @throws RequestError when operands and attributes don't fit each other
   */
  shapes(inputs: readonly (readonly number[])[], attributes: Attributes): readonly (readonly number[])[];
  /**
   * Operands over which a kernel may write, where shapes agree and nothing else reads them. A pair of a variadic
   * operand or output that a node doesn't have means nothing for that node.
   */
  readonly inPlace: readonly InPlacePair[];
  /**
   * Computes the outputs, with sums in float64. Right also where the two tensors of an in-place pair share memory.
   * `inputs` and `outputs` have the extents of `shapes`.
   */
  reference(inputs: readonly HostTensor[], outputs: readonly HostTensor[], attributes: Attributes): void;
}
