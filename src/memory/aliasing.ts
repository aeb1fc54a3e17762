/** @file Which operands' memory the runtime lets a node's output take over. Facts about onnxruntime, by ONNX operator. */

/** Operators whose output is their first operand's memory under another shape. */
const views = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

const first = [0] as const;

/**
 * Operands over which a node may write where it is their last reader and they are surely of the result's shape. On the CPU
 * these are the activations and the sum of a convolution; arithmetic (Add, Mul, Sqrt, …) gets a buffer of its own, which
 * `test/memory/aliasing.test.ts` asks the runtime about.
 */
const inPlace: Readonly<Record<string, readonly number[]>> = {
  Relu: first,
  Sigmoid: first,
  HardSigmoid: first,
  Clip: first,
  // What is added to.
  FusedConv: [3],
  // Operators of our own, whose kernels allow it.
  CenterGrad: first,
  ReluGrad: first,
  // x, where it is one part.
  AffineRelu: [3],
};

/** Whether an operator's output is its first operand's memory. */
export function isView(operator: string): boolean {
  return views.has(operator);
}

/** Positions of the operands over which an operator may write an output. */
export function inPlaceOperands(operator: string, output = 0): readonly number[] {
  // After the gradients at scale and shift, each part's, which may be written over the sum that it is added to.
  if (operator === 'AffineReluGrad') return output < 2 ? [] : [4 + 2 * (output - 2)];
  return output === 0 ? (inPlace[operator] ?? []) : [];
}
