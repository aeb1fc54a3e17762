/** @file Gradients of convolutions by cuDNN, with the algorithm that was fastest when a shape was first seen. */

import { FailureError, InternalError } from '../../../ir/index.js';
import type { Driver } from './driver.js';
import { type CudaLibraries, loadLibrary, type NativeFunction, Out } from './libraries.js';

/** A convolution x · w → y with its extents. */
export interface ConvolutionShape {
  /** [N, C, H, W]. */
  readonly x: readonly number[];
  /** [O, C / groups, kH, kW]. */
  readonly w: readonly number[];
  /** [N, O, h, w]. */
  readonly y: readonly number[];
  readonly strides: readonly number[];
  /** Top, left, bottom, right. */
  readonly pads: readonly number[];
  readonly groups: number;
}

/** Which gradient of a convolution. */
export type GradientKind = 'data' | 'filter';

/** A convolution's gradient, ready to be launched. */
export interface PreparedGradient {
  /** @param operands the two that it reads: (w, dy) for `data`, (x, dy) for `filter` */
  launch(operands: readonly [bigint, bigint], result: bigint): void;
}

// Values of cudnn.h's enumerations.
const [float, nchw, crossCorrelation] = [0, 0, 1];
const [defaultMath, withoutTensorCores] = [0, 3];
const perfBytes = 48;
const candidates = 4;
const timedRuns = 3;

/** cuDNN on one card and stream; all calls share a workspace, since they run one after the other. */
export class Cudnn {
  private readonly functions: ReturnType<typeof declare>;
  private readonly handle: bigint;
  private readonly prepared = new Map<string, PreparedGradient>();
  private readonly one = Float32Array.of(1, 0, 0, 0);
  private readonly nothing = Float32Array.of(0, 0, 0, 0);
  private workspace = 0n;
  /** All that was ever a workspace: a captured graph may use any of them until the end. */
  private readonly workspaces: bigint[] = [];
  private workspaceBytes = 0;
  private stream = -1n;

  /** @throws FailureError when cuDNN can't be loaded or doesn't start */
  constructor(
    private readonly driver: Driver,
    libraries: CudaLibraries,
    private readonly options: { readonly tf32: boolean; readonly workspaceBytes: number },
  ) {
    this.functions = declare(libraries);
    const out = new Out();
    this.call('cudnnCreate', out.bytes);
    this.handle = out.address;
  }

  /** Lets what follows go onto a stream. */
  setStream(stream: bigint): void {
    if (stream === this.stream) return;
    this.call('cudnnSetStream', this.handle, stream);
    this.stream = stream;
  }

  /**
   * The gradient for a shape, prepared when it is first asked for: that tries algorithms, on the operands of this call, and
   * waits for them.
   * @throws FailureError when no algorithm runs within the workspace
   */
  gradient(
    kind: GradientKind,
    shape: ConvolutionShape,
    operands: readonly [bigint, bigint],
    result: bigint,
  ): PreparedGradient {
    const key = `${kind} ${JSON.stringify(shape)}`;
    const known = this.prepared.get(key);
    if (known) return known;
    const made = this.prepare(kind, shape, operands, result);
    this.prepared.set(key, made);
    return made;
  }

  close(): void {
    for (const workspace of this.workspaces) this.driver.free(workspace);
    this.call('cudnnDestroy', this.handle);
  }

