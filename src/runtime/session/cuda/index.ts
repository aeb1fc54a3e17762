/** @file Kernels on a CUDA device for the operators of our own: cuDNN's for convolutions, ours for the rest. */

import { elementCount, InternalError, RequestError } from '../../../ir/index.js';
import type { Attributes } from '../../../operators/index.js';
import type { DeviceKernel, DeviceLibrary, DeviceTensor } from '../ort/own-operators.js';
import { type ConvolutionShape, Cudnn, type GradientKind } from './cudnn.js';
import { Driver } from './driver.js';
import { kernelNames, kernelSource, partsPerLaunch, threadsPerBlock } from './kernels.js';
import { type CudaLibraries, installedLibraries } from './libraries.js';
import { compileKernels } from './nvrtc.js';
import { Structure } from './structure.js';

/** What a device library is opened with. */
export interface DeviceLibraryOptions {
  /** Which card, from 0. */
  readonly device?: number;
  /** Whether convolutions may round their operands to TF32. */
  readonly tf32: boolean;
  /** The most bytes that cuDNN may take beside the tensors. */
  readonly workspaceBytes: number;
}

/**
 * Opens the kernels on a card: compiles ours for it, starts cuDNN.
 * @throws FailureError that names what is missing and how to get it
 */
export function openDeviceLibrary(
  options: DeviceLibraryOptions,
  libraries: CudaLibraries = installedLibraries,
): DeviceLibrary {
  return new CudaLibrary(options, libraries);
}

/** Room for sums of blocks and for numbers of channels: 2¹⁷ pairs of doubles, 2¹⁶ channels. */
const [partialsBytes, counters] = [(1 << 17) * 16, 1 << 16];

/** Blocks that keep a card busy: about sixteen for each of its multiprocessors. */
const blocksPerMultiprocessor = 16;

type Launch = (inputs: readonly DeviceTensor[], outputs: readonly DeviceTensor[], stream: bigint) => void;

class CudaLibrary implements DeviceLibrary {
  private readonly driver: Driver;
  private readonly cudnn: Cudnn;
  private readonly kernels: ReadonlyMap<string, bigint>;
  /** Shared by all nodes, which run one after the other: partial sums, counters that are 0 between launches, coefficients. */
  private readonly partials: bigint;
  private readonly counters: bigint;
  private readonly coefficients: bigint;

  constructor(options: DeviceLibraryOptions, libraries: CudaLibraries) {
    this.driver = new Driver(libraries, options.device ?? 0);
    const { driver } = this;
    const code = compileKernels(kernelSource, driver.card.capability, libraries);
    const module = driver.loadModule(code);
    this.kernels = new Map(kernelNames.map((name) => [name, driver.kernel(module, name)]));
    this.cudnn = new Cudnn(driver, libraries, options);
    this.partials = driver.allocate(partialsBytes, 'partial sums');
    this.counters = driver.allocate(4 * counters, 'counters of blocks');
    this.coefficients = driver.allocate(8 * counters, 'coefficients of channels');
    driver.clear(this.counters, counters);
  }

  has(name: string): boolean {
    return name in this.launches;
  }

  create(name: string, attributes: Attributes): DeviceKernel {
    const make = this.launches[name];
    if (!make) throw new InternalError(`there is no CUDA kernel for ${name}`);
    const launch = make(attributes);
    return {
      launch: (inputs, outputs, stream) => {
        for (const { shape } of [...inputs, ...outputs]) requireIndexable(name, shape);
        if (outputs.every(({ shape }) => elementCount(shape) === 0)) return;
        launch(inputs, outputs, stream);
      },
    };
  }

  close(): void {
    this.cudnn.close();
    for (const address of [this.partials, this.counters, this.coefficients]) this.driver.free(address);
    this.driver.close();
  }

