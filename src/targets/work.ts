/** @file What the kernel of a node has to do at least: bytes to move, operations to compute, and its kind. */

import {
  bytesOfType,
  concreteShape,
  elementCount,
  elementsOf,
  type Node,
  type NodeOf,
  type OperatorName,
  type Value,
} from '../ir/index.js';
import type { KernelKind, Work } from './target.js';

type KindOf<K extends OperatorName> = KernelKind | ((node: NodeOf<K>) => KernelKind);

/** A convolution's kind by its groups and the extents of its window. */
function convolution(groups: number, [height, width]: readonly (number | string | undefined)[]): KernelKind {
  if (groups > 1) return 'grouped';
  return height === 1 && width === 1 ? 'pointwise' : 'convolution';
}

const byWeight =
  (operand: number) =>
  ({
    inputs,
    attributes: { groups },
  }: NodeOf<'conv2d' | 'conv2dAdd' | 'fusedConv2d' | 'conv2dInputGrad' | 'convTranspose2d'>): KernelKind =>
    convolution(groups, inputs[operand]?.type.shape.slice(2) ?? []);

/** The kind of each operator's kernel; of a composite operator, that of the kernel in its lowering that moves the most. */
const kinds: { readonly [K in OperatorName]: KindOf<K> } = {
  add: 'elementwise',
  sub: 'elementwise',
  mul: 'elementwise',
  div: 'elementwise',
  equal: 'elementwise',
  greater: 'elementwise',
  minimum: 'elementwise',
  clip: 'elementwise',
  neg: 'elementwise',
  exp: 'elementwise',
  log: 'elementwise',
  sqrt: 'elementwise',
  reciprocal: 'elementwise',
  relu: 'elementwise',
  hardSigmoid: 'elementwise',
  cast: 'elementwise',
  where: 'elementwise',
  constant: 'view',
  reshape: 'view',
  after: 'view',
  copy: 'movement',
  head: 'view',
  expand: 'movement',
  transpose: 'movement',
  concat: 'movement',
  split: 'movement',
  slice: 'movement',
  reverse: 'movement',
  pad: 'movement',
  scatterAdd: 'movement',
  shape: 'view',
  sizeOf: 'view',
  range: 'movement',
  reduceSum: 'reduction',
  reduceMean: 'reduction',
  reduceMax: 'reduction',
  argMax: 'reduction',
  matMul: 'product',
  conv2d: byWeight(1),
  conv2dAdd: byWeight(2),
  fusedConv2d: byWeight(1),
  convTranspose2d: byWeight(1),
  conv2dInputGrad: byWeight(1),
  conv2dWeightGrad: ({ attributes: { groups, kernel } }) => convolution(groups, kernel),
  im2col: 'grouped',
  maxPool2d: 'pooling',
  maxPool2dGrad: 'movement',
  averagePool2d: 'pooling',
  averagePool2dGrad: 'movement',
  batchNorm: 'elementwise',
  batchStatistics: 'reduction',
  center: 'elementwise',
  normalizer: 'elementwise',
  normalize: 'elementwise',
  affine: 'elementwise',
  normalizable: 'view',
  affineRelu: 'elementwise',
  affineReluGrad: 'elementwise',
  centerGrad: 'elementwise',
  channelSums: 'reduction',
  allReduce: 'movement',
  reluGrad: 'elementwise',
  dropout: 'elementwise',
  dropoutMask: 'elementwise',
  crossEntropy: 'elementwise',
  crossEntropyGrad: 'elementwise',
  binaryCrossEntropy: 'elementwise',
  binaryCrossEntropyGrad: 'elementwise',
  countErrors: 'reduction',
};

/** The least work of a node at a batch size, in one kernel. */
export function workOf(node: Node, batchSize: number): Work {
  const rule = kinds[node.operator] as KindOf<OperatorName>;
  const kind = typeof rule === 'function' ? rule(node as NodeOf<OperatorName>) : rule;
  if (kind === 'view') return { kind, bytes: 0, flops: 0 };
  const bytes = [...node.inputs, ...node.outputs].reduce((sum, value) => sum + bytesOf(value, batchSize), 0);
  return {
    kind,
    bytes: isSelection(node) ? 2 * bytesOf(node.outputs[0], batchSize) : bytes,
    flops: flopsOf(node, batchSize),
  };
}

/** Whether a node reads no more of its operand than it gives out. */
function isSelection({ operator }: Node): boolean {
  return operator === 'slice' || operator === 'expand';
}

/** Operations of convolutions and products: twice the elements on one side times the length of each sum. */
function flopsOf(node: Node, batchSize: number): number {
  const [a, b, c] = node.inputs;
  const [out] = node.outputs;
  const count = (value: Value | undefined): number => (value ? elementsOf(value.type.shape, batchSize) : 0);
  const sumLength = (weight: Value | undefined): number =>
    elementCount((weight?.type.shape ?? []).slice(1) as readonly number[]);
  switch (node.operator) {
    // Weights are [filters, channels of a group, height, width].
    case 'conv2d':
    case 'fusedConv2d':
      return 2 * count(out) * sumLength(b);
    case 'conv2dAdd':
      return 2 * count(out) * sumLength(c);
    case 'conv2dInputGrad':
    case 'convTranspose2d':
      return 2 * count(a) * sumLength(b);
    case 'conv2dWeightGrad':
      return 2 * count(b) * sumLength(out);
    case 'matMul': {
      const shape = concreteShape(a?.type.shape ?? [], batchSize);
      return 2 * count(out) * (shape.at(node.attributes.transposeA ? -2 : -1) ?? 0);
    }
    default:
      return 0;
  }
}

/** Bytes of a value at a batch size; 0 for none. */
export function bytesOf(value: Value | undefined, batchSize: number): number {
  return value ? bytesOfType(value.type, batchSize) : 0;
}

/** One kernel a node, views included. */
export function oneKernel(node: Node, batchSize: number): readonly Work[] {
  return [workOf(node, batchSize)];
}

/** Kernels that take nothing beside their tensors. */
export function noWorkspace(): number {
  return 0;
}
