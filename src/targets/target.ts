/** @file What a target is, as data: what its runtime can do, what a node costs there, and how its memory grows. */

import type { Node, OperatorName } from '../ir/index.js';
import type { KernelTable } from './kernels/table.js';

/** Where a graph will run. */
export type TargetName = 'cpu' | 'webgpu' | 'cuda';

/** Which kernels a graph may ask for: ONNX's operators only, or also those of ours for cuDNN and CUDA. */
export type KernelsName = 'plain' | 'cudnn';

/** What passes ask of a target; each entry's reason is in docs/decisions.md. */
export interface Target {
  readonly name: TargetName;
  /**
   * How windows become channels: one grouped convolution by one-hot weights; one without groups, each channel as a sample
   * of its own, where one channel a group takes long; or a slice for each tap.
   */
  readonly im2col: 'grouped' | 'byChannel' | 'slices';
  /** Whether a batched product takes transposed operands as they are. */
  readonly transposedMatMul: boolean;
  /** Whether a convolution can take an addition and a ReLU along, in one pass over memory. */
  readonly fusedConvolution: boolean;
  /**
   * How sums over samples and positions are taken: `at once`, or in `steps` where only the first or the last axes of a
   * tensor are reduced at the speed of memory.
   */
  readonly sums: 'at once' | 'steps';
  /**
   * How a gradient passes a ReLU: times a `factor` of 0 or 1, or chosen by a `bool`, where that is a kernel with a byte an
   * element to read instead of four.
   */
  readonly reluMask: 'factor' | 'bool';
  /**
   * Whether small operands computed on the host are free. Where they aren't, each is copied to the device, which a captured
   * step can't do: the batch size is counted on the device then.
   */
  readonly hostScalars: boolean;
  /** Whether max pooling can tell where the largest elements were. */
  readonly poolIndices: boolean;
  /**
   * What concatenations and splits of unequal parts cost beside those of equal ones: nothing (`free`), or so much that other
   * forms may be faster (`dear`): the costs decide.
   */
  readonly unequalParts: 'free' | 'dear';
  /**
   * Where γ / σ of a batch norm is computed: `apart`, by vectors before what is normalized; or `within` the kernel that
   * normalizes, so that only the backward pass needs the vectors, which it makes of all layers at once.
   */
  readonly normalizers: 'apart' | 'within';
  /** Most outputs that a split may have. */
  readonly splitOutputs: number;
  /** The kernels that the runtime has there. */
  readonly registered: KernelTable;
  /** Composite operators, and ways of moving elements, for which the target has kernels of ours: lowering leaves them. */
  readonly kernels: ReadonlySet<OperatorName>;
  /** What the runtime does for a node, one after the other: a kernel, on a card also several, copies, or nothing. */
  readonly launches: (node: Node, batchSize: number) => readonly Work[];
  /** Bytes that a node's kernel takes beside its tensors while it runs, of the arena that these lie in. */
  readonly workspace: (node: Node, batchSize: number) => number;
  readonly costs: Costs;
  readonly arena: Arena;
}

/** Kernels that cost alike for the same bytes and operations. */
export type KernelKind =
  /** Gives memory another shape, or tells a shape: no work beside the node itself. */
  | 'view'
  | 'elementwise'
  /** Sums, means and maxima over axes. */
  | 'reduction'
  /** Copies elements to other places. */
  | 'movement'
  | 'pooling'
  /** A convolution of which the window is one pixel. */
  | 'pointwise'
  | 'convolution'
  /** A convolution in groups, as of windows by one-hot weights. */
  | 'grouped'
  /** A product of matrices. */
  | 'product'
  /** A gradient of a convolution by the vendor's library: several kernels behind one call. Only where the target has it. */
  | 'gradient';

/** The least work of a kernel. */
export interface Work {
  readonly kind: KernelKind;
  /** Operands and results, each moved once. */
  readonly bytes: number;
  /** Floating point operations of convolutions and products, a multiplication with an addition as two; else 0. */
  readonly flops: number;
}

/** How fast a kind of kernel is. */
export interface Rate {
  readonly bytesPerSecond: number;
  /** A multiplication with an addition counts as two. Absent where moving the bytes is all that counts. */
  readonly flopsPerSecond?: number | undefined;
  /** Microseconds of a launch, where it takes longer than others. */
  readonly launchUs?: number | undefined;
}

/** What nodes cost on a target: a table that densec has, or that `calibrate` measured. */
export interface Costs {
  /** Which table it is, as certificates and reports say: `default`, or when and where it was measured. */
  readonly name: string;
  /** Microseconds that any launch takes, whatever its size. */
  readonly nodeUs: number;
  readonly rates: Readonly<Record<KernelKind, Rate>>;
}

/** How the memory of a session grows above what its plan has alive. */
export interface Arena {
  /** Bytes that the runtime takes for each live byte. */
  readonly factor: number;
  /** Bytes of a run's two sessions, training and evaluation, whatever the batch. */
  readonly sessionBytes: number;
}