  private readonly launches: Readonly<Record<string, (attributes: Attributes) => Launch>> = {
    ConvInputGrad: (attributes) => (inputs, outputs, stream) => {
      const [dy, w] = inputs as [DeviceTensor, DeviceTensor];
      const [dx] = outputs as [DeviceTensor];
      this.convolution('data', { ...geometry(attributes), x: dx.shape, w: w.shape, y: dy.shape }, [w, dy], dx, stream);
    },
    ConvWeightGrad: (attributes) => (inputs, outputs, stream) => {
      const [x, dy] = inputs as [DeviceTensor, DeviceTensor];
      const [dw] = outputs as [DeviceTensor];
      this.convolution(
        'filter',
        { ...geometry(attributes), x: x.shape, w: dw.shape, y: dy.shape },
        [x, dy],
        dw,
        stream,
      );
    },
    BatchStatistics: () => (inputs, outputs, stream) => {
      const [x] = inputs as [DeviceTensor];
      const [mean, variance] = outputs as [DeviceTensor, DeviceTensor];
      const planes = planesOf(x.shape, [x]);
      const structure = new Structure()
        .pointers(x.address, this.partials, this.counters, mean.address, variance.address)
        .words(planes.samples, planes.channels, planes.packs);
      this.run(`batchStatistics${planes.width}`, this.byChannel(planes, planes.channels), stream, structure);
    },
    Normalizer:
      ({ epsilon }) =>
      (inputs, outputs, stream) => {
        const [variance, gamma] = inputs as [DeviceTensor, DeviceTensor];
        const [scale, deviation] = outputs as [DeviceTensor, DeviceTensor];
        const channels = elementCount(variance.shape);
        const structure = new Structure()
          .pointers(variance.address, gamma.address, scale.address, deviation.address)
          .words(channels)
          .floats(epsilon as number);
        this.run('normalizer1', [Math.ceil(channels / threadsPerBlock), 1], stream, structure);
      },
    AffineRelu:
      ({ relu }) =>
      (inputs, outputs, stream) => {
        const [scale, shift, mean, ...parts] = inputs as [DeviceTensor, DeviceTensor, DeviceTensor, ...DeviceTensor[]];
        const [z] = outputs as [DeviceTensor];
        const planes = planesOf(z.shape, [z, ...parts]);
        for (const { group, first } of groupsOf(parts)) {
          const structure = new Structure()
            .pointers(scale.address, shift.address, mean.address, z.address)
            .pointerArray(
              group.map(({ address }) => address),
              partsPerLaunch,
            )
            .words(planes.samples, planes.channels, planes.packs, relu as number, group.length)
            .wordArray(first, partsPerLaunch + 1);
          const channels = (first.at(-1) as number) - (first[0] as number);
          this.run(`affineRelu${planes.width}`, this.byChannel(planes, channels), stream, structure);
        }
      },
    AffineReluGrad:
      ({ relu, accumulates }) =>
      (inputs, outputs, stream) => {
        const [dz, scale, shift, mean, ...pairs] = inputs as [
          DeviceTensor,
          DeviceTensor,
          DeviceTensor,
          DeviceTensor,
          ...DeviceTensor[],
        ];
        const [dscale, dshift, ...gradients] = outputs as [DeviceTensor, DeviceTensor, ...DeviceTensor[]];
        const parts = gradients.map((_, part) => pairs[2 * part + 1] as DeviceTensor);
        const sums = gradients.map((_, part) => pairs[2 * part] as DeviceTensor);
        const planes = planesOf(dz.shape, [dz, ...parts, ...sums, ...gradients]);
        let done = 0;
        for (const { group, first } of groupsOf(parts)) {
          const slice = <T>(list: readonly T[]): readonly T[] => list.slice(done, done + group.length);
          const structure = new Structure()
            .pointers(dz.address, scale.address, shift.address, mean.address, dscale.address, dshift.address)
            .pointers(this.partials, this.counters)
            .pointerArray(
              slice(sums).map(({ address }) => address),
              partsPerLaunch,
            )
            .pointerArray(
              group.map(({ address }) => address),
              partsPerLaunch,
            )
            .pointerArray(
              slice(gradients).map(({ address }) => address),
              partsPerLaunch,
            )
            .words(planes.samples, planes.channels, planes.packs, relu as number, group.length)
            .wordArray(first, partsPerLaunch + 1)
            .wordArray(slice(accumulates as readonly number[]), partsPerLaunch);
          const channels = (first.at(-1) as number) - (first[0] as number);
          this.run(`affineReluGrad${planes.width}`, this.byChannel(planes, channels), stream, structure);
          done += group.length;
        }
      },
    CenterGrad:
      ({ epsilon }) =>
      (inputs, outputs, stream) => {
        const [g, x, mean, variance] = inputs as [DeviceTensor, DeviceTensor, DeviceTensor, DeviceTensor];
        const [dx] = outputs as [DeviceTensor];
        const planes = planesOf(x.shape, [g, x, dx]);
        const structure = new Structure()
          .pointers(g.address, x.address, mean.address, variance.address, dx.address)
          .pointers(this.coefficients, this.partials, this.counters)
          .words(planes.samples, planes.channels, planes.packs)
          .floats(epsilon as number, planes.samples * planes.packs * planes.width);
        const grid = this.byChannel(planes, planes.channels);
        this.run(`centerSums${planes.width}`, grid, stream, structure);
        this.run(`centerApply${planes.width}`, grid, stream, structure);
      },
    ReluGrad: () => (inputs, outputs, stream) => {
      const [dy, y] = inputs as [DeviceTensor, DeviceTensor];
      const [dx] = outputs as [DeviceTensor];
      const count = elementCount(dx.shape);
      const width = widthOf(count, [dy, y, dx]);
      const structure = new Structure().pointers(dy.address, y.address, dx.address).words(count / width);
      this.run(`reluGrad${width}`, [this.blocks(count / width, 1), 1], stream, structure);
    },
    Concat:
      ({ axis }) =>
      (inputs, outputs, stream) =>
        this.move('join', axis as number, outputs[0] as DeviceTensor, inputs, stream),
    Split:
      ({ axis }) =>
      (inputs, outputs, stream) =>
        this.move('cut', axis as number, inputs[0] as DeviceTensor, outputs, stream),
    AveragePoolGrad: (attributes) => (inputs, outputs, stream) => {
      const [dy] = inputs as [DeviceTensor];
      this.pool('averagePoolGrad1', attributes, dy, undefined, outputs[0] as DeviceTensor, stream);
    },
    MaxPoolGrad: (attributes) => (inputs, outputs, stream) => {
      const [dy, x] = inputs as [DeviceTensor, DeviceTensor];
      this.pool('maxPoolGrad1', attributes, dy, x, outputs[0] as DeviceTensor, stream);
    },
  };

