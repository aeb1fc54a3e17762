/** @file The operators of the IR by name, each with the type of its attributes. */

import type { Shape } from '../shape.js';
import type { DType, TensorData } from '../tensor-data.js';

/** A pair of extents, height before width. */
export type Pair = readonly [height: number, width: number];

/** Zero padding at the edges of an image, in ONNX's order. */
export type Pads = readonly [top: number, left: number, bottom: number, right: number];

/** No attributes. */
export type None = Readonly<Record<never, never>>;

/** The share of a sample's weight that all classes get in equal parts; none where absent. */
interface Smoothing {
  readonly smoothing?: number;
}

/** A window sliding over an image. */
export interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly pads: Pads;
}

/** A convolution; its kernel's extents are those of the weight (O, C / groups, kH, kW). */
export interface Convolution {
  readonly stride: Pair;
  readonly pads: Pads;
  readonly groups: number;
}

export interface Reduction {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

/** Attributes of every operator; its keys are the operators. */
export interface OperatorAttributes {
  // Elementwise, with broadcasting where there are two operands.
  add: None;
  sub: None;
  mul: None;
  div: None;
  equal: None;
  greater: None;
  /** The smallest of several tensors, element by element. */
  minimum: None;
  /** The first operand, no element below the second nor above the third; both are scalars. */
  clip: None;
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  reciprocal: None;
  relu: None;
  /** max(0, min(1, alpha · x + beta)); with alpha = 1e38 and beta = 0 it is the indicator of x > 0. */
  hardSigmoid: { readonly alpha: number; readonly beta: number };
  cast: { readonly to: DType };
  /** Element by element the second operand where the first, a bool, is true, else the third. */
  where: None;

  // Moving elements.
  constant: { readonly value: TensorData };
  /** The same elements under another shape; the second operand, where there is one, holds the extents when the graph runs. */
  reshape: { readonly shape: Shape };
  /** The first operand, not to be read before the others have been computed. */
  after: None;
  /** The same tensor once more: an output that is another one's, an input's or a constant's value. */
  copy: None;
  /** The elements from start to end along axis 0, known when the graph runs: always none, which no optimizer can tell. */
  head: None;
  /** Repeats axes of extent 1 up to `shape`; the second operand holds the extents where a batch size is among the new. */
  expand: { readonly shape: Shape };
  transpose: { readonly permutation: readonly number[] };
  /**
   * Side by side along an axis. `as` tells what is planned for the result: a `group` is kept in its operands' stead, which
   * the backward pass takes from it; a `part` is small enough to be made again. Neither is taken apart any more. `kernel`
   * asks for our own instead of the runtime's.
   */
  concat: { readonly axis: number; readonly as?: 'group' | 'part'; readonly kernel?: 'own' };
  split: { readonly axis: number; readonly sizes: readonly number[]; readonly kernel?: 'own' };
  /** Elements start, start + step, … < end along each named axis. */
  slice: {
    readonly axes: readonly number[];
    readonly starts: readonly number[];
    readonly ends: readonly number[];
    readonly steps: readonly number[];
  };
  /** The elements in opposite order along each axis. */
  reverse: { readonly axes: readonly number[] };
  /** Zero padding: the counts before every axis, then the counts after every axis. */
  pad: { readonly pads: readonly number[] };
  /** into[indices[i]] += updates[i], all of one dimension. */
  scatterAdd: None;

  // Sizes and counters.
  /** The extents start … end − 1 of the input, int64. */
  shape: { readonly start: number; readonly end: number };
  /** The number of elements of `shape` as a float32 scalar, known when the graph runs. */
  sizeOf: { readonly shape: Shape };
  /** 0, 1, … N − 1 for the batch size N, given as an int64 scalar. */
  range: None;

  // Reductions and products.
  /** The second operand gives the axes once more, known when the graph runs: no optimizer can tell the result's shape. */
  reduceSum: Reduction;
  reduceMean: Reduction;
  reduceMax: Reduction;
  argMax: { readonly axis: number };
  matMul: { readonly transposeA: boolean; readonly transposeB: boolean };

