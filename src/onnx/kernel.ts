/** @file Which kernel of the runtime a node asks for: ONNX's operator, its domain, the element types. */

import type { DType, Node, NodeOf, OperatorName, Value } from '../ir/index.js';
import { type OnnxOperation, onnxWriters } from './operators.js';

/** A kernel as providers register them. */
export interface KernelName {
  /** ONNX's operator; with its domain before it where that isn't ONNX's own, as in `com.microsoft.FusedConv`. */
  readonly operator: string;
  /** Element types of the operands, then of the outputs that are wanted, each once: `float32`, `bool float32 > float32`. */
  readonly types: string;
}

/**
 * The kernel that a node of a lowered graph asks for; undefined for constants and composite operators.
 * @param isUsed whether an output is wanted: kernels differ in whether they can give optional ones
 */
export function kernelOf(node: Node, isUsed: (value: Value) => boolean): KernelName | undefined {
  const writer = onnxWriters[node.operator] as ((node: NodeOf<OperatorName>) => OnnxOperation) | 'composite';
  if (writer === 'composite') return undefined;
  const { operator, domain } = writer(node as NodeOf<OperatorName>);
  const outputs = node.outputs.filter((value, index) => index === 0 || isUsed(value));
  const [from, to] = [typesOf(node.inputs), typesOf(outputs)];
  return {
    operator: domain ? `${domain}.${operator}` : operator,
    types: from === to ? from : `${from} > ${to}`,
  };
}

function typesOf(values: readonly Value[]): string {
  return [...new Set(values.map(({ type }): DType => type.dtype))].join(' ');
}