  private prepare(
    kind: GradientKind,
    shape: ConvolutionShape,
    operands: readonly [bigint, bigint],
    result: bigint,
  ): PreparedGradient {
    const [top, left, bottom, right] = shape.pads as readonly [number, number, number, number];
    if (top !== bottom || left !== right) {
      throw new FailureError(
        `cuDNN pads an image alike on both sides, not by [${shape.pads.join(', ')}]; build with --kernels plain`,
      );
    }
    const x = this.tensor(shape.x);
    const y = this.tensor(shape.y);
    const w = this.filter(shape.w);
    const convolution = this.convolution(shape, [top, left]);
    // What is read, then the rest, in the order of cuDNN's functions.
    const descriptors = kind === 'data' ? [w, y, convolution, x] : [x, y, convolution, w];
    const choose =
      kind === 'data' ? 'cudnnGetConvolutionBackwardDataAlgorithm_v7' : 'cudnnGetConvolutionBackwardFilterAlgorithm_v7';
    const run = kind === 'data' ? 'cudnnConvolutionBackwardData' : 'cudnnConvolutionBackwardFilter';
    const launch = (algorithm: number, math: number, inputs: readonly [bigint, bigint], output: bigint): number => {
      this.call('cudnnSetConvolutionMathType', convolution, math);
      const [first, second, , last] = descriptors as [bigint, bigint, bigint, bigint];
      return this.functions[run](
        this.handle,
        this.one,
        first,
        inputs[0],
        second,
        inputs[1],
        convolution,
        algorithm,
        this.workspace,
        this.workspaceBytes,
        this.nothing,
        last,
        output,
      ) as number;
    };
    const count = new Out();
    const found = new Uint8Array(perfBytes * 16);
    this.call(choose, this.handle, ...descriptors, 16, count.bytes, found);
    const fitting = readPerformances(found, count.int).filter(
      ({ status, bytes }) => status === 0 && bytes <= this.options.workspaceBytes,
    );
    const repeatable = fitting.filter(({ deterministic }) => deterministic);
    const tried = (repeatable.length > 0 ? repeatable : fitting).slice(0, candidates);
    this.reserve(Math.max(0, ...tried.map(({ bytes }) => bytes)));
    const timed = tried
      .map((candidate) => {
        if (launch(candidate.algorithm, candidate.math, operands, result) !== 0)
          return { ...candidate, ms: Number.POSITIVE_INFINITY };
        const ms = this.driver.time(this.stream, () => {
          for (let time = 0; time < timedRuns; time++) launch(candidate.algorithm, candidate.math, operands, result);
        });
        return { ...candidate, ms };
      })
      .sort((a, b) => a.ms - b.ms);
    const [best] = timed;
    if (!best || best.ms === Number.POSITIVE_INFINITY) {
      throw new FailureError(
        `cuDNN has no algorithm for the ${kind} gradient of a convolution of [${shape.x.join(', ')}] with [${shape.w.join(', ')}] within ${this.options.workspaceBytes} bytes of workspace; build with --kernels plain`,
      );
    }
    return {
      launch: (inputs, output) => this.check(run, launch(best.algorithm, best.math, inputs, output)),
    };
  }

  private reserve(bytes: number): void {
    if (bytes <= this.workspaceBytes) return;
    this.workspace = this.driver.allocate(bytes, "cuDNN's workspace");
    this.workspaceBytes = bytes;
    this.workspaces.push(this.workspace);
  }

  private tensor(extents: readonly number[]): bigint {
    const out = new Out();
    this.call('cudnnCreateTensorDescriptor', out.bytes);
    this.call('cudnnSetTensor4dDescriptor', out.address, nchw, float, ...extents);
    return out.address;
  }

  private filter(extents: readonly number[]): bigint {
    const out = new Out();
    this.call('cudnnCreateFilterDescriptor', out.bytes);
    this.call('cudnnSetFilter4dDescriptor', out.address, float, nchw, ...extents);
    return out.address;
  }

  private convolution({ strides, groups }: ConvolutionShape, pads: readonly [number, number]): bigint {
    const out = new Out();
    this.call('cudnnCreateConvolutionDescriptor', out.bytes);
    const [high, wide] = strides;
    this.call('cudnnSetConvolution2dDescriptor', out.address, ...pads, high, wide, 1, 1, crossCorrelation, float);
    this.call('cudnnSetConvolutionGroupCount', out.address, groups);
    this.call('cudnnSetConvolutionMathType', out.address, this.options.tf32 ? defaultMath : withoutTensorCores);
    return out.address;
  }