  // Convolution and pooling over (N, C, H, W).
  conv2d: Convolution;
  /** sum + conv2d(x, weight), from (sum, x, weight): a convolution of more channels, part by part. */
  conv2dAdd: Convolution;
  /**
   * relu?(conv2d(x, weight, bias?) + sum?) in one pass over memory, from (x, weight, bias?, sum?). The last operand is the
   * sum where `adds` is set.
   */
  fusedConv2d: Convolution & { readonly adds: boolean; readonly relu: boolean };
  convTranspose2d: Convolution & { readonly outputPadding: Pair };
  /** Gradient of conv2d at its input, from the output's gradient and the weight; `inputShape` is the input's. */
  conv2dInputGrad: Convolution & { readonly inputShape: Shape };
  /** Gradient of conv2d at its weight, from its input and the output's gradient. */
  conv2dWeightGrad: Convolution & { readonly kernel: Pair };
  /**
   * Windows as channels: (N, C, H, W) to (N, C·kH·kW, outH, outW), channel c·kH·kW + i·kW + j holding tap (i, j), the
   * taps from last to first where `mirrored`.
   */
  im2col: Window & { readonly mirrored?: true };
  maxPool2d: Window;
  maxPool2dGrad: { readonly inputShape: Shape };
  averagePool2d: Window;
  averagePool2dGrad: Window & { readonly inputShape: Shape };

  // Batch normalization; channels on axis 1.
  /** Mode-free: batch statistics when training, running statistics when evaluating. */
  batchNorm: { readonly epsilon: number; readonly momentum: number };
  /** Mean and population variance of each channel, in two passes. */
  batchStatistics: None;
  /**
   * x − mean, from (x, mean, variance), for readers that normalize it by these statistics of its own. Its gradient takes
   * account of how both statistics depend on x, for all readers at once, so theirs need not.
   */
  center: { readonly epsilon: number };
  /** The scale that normalizes what is centered: from (variance, scale), scale / σ with σ = √(variance + epsilon); also σ. */
  normalizer: { readonly epsilon: number };
  /** (x − mean) / √(variance + epsilon) · scale + shift, channel by channel. */
  normalize: { readonly epsilon: number };
  /** x · scale + shift, channel by channel; without a shift, x · scale. */
  affine: None;
  /**
   * x itself, from (x, mean, variance), for readers that subtract these statistics of its own and normalize by them. As of
   * `center`, its gradient takes account of how both statistics depend on x, for all readers at once.
   */
  normalizable: { readonly epsilon: number };
  /**
   * relu?((x − mean) · scale + shift), channel by channel, from (scale, shift, mean, x…): the parts of x lie side by side
   * along the channels in the result.
   */
  affineRelu: { readonly relu: boolean };
  /**
   * Gradient of `affineRelu` at scale, shift and the parts of x, from (the output's gradient, scale, shift, mean, and for
   * each part a tensor of its shape and x). The tensor is added to the part's gradient where `accumulates` is 1; where it is
   * 0 the tensor is not read (x stands in its place). The gradients at scale and shift are the sums over each channel.
   */
  affineReluGrad: { readonly relu: boolean; readonly accumulates: readonly (0 | 1)[] };
  /** Gradient of `normalizable` at x, from (gradient, x, mean, variance). */
  centerGrad: { readonly epsilon: number };
  /** Sums of a·b and of a over the positions of each channel and sample, from (a, b): two matrices (N, C). */
  channelSums: None;

  // Between processes.
  /**
   * The sum of x over all processes of a run. `index` tells the nodes of a graph apart: every process meets the others in
   * them in the same order.
   */
  allReduce: { readonly index: number };

  // Other layers and losses.
  reluGrad: None;
  /** Mode-free: a random mask when training, the identity when evaluating. `key` tells layers apart. */
  dropout: { readonly rate: number; readonly key: number };
  /**
   * 0 with probability `rate`, else 1 / (1 − rate); a pure function of (key, step, seed, sample, element). Samples count from
   * `firstSample`, where that is given.
   */
  dropoutMask: { readonly rate: number; readonly key: number; readonly shape: Shape };
  /** Mean over the batch of −log softmax(logits)[label]; also gives the log probabilities (N, K). See `losses`. */
  crossEntropy: Smoothing;
  crossEntropyGrad: Smoothing;
  binaryCrossEntropy: None;
  binaryCrossEntropyGrad: None;
  /** How many samples' largest logit is not at their label, as a float32 scalar. */
  countErrors: None;
}

/** Name of an operator. */
export type OperatorName = keyof OperatorAttributes;
