/** @file Which operands' memory the runtime lets a node's output take over. Facts about onnxruntime, by ONNX operator. */

/** Operators whose output is their first operand's memory under another shape. */
const views = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

const first = [0] as const;
const either = [0, 1] as const;

/** Operands over which a node may write where it is their last reader and they are surely of the result's shape. */
const inPlace: Readonly<Record<string, readonly number[]>> = {
  Relu: first,
  Sqrt: first,
  Reciprocal: first,
  Neg: first,
  Abs: first,
  Sigmoid: first,
  HardSigmoid: first,
  Clip: first,
  Add: either,
  Sub: either,
  Mul: either,
  Div: either,
  Sum: first,
  Max: first,
  Min: first,
  // What is added to.
  FusedConv: [3],
};

/** Whether an operator's output is its first operand's memory. */
export function isView(operator: string): boolean {
  return views.has(operator);
}

/** Positions of the operands over which an operator may write. */
export function inPlaceOperands(operator: string): readonly number[] {
  return inPlace[operator] ?? [];
}
