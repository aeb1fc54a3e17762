/** @file Registers the operators of our own with a session: kernels on the host, or those of a device library. */

import { elementCount } from '../../../ir/index.js';
import type { Attributes, HostTensor, OwnOperator } from '../../../operators/index.js';
import { extentsForC, int64s, made, type OrtApi, ortApi, type Pointer } from './api.js';
import { koffi as loadKoffi } from './native.js';

const koffi = loadKoffi();

/** A tensor on a device. */
export interface DeviceTensor {
  readonly shape: readonly number[];
  readonly address: bigint;
}

/** What a node's kernel is made once for. */
export interface DeviceKernel {
  /** Puts the work on a stream. For shapes that it has not seen it may allocate and wait, which a capture forbids. */
  launch(inputs: readonly DeviceTensor[], outputs: readonly DeviceTensor[], stream: bigint): void;
}

/** Kernels on a device. */
export interface DeviceLibrary {
  /** Whether it has a kernel for an operator; others run on the host. */
  has(name: string): boolean;
  create(name: string, attributes: Attributes): DeviceKernel;
  close(): void;
}

/** Reads a kernel's operands, computes its outputs. */
type Compute = (context: Pointer) => void;

// What the runtime is given must stay where it is: it is never freed, and made once for a thread and library.
const domains = new Map<object, Pointer>();
const kernels = new Map<bigint, Compute>();
const kept: unknown[] = [];
let nextKernel = 1n;

const P = 'DensecOp';
const types = {
  text: koffi.proto(`void *${P}Text(void *operator)`),
  number: koffi.proto(`int ${P}Number(void *operator)`),
  size: koffi.proto(`size_t ${P}Size(void *operator)`),
  numberAt: koffi.proto(`int ${P}NumberAt(void *operator, size_t index)`),
  create: koffi.proto(`void *${P}Create(void *operator, void *api, void *info, void **kernel)`),
  compute: koffi.proto(`void *${P}Compute(void *kernel, void *context)`),
  destroy: koffi.proto(`void ${P}Destroy(void *kernel)`),
  pairs: koffi.proto(`size_t ${P}Pairs(int **operands, int **outputs)`),
  free: koffi.proto(`void ${P}Free(int *operands, int *outputs)`),
} as const;

/**
 * Lets a session's options know a table of operators.
 * @param library kernels on a CUDA device; what it lacks runs on the host, by its reference kernel
 */
export function addOwnOperators(
  options: Pointer,
  table: Readonly<Record<string, OwnOperator>>,
  library?: DeviceLibrary,
): void {
  const api = ortApi();
  const kernels = library ?? table;
  let domain = domains.get(kernels);
  if (domain === undefined) {
    domain = made(api.CreateCustomOpDomain, 'densec');
    for (const row of Object.values(table)) {
      api.CustomOpDomain_Add(domain, describe(api, row, library?.has(row.name) ? library : undefined));
    }
    domains.set(kernels, domain);
  }
  api.AddCustomOpDomain(options, domain);
}

const [required, variadic] = [0, 2];
const float32 = 1;

/** The structure by which the runtime knows an operator: a version, then functions. */
function describe(api: OrtApi, row: OwnOperator, library: DeviceLibrary | undefined): Pointer {
  const register = (callback: (...operands: never[]) => unknown, type: ReturnType<typeof koffi.proto>): Pointer => {
    const pointer = koffi.register(callback as never, koffi.pointer(type)) as Pointer;
    kept.push(pointer);
    return pointer;
  };
  const text = (value: string): Pointer => {
    const pointer = koffi.alloc('char', value.length + 1) as Pointer;
    koffi.encode(pointer as never, 'char', value, value.length + 1);
    kept.push(pointer);
    return register(() => pointer, types.text);
  };
  const isVariadic = (names: readonly string[], index: number): boolean =>
    index === names.length - 1 && names[index]?.endsWith('...') === true;
  const number = (value: number): Pointer => register(() => value, types.number);
  const characteristic = (names: readonly string[]): Pointer =>
    register((_: Pointer, index: number) => (isVariadic(names, Number(index)) ? variadic : required), types.numberAt);
  const [operandList, outputList] = [0, 1].map((side) => {
    const list = koffi.alloc('int', Math.max(1, row.inPlace.length)) as Pointer;
    for (const [index, pair] of row.inPlace.entries()) koffi.encode(list as never, 4 * index, 'int', pair[side]);
    kept.push(list);
    return list;
  });
  const noPairs = register(() => 0, types.pairs);
  const free = register(() => undefined, types.free);
  const fields: readonly (Pointer | null)[] = [
    null,
    text(row.name),
    library ? text('CUDAExecutionProvider') : register(() => null, types.text),
    register(() => float32, types.numberAt),
    register(() => row.operands.length, types.size),
    register(() => float32, types.numberAt),
    register(() => row.outputs.length, types.size),
    null,
    register((kernel: bigint) => {
      kernels.delete(BigInt(kernel));
    }, types.destroy),
    characteristic(row.operands),
    characteristic(row.outputs),
    register(() => 0, types.numberAt),
    number(1),
    number(1),
    number(1),
    number(1),
    register(
      (_: Pointer, __: Pointer, info: Pointer, kernel: Pointer) =>
        guarded(api, () => koffi.encode(kernel as never, 'uint64_t', create(api, row, info, library))),
      types.create,
    ),
    register((kernel: bigint, context: Pointer) => guarded(api, () => kernelOf(kernel)(context)), types.compute),
    null,
    number(1),
    number(2_147_483_647),
    row.inPlace.length === 0
      ? noPairs
      : register((operands: Pointer, outputs: Pointer) => {
          koffi.encode(operands as never, 'uint64_t', addressOf(operandList));
          koffi.encode(outputs as never, 'uint64_t', addressOf(outputList));
          return row.inPlace.length;
        }, types.pairs),
    free,
    noPairs,
    free,
  ];
  const structure = new BigUint64Array(new ArrayBuffer(8 * (fields.length + 1)));
  structure[0] = 30n;
  for (const [index, field] of fields.entries()) structure[index + 1] = field === null ? 0n : addressOf(field);
  kept.push(structure);
  return structure;
}