  private call(name: keyof ReturnType<typeof declare>, ...operands: readonly unknown[]): void {
    this.check(name, this.functions[name](...operands) as number);
  }

  private check(name: string, status: number): void {
    if (status === 0) return;
    const text = this.functions.cudnnGetErrorString(status) as string;
    throw new FailureError(
      `cuDNN's ${name} failed: ${text} (code ${status}); build with --kernels plain to do without`,
    );
  }
}

interface Performance {
  readonly algorithm: number;
  readonly status: number;
  readonly bytes: number;
  readonly deterministic: boolean;
  readonly math: number;
}

/** cudnnConvolutionBwdDataAlgoPerf_t and its sibling: algorithm, status, time, bytes, determinism, math, reserved. */
function readPerformances(bytes: Uint8Array, count: number): readonly Performance[] {
  if (count < 0 || count * perfBytes > bytes.length) throw new InternalError(`cuDNN named ${count} algorithms`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: count }, (_, index): Performance => {
    const at = index * perfBytes;
    return {
      algorithm: view.getInt32(at, true),
      status: view.getInt32(at + 4, true),
      bytes: Number(view.getBigUint64(at + 16, true)),
      deterministic: view.getInt32(at + 24, true) === 1,
      math: view.getInt32(at + 28, true),
    };
  });
}

/** Signatures as in cudnn.h, cudnn_ops.h and cudnn_cnn.h; handles and addresses are 64-bit numbers. */
function declare(libraries: CudaLibraries) {
  const { find } = loadLibrary('cudnn', libraries);
  const status = (name: string, ...parameters: readonly string[]): NativeFunction => find(name, 'int', parameters);
  const [handle, address, out, int] = ['uint64_t', 'uint64_t', 'void *', 'int'] as const;
  const four = [int, int, int, int] as const;
  const run = [
    handle,
    out,
    handle,
    address,
    handle,
    address,
    handle,
    int,
    address,
    'size_t',
    out,
    handle,
    address,
  ] as const;
  const choose = [handle, handle, handle, handle, handle, int, out, out] as const;
  return {
    cudnnCreate: status('cudnnCreate', out),
    cudnnDestroy: status('cudnnDestroy', handle),
    cudnnSetStream: status('cudnnSetStream', handle, handle),
    cudnnGetErrorString: find('cudnnGetErrorString', 'str', [int]),
    cudnnCreateTensorDescriptor: status('cudnnCreateTensorDescriptor', out),
    cudnnSetTensor4dDescriptor: status('cudnnSetTensor4dDescriptor', handle, int, int, ...four),
    cudnnCreateFilterDescriptor: status('cudnnCreateFilterDescriptor', out),
    cudnnSetFilter4dDescriptor: status('cudnnSetFilter4dDescriptor', handle, int, int, ...four),
    cudnnCreateConvolutionDescriptor: status('cudnnCreateConvolutionDescriptor', out),
    cudnnSetConvolution2dDescriptor: status('cudnnSetConvolution2dDescriptor', handle, ...four, int, int, int, int),
    cudnnSetConvolutionGroupCount: status('cudnnSetConvolutionGroupCount', handle, int),
    cudnnSetConvolutionMathType: status('cudnnSetConvolutionMathType', handle, int),
    cudnnGetConvolutionBackwardDataAlgorithm_v7: status('cudnnGetConvolutionBackwardDataAlgorithm_v7', ...choose),
    cudnnGetConvolutionBackwardFilterAlgorithm_v7: status('cudnnGetConvolutionBackwardFilterAlgorithm_v7', ...choose),
    cudnnConvolutionBackwardData: status('cudnnConvolutionBackwardData', ...run),
    cudnnConvolutionBackwardFilter: status('cudnnConvolutionBackwardFilter', ...run),
  };
}
