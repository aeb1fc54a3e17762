/** @file What a session must know of its model, and what is checked by it: C believes what it is told. */

import { readFileSync } from 'node:fs';
import { type DType, elementCount, FailureError, InternalError, type TensorData } from '../../../ir/index.js';
import { decodeModel, type Program, programOf, valueTypes } from '../../../onnx/index.js';
import { batchReaders } from '../host-nodes.js';
import type { RunRequest } from '../protocol.js';

/** What a session must know of its model. */
export interface ModelFacts {
  /** Nodes that read floats of a batch. */
  readonly batchReaders: ReadonlySet<string>;
  /** What errors call it. */
  readonly source: string;
  readonly program: Program;
  readonly inputs: ReturnType<typeof valueTypes>;
  readonly outputs: ReturnType<typeof valueTypes>;
  /** Operators of our own in it. */
  readonly ownOperators: ReadonlySet<string>;
  /** Whether it has concatenations or splits whose CUDA kernels may read tables from memory of the host. */
  readonly hasTables: boolean;
}

/** Reads a model, from a file or its bytes. @throws FailureError when it can't be read */
export function readModel(source: string | Uint8Array): ModelFacts {
  const [bytes, name] = typeof source === 'string' ? [readFile(source), source] : [source, 'the model'];
  const model = decodeModel(bytes, name);
  return {
    batchReaders: batchReaders(model),
    source: name,
    program: programOf(model),
    inputs: valueTypes(model.graph?.input),
    outputs: valueTypes(model.graph?.output),
    hasTables:
      model.graph?.node?.some(({ opType, domain }) => !domain && (opType === 'Concat' || opType === 'Split')) ?? false,
    ownOperators: new Set(
      (model.graph?.node ?? []).flatMap(({ domain, opType }) => (domain === 'densec' && opType ? [opType] : [])),
    ),
  };
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FailureError(`${path} can't be read: ${(error as Error).message}`, { cause: error });
  }
}

/** The arrays that hold elements of a type. */
const arrays = {
  float32: Float32Array,
  int64: BigInt64Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const satisfies Record<DType, unknown>;

/** @throws InternalError for a tensor that the model doesn't take under this name */
export function checkInput({ inputs }: ModelFacts, name: string, { dtype, shape, data }: TensorData): void {
  const type = inputs.get(name);
  if (!type) throw new InternalError(`the model has no input ${name}`);
  if (!Array.isArray(shape) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw new InternalError(`${name} has the shape [${shape}], whose extents must be whole numbers of at least 0`);
  }
  const fits =
    type.dtype === dtype &&
    type.shape.length === shape.length &&
    type.shape.every((dim, axis) => typeof dim === 'string' || dim === shape[axis]);
  if (!fits) {
    throw new InternalError(
      `${name} is ${dtype} [${shape.join(', ')}], the model takes ${type.dtype} [${type.shape.join(', ')}]`,
    );
  }
  if (!(data instanceof arrays[dtype])) {
    throw new InternalError(`${name} is ${dtype}, its data is no ${arrays[dtype].name}`);
  }
  const count = elementCount(shape);
  if (data.length !== count) throw new InternalError(`${name} has ${data.length} elements, its shape ${count}`);
}

/** The type and the shape of a state. */
type StateType = Pick<TensorData, 'dtype' | 'shape'>;

/**
 * Requires that a run has all that the model reads, once each, and asks for what there is.
 * @param state what the session has of the model's inputs, by name
 * @throws InternalError naming what is missing, there twice, or of another type
 */
export function checkRun(
  model: ModelFacts,
  { feeds, results, updates }: Omit<RunRequest, 'kind'>,
  state: ReadonlyMap<string, StateType>,
): void {
  for (const [name, tensor] of feeds) checkInput(model, name, tensor);
  const given = [...feeds.map(([name]) => name), ...state.keys()];
  requireOnce(given, 'input');
  const known = new Set(given);
  const missing = model.program.inputs.filter((name) => !known.has(name));
  if (missing.length > 0) throw new InternalError(`the model's ${missing.join(', ')} are neither fed nor set`);
  const wanted = [...results, ...updates.map(({ output }) => output)];
  requireOnce(wanted, 'output');
  requireOnce(
    updates.map(({ input }) => input),
    'updated state',
  );
  for (const name of wanted) {
    if (!model.outputs.has(name)) throw new InternalError(`the model has no output ${name}`);
  }
  for (const { output, input } of updates) {
    const current = state.get(input);
    if (!current) throw new InternalError(`the state ${input} was never set`);
    const { dtype, shape } = current;
    const type = model.outputs.get(output);
    if (type?.dtype !== dtype || type.shape.join() !== shape.join()) {
      throw new InternalError(
        `${output} is ${type?.dtype} [${type?.shape.join(', ')}], the state ${input} that it replaces ${dtype} [${shape.join(', ')}]`,
      );
    }
  }
  extentsOf(model, feeds);
}

/** @throws InternalError for a name that is given twice */
function requireOnce(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new InternalError(`the ${what} ${twice} is given twice`);
}

/** The extents that names such as N stand for in a run. @throws InternalError where one stands for two */
export function extentsOf({ inputs }: ModelFacts, feeds: RunRequest['feeds']): ReadonlyMap<string, number> {
  const extents = new Map<string, number>();
  for (const [name, { shape }] of feeds) {
    for (const [axis, dim] of (inputs.get(name)?.shape ?? []).entries()) {
      if (typeof dim !== 'string') continue;
      const extent = shape[axis] as number;
      const known = extents.get(dim) ?? extent;
      if (known !== extent)
        throw new InternalError(`${dim} is ${extent} in ${name}, and ${known} in what is fed beside it`);
      extents.set(dim, extent);
    }
  }
  return extents;
}

/** The type of an output in a run, and its shape. @throws InternalError where nothing that was fed tells an extent */
export function outputType(
  { outputs }: ModelFacts,
  name: string,
  extents: ReadonlyMap<string, number>,
): { readonly dtype: DType; readonly shape: readonly number[] } {
  const type = outputs.get(name);
  if (!type) throw new InternalError(`the model has no output ${name}`);
  const shape = type.shape.map((dim) => {
    const extent = typeof dim === 'number' ? dim : extents.get(dim);
    if (extent === undefined) throw new InternalError(`nothing that was fed tells the extent ${dim} of ${name}`);
    return extent;
  });
  return { dtype: type.dtype, shape };
}