  private convolution(
    kind: GradientKind,
    shape: ConvolutionShape,
    [first, second]: readonly [DeviceTensor, DeviceTensor],
    result: DeviceTensor,
    stream: bigint,
  ): void {
    this.cudnn.setStream(stream);
    const operands = [first.address, second.address] as const;
    this.cudnn.gradient(kind, shape, operands, result.address).launch(operands, result.address);
  }

  /** Joins parts along an axis, or cuts them out: rows before the axis, the axis and what is behind it within a row. */
  private move(
    kernel: 'join' | 'cut',
    axis: number,
    whole: DeviceTensor,
    parts: readonly DeviceTensor[],
    stream: bigint,
  ): void {
    const at = axis < 0 ? axis + whole.shape.length : axis;
    const rows = elementCount(whole.shape.slice(0, at));
    const inner = elementCount(whole.shape.slice(at + 1));
    const lengths = parts.map(({ shape }) => (shape[at] as number) * inner);
    const row = (whole.shape[at] as number) * inner;
    const offsets: number[] = [];
    let end = 0;
    for (const length of lengths) {
      offsets.push(end);
      end += length;
    }
    const isAligned = [whole, ...parts].every(({ address }) => address % 16n === 0n);
    const width = isAligned && lengths.every((length) => length % 4 === 0) ? 4 : 1;
    for (let from = 0; from < parts.length; from += partsPerLaunch) {
      const taken = <T>(list: readonly T[]): readonly T[] => list.slice(from, from + partsPerLaunch);
      const structure = new Structure()
        .pointers(whole.address)
        .pointerArray(
          taken(parts).map(({ address }) => address),
          partsPerLaunch,
        )
        .words(rows, row / width)
        .wordArray(
          taken(offsets).map((offset) => offset / width),
          partsPerLaunch,
        )
        .wordArray(
          taken(lengths).map((length) => length / width),
          partsPerLaunch,
        );
      const most = (rows * Math.max(...taken(lengths))) / width;
      const count = taken(parts).length;
      this.run(`${kernel}${width}`, [this.blocks(most, count), count], stream, structure);
    }
  }

