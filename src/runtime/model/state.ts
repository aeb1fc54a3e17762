/** @file Between a network's named tensors, as in state files, and the segments that the models take. */

import {
  elementCount,
  floatTensor,
  int64Tensor,
  RequestError,
  type SlotRole,
  show,
  type TensorData,
} from '../../ir/index.js';
import type { Segment } from '../../passes/pack-state.js';
import { isKeptOf, parseSlotName, slotName } from '../../step/interface.js';
import type { Bundle } from '../bundle/bundle.js';
import { loadWeights, type State, weightsOnly } from './weights.js';

export type { State } from './weights.js';

/**
 * Reads the state of a bundle's network from a file, under any of the names that `matchWeights` knows.
 * @throws FailureError when the file is broken or lacks tensors; RequestError when shapes don't fit the network
 */
export async function readState(path: string, bundle: Bundle): Promise<State> {
  return (await loadWeights(path, bundle.manifest.state)).state;
}

/**
 * The training model's state inputs for named tensors; what the state doesn't bring of the optimizer's is zero.
 * @param kept what the optimizer keeps of each parameter
 * @throws RequestError when the state lacks a parameter or a running statistic, or has one of another shape
 */
export function packTraining(
  state: State,
  segments: readonly Segment[],
  kept: readonly SlotRole[],
): Map<string, TensorData> {
  const packed = new Map(segments.map((segment) => [segment.name, packSegment(state, segment)]));
  const trained = segments.filter(({ frozen }) => !frozen);
  for (const role of kept) {
    const slot = (name: string): string => slotName(role, name);
    for (const segment of trained.filter((each) => isKeptOf(role, each.role))) {
      packed.set(slot(segment.name), packSegment(state, segment, slot));
    }
  }
  return packed;
}

/** The evaluation model's state inputs: parameters and running statistics, as `weightsOnly`. @throws as `packTraining` */
export function packEvaluation(state: State, segments: readonly Segment[]): Map<string, TensorData> {
  requireState(state);
  const weights = weightsOnly(state);
  return new Map(
    segments
      .filter(({ role }) => role === 'parameter' || role === 'running')
      .map((segment) => [segment.name, packSegment(weights, segment)]),
  );
}

/** Named tensors, the optimizer's included, from the training model's state. */
export function unpackState(
  packed: ReadonlyMap<string, TensorData>,
  segments: readonly Segment[],
): Map<string, TensorData> {
  const state = new Map<string, TensorData>();
  const layouts = new Map(segments.map((segment) => [segment.name, segment.tensors]));
  for (const [packedName, vector] of packed) {
    const slot = layouts.has(packedName) ? undefined : parseSlotName(packedName);
    for (const { name, shape, offset } of layouts.get(slot?.parameter ?? packedName) ?? []) {
      const data = vector.data.slice(offset, offset + elementCount(shape));
      state.set(slot ? slotName(slot.role, name) : name, { dtype: vector.dtype, shape, data } as TensorData);
    }
  }
  return state;
}

/** What a state has of what the optimizer keeps of frozen parameters; it stays as it is. */
export function keptOfFrozen(state: State, segments: readonly Segment[]): Map<string, TensorData> {
  const frozen = segments.filter((segment) => segment.frozen).flatMap(({ tensors }) => tensors);
  const names = new Set(frozen.map(({ name }) => name));
  return new Map([...state].filter(([name]) => names.has(parseSlotName(name)?.parameter ?? '')));
}

function requireState(state: State): void {
  if (state instanceof Map) return;
  throw new RequestError(`the state is ${show(state)}; give a Map of tensors by name, as readState returns`);
}

/** @param nameOf the name in the state of what is kept of a tensor, where it isn't the tensor itself that is packed */
function packSegment(
  state: State,
  { role, dtype, length, tensors }: Segment,
  nameOf = (name: string): string => name,
): TensorData {
  requireState(state);
  const vector = dtype === 'int64' ? new BigInt64Array(length) : new Float32Array(length);
  for (const { name, shape, offset } of tensors) {
    const own = nameOf(name);
    const tensor = state.get(own);
    if (tensor && (tensor.dtype !== dtype || tensor.shape.join() !== shape.join())) {
      throw new RequestError(
        `the state's ${own} is ${tensor.dtype} [${tensor.shape.join(', ')}], the network has ${dtype} [${shape.join(', ')}]; give the state of this network`,
      );
    }
    if (tensor) (vector as Float32Array).set(tensor.data as Float32Array, offset);
    // Counters and what the optimizer keeps begin at zero.
    else if (own === name && (role === 'parameter' || role === 'running')) {
      throw new RequestError(`the state lacks ${name}; give all parameters and running statistics of the network`);
    }
  }
  return vector instanceof BigInt64Array ? int64Tensor([length], [...vector]) : floatTensor([length], vector);
}
