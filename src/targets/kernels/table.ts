/** @file What a table of a runtime's kernels is. */

/** The kernels of one provider. */
export interface KernelTable {
  /** The release of onnxruntime that was asked. */
  readonly runtime: string;
  /** ONNX's operator set that was asked for; operators of other domains are of version 1. */
  readonly opset: number;
  /** Element types of operands and outputs by operator, each as in `KernelName`. */
  readonly kernels: Readonly<Record<string, readonly string[]>>;
}