  private pool(
    kernel: string,
    attributes: Attributes,
    dy: DeviceTensor,
    x: DeviceTensor | undefined,
    dx: DeviceTensor,
    stream: bigint,
  ): void {
    const [samples = 0, channels = 0, height = 0, width = 0] = dx.shape;
    const [, , rows = 0, columns = 0] = dy.shape;
    const [kernelHeight = 0, kernelWidth = 0] = attributes.kernel_shape as readonly number[];
    const [strideHeight = 0, strideWidth = 0] = attributes.strides as readonly number[];
    const [top = 0, left = 0] = attributes.pads as readonly number[];
    const structure = new Structure()
      .pointers(dy.address, x?.address ?? 0n, dx.address)
      .words(samples * channels, height, width, rows, columns)
      .words(kernelHeight, kernelWidth, strideHeight, strideWidth, top, left)
      .words((attributes.count_include_pad as number | undefined) ?? 0);
    this.run(kernel, [this.blocks(elementCount(dx.shape), 1), 1], stream, structure);
  }

  /** Blocks along the elements of one row, where there are so many rows: no more than keep the card busy. */
  private blocks(elements: number, rows: number): number {
    const enough = Math.ceil((blocksPerMultiprocessor * this.driver.card.multiprocessors) / rows);
    return Math.max(1, Math.min(Math.ceil(elements / threadsPerBlock), enough));
  }

  private byChannel({ samples, packs }: Planes, channels: number): readonly [number, number] {
    return [this.blocks(samples * packs, channels), channels];
  }

  private run(name: string, grid: readonly [number, number], stream: bigint, structure: Structure): void {
    const kernel = this.kernels.get(name);
    if (kernel === undefined) throw new InternalError(`there is no kernel ${name}`);
    this.driver.launch(kernel, grid, threadsPerBlock, stream, structure.bytes());
  }
}

/** A tensor [N, C, …] as planes of packs of one or four elements. */
interface Planes {
  readonly samples: number;
  readonly channels: number;
  readonly packs: number;
  readonly width: 1 | 4;
}

function planesOf(
  [samples = 0, channels = 0, ...extents]: readonly number[],
  tensors: readonly DeviceTensor[],
): Planes {
  const area = elementCount(extents);
  const width = widthOf(area, tensors);
  return { samples, channels, packs: area / width, width };
}

function widthOf(elements: number, tensors: readonly DeviceTensor[]): 1 | 4 {
  return elements % 4 === 0 && tensors.every(({ address }) => address % 16n === 0n) ? 4 : 1;
}

/** Parts in groups that one launch takes, with the first channel of each and the end of the last. */
function groupsOf(
  parts: readonly DeviceTensor[],
): readonly { readonly group: readonly DeviceTensor[]; readonly first: readonly number[] }[] {
  const groups: { group: DeviceTensor[]; first: number[] }[] = [];
  let channel = 0;
  for (const [index, part] of parts.entries()) {
    if (index % partsPerLaunch === 0) groups.push({ group: [], first: [channel] });
    const last = groups.at(-1) as (typeof groups)[number];
    channel += part.shape[1] as number;
    last.group.push(part);
    last.first.push(channel);
  }
  return groups;
}

function geometry(attributes: Attributes): Pick<ConvolutionShape, 'strides' | 'pads' | 'groups'> {
  return {
    strides: attributes.strides as readonly number[],
    pads: attributes.pads as readonly number[],
    groups: attributes.group as number,
  };
}

/** The kernels count elements in 32 bits, and multiply such counts. */
const mostElements = 2 ** 31 - 1;

/** @throws RequestError for a tensor of more elements than the kernels can count */
export function requireIndexable(name: string, shape: readonly number[]): void {
  const count = elementCount(shape);
  if (count <= mostElements) return;
  throw new RequestError(
    `${name} of a tensor [${shape.join(', ')}]: it has ${count} elements, densec's kernels for CUDA count ${mostElements} at most; take a smaller batch, or build with --kernels plain`,
  );
}
