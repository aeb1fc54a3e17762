/** @file Between a network's named tensors, as in state files, and the segments that the models take. */

import { floatTensor, int64Tensor, type TensorData } from '../ir/index.js';
import type { Segment } from '../passes/pack-state.js';
import type { Bundle } from './bundle.js';
import { keptPrefixes, loadWeights, type State } from './weights.js';

export type { State } from './weights.js';

const [momentumPrefix] = keptPrefixes;

/**
 * Reads the state of a bundle's network from a file, under any of the names that `matchWeights` knows.
 * @throws FailureError when the file is broken or lacks tensors; RequestError when shapes don't fit the network
 */
export async function readState(path: string, bundle: Bundle): Promise<State> {
  return (await loadWeights(path, bundle.manifest.state)).state;
}

/** The training model's state inputs for named tensors; momentum the state doesn't bring is zero. */
export function packTraining(state: State, segments: readonly Segment[], momentum: number): Map<string, TensorData> {
  const packed = new Map(segments.map((segment) => [segment.name, packSegment(state, segment, '')]));
  if (momentum === 0) return packed;
  for (const segment of segments.filter(({ role, frozen }) => role === 'parameter' && !frozen)) {
    packed.set(`${momentumPrefix}${segment.name}`, packSegment(state, segment, momentumPrefix));
  }
  return packed;
}

/** The evaluation model's state inputs: parameters and running statistics. */
export function packEvaluation(state: State, segments: readonly Segment[]): Map<string, TensorData> {
  return new Map(
    segments.filter(({ role }) => role !== 'counter').map((segment) => [segment.name, packSegment(state, segment, '')]),
  );
}

/** Named tensors, momentum included, from the training model's state. */
export function unpackState(
  packed: ReadonlyMap<string, TensorData>,
  segments: readonly Segment[],
): Map<string, TensorData> {
  const state = new Map<string, TensorData>();
  for (const prefix of ['', momentumPrefix]) {
    for (const segment of segments) {
      const vector = packed.get(`${prefix}${segment.name}`);
      if (!vector) continue;
      for (const { name, shape, offset } of segment.tensors) {
        const count = shape.reduce((product, extent) => product * extent, 1);
        const data = vector.data.slice(offset, offset + count);
        state.set(`${prefix}${name}`, { dtype: vector.dtype, shape, data } as TensorData);
      }
    }
  }
  return state;
}

/** The weights alone: what evaluation needs. */
export function withoutMomentum(state: State): Map<string, TensorData> {
  return new Map([...state].filter(([name]) => !name.startsWith(momentumPrefix)));
}

function packSegment(state: State, { dtype, length, tensors }: Segment, prefix: string): TensorData {
  const vector = dtype === 'int64' ? new BigInt64Array(length) : new Float32Array(length);
  for (const { name, offset } of tensors) {
    const tensor = state.get(`${prefix}${name}`);
    // Only momentum and counters may be missing: both begin at zero.
    if (tensor) (vector as Float32Array).set(tensor.data as Float32Array, offset);
  }
  return vector instanceof BigInt64Array ? int64Tensor([length], [...vector]) : floatTensor([length], vector);
}