function addressOf(pointer: Pointer): bigint {
  return typeof pointer === 'bigint' ? pointer : BigInt(koffi.address(pointer as never));
}

/** Runs a callback; an exception, which must not reach C, becomes a status with its message. */
function guarded(api: OrtApi, body: () => void): Pointer {
  try {
    body();
    return null;
  } catch (error) {
    return api.status(error instanceof Error ? error.message : String(error));
  }
}

function kernelOf(kernel: bigint): Compute {
  const found = kernels.get(BigInt(kernel));
  if (!found) throw new Error('internal: a kernel that was never made is asked to run');
  return found;
}

function create(api: OrtApi, row: OwnOperator, info: Pointer, library: DeviceLibrary | undefined): bigint {
  const attributes = readAttributes(api, row, info);
  const device = library?.create(row.name, attributes);
  const compute: Compute = device
    ? (context) => {
        const stream = made(api.KernelContext_GetGPUComputeStream, context);
        const { inputs, outputs } = tensorsOf(api, row, attributes, context);
        device.launch(inputs, outputs, stream === null ? 0n : addressOf(stream));
      }
    : (context) => runOnHost(api, row, attributes, context);
  const kernel = nextKernel++;
  kernels.set(kernel, compute);
  return kernel;
}

function readAttributes(api: OrtApi, row: OwnOperator, info: Pointer): Attributes {
  return Object.fromEntries(
    Object.entries(row.attributes).map(([name, kind]) => {
      if (kind === 'ints') {
        const count: [number] = [0];
        api.KernelInfoGetAttributeArray_int64(info, name, null, count);
        const values = int64s(Number(count[0]));
        api.KernelInfoGetAttributeArray_int64(info, name, values, count);
        return [name, Array.from(values.subarray(0, Number(count[0])), Number)];
      }
      const value: [number | bigint] = [0];
      if (kind === 'int') api.KernelInfoGetAttribute_int64(info, name, value);
      else api.KernelInfoGetAttribute_float(info, name, value);
      return [name, Number(value[0])];
    }),
  );
}

/** The tensors of a run of a kernel; outputs get their memory here. */
function tensorsOf(
  api: OrtApi,
  row: OwnOperator,
  attributes: Attributes,
  context: Pointer,
): { readonly inputs: readonly DeviceTensor[]; readonly outputs: readonly DeviceTensor[] } {
  const count: [number] = [0];
  api.KernelContext_GetInputCount(context, count);
  const inputs = Array.from({ length: Number(count[0]) }, (_, index): DeviceTensor => {
    const value = made(api.KernelContext_GetInput, context, index);
    return { shape: shapeOf(api, value), address: dataOf(api, value) };
  });
  const shapes = row.shapes(
    inputs.map(({ shape }) => shape),
    attributes,
  );
  const outputs = shapes.map((shape, index): DeviceTensor => {
    const value = made(api.KernelContext_GetOutput, context, index, extentsForC(shape), shape.length);
    return { shape, address: dataOf(api, value) };
  });
  return { inputs, outputs };
}

function runOnHost(api: OrtApi, row: OwnOperator, attributes: Attributes, context: Pointer): void {
  const { inputs, outputs } = tensorsOf(api, row, attributes, context);
  row.reference(inputs.map(onHost), outputs.map(onHost), attributes);
}

function onHost({ shape, address }: DeviceTensor): HostTensor {
  const length = elementCount(shape);
  if (length === 0) return { shape, data: new Float32Array(0) };
  return { shape, data: new Float32Array(koffi.view(address as never, 4 * length)) };
}

function dataOf(api: OrtApi, value: Pointer): bigint {
  const data = made(api.GetTensorMutableData, value);
  return data === null ? 0n : addressOf(data);
}

function shapeOf(api: OrtApi, value: Pointer): readonly number[] {
  const info = made(api.GetTensorTypeAndShape, value);
  const count: [number] = [0];
  api.GetDimensionsCount(info, count);
  const rank = Number(count[0]);
  const extents = int64s(rank);
  api.GetDimensions(info, extents, rank);
  api.ReleaseTensorTypeAndShapeInfo(info);
  return Array.from(extents.subarray(0, rank), Number);
}
