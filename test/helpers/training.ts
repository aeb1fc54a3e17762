/** @file Random state and batches for compiled networks, and the training step computed by hand. */

import type { Compiled } from '../../src/compile.js';
import { concreteShape, type Graph, type TensorData, type Value } from '../../src/ir/index.js';
import type { Segment } from '../../src/passes/pack-state.js';
import { at } from './evaluate/array.js';
import { type Feeds, type NdArray, ndArray } from './evaluate.js';
import { type RandomSource, randomArray } from './random.js';

/** Tensors by name. */
export type Tensors = ReadonlyMap<string, NdArray>;

/** Everything that a training or evaluation graph takes, tensor by tensor. */
export interface Situation {
  readonly batchSize: number;
  /** Parameters, running statistics, counters and, under `momentum.<parameter>`, momentum. */
  readonly state: Tensors;
  /** Images, labels and scalars. */
  readonly rest: Tensors;
}

/** A random batch and a state near the initial one, where nothing is 0 by accident of initialization. */
export function randomSituation(
  { forward, initial }: Compiled,
  classes: number,
  batchSize: number,
  random: RandomSource,
): Situation {
  const state = new Map<string, NdArray>();
  for (const input of forward.inputs) {
    const tensor = initial.get(input.name);
    if (tensor) state.set(input.name, disturbed(input.role, tensor, random));
    if (input.role === 'parameter') {
      state.set(`momentum.${input.name}`, randomArray(tensor?.shape ?? [], random, 'normal'));
    }
  }
  const images = forward.inputs.find(({ name }) => name === 'images');
  const shape = concreteShape(images?.value.type.shape ?? [], batchSize);
  const labels = Array.from({ length: batchSize }, () => Math.floor(random() * classes));
  const rest = new Map([
    ['images', randomArray(shape, random, 'normal')],
    ['labels', ndArray([batchSize], labels)],
    ['step', ndArray([], [Math.floor(random() * 2 ** 33)])],
    ['seed', ndArray([], [Math.floor(random() * 2 ** 31)])],
    ['learning_rate', ndArray([], [Math.fround(0.125)])],
  ]);
  return { batchSize, state, rest };
}

function disturbed(role: string, { shape, data }: TensorData, random: RandomSource): NdArray {
  const values = Array.from(data as ArrayLike<number | bigint>, Number);
  if (role === 'counter')
    return ndArray(
      shape,
      values.map(() => Math.floor(random() * 1000)),
    );
  const noise = randomArray(shape, random, role === 'running' ? 'positive' : 'normal').data;
  return ndArray(
    shape,
    values.map((value, index) => Math.fround(value + 0.25 * at(noise, index))),
  );
}

/** What to feed a compiled graph: the state's tensors packed into its segments. */
export function packedFeeds(graph: Graph, segments: readonly Segment[], { state, rest }: Situation): Feeds {
  const all = new Map([...rest, ...segments.flatMap((segment) => packed(segment, state))]);
  return new Map(graph.inputs.map(({ name }) => [name, all.get(name) as NdArray]));
}

function packed({ name, length, role, tensors }: Segment, state: Tensors): (readonly [string, NdArray])[] {
  const join = (prefix: string): NdArray => {
    const data = tensors.flatMap((tensor) => Array.from(state.get(prefix + tensor.name)?.data ?? []));
    return ndArray([length], data);
  };
  return [[name, join('')], ...(role === 'parameter' ? ([[`momentum.${name}`, join('momentum.')]] as const) : [])];
}

/** The tensors that a training graph's outputs `next.…` hold. */
export function unpackedState(outputs: Tensors, segments: readonly Segment[]): Map<string, NdArray> {
  const state = new Map<string, NdArray>();
  for (const { name, tensors } of segments) {
    for (const prefix of ['', 'momentum.']) {
      const vector = outputs.get(`next.${prefix}${name}`);
      if (!vector) continue;
      for (const { name: tensor, shape, offset } of tensors) {
        const length = shape.reduce((product, extent) => product * extent, 1);
        state.set(prefix + tensor, ndArray(shape, vector.data.slice(offset, offset + length)));
      }
    }
  }
  return state;
}

/**
 * What each batch norm's running statistics observe, by PyTorch's definition: the mean of each channel and its
 * variance with a divisor of one less than the number of elements.
 */
export function observedStatistics(graph: Graph, values: ReadonlyMap<Value, NdArray>): Tensors {
  const observed = new Map<string, NdArray>();
  for (const { operator, inputs, origin } of graph.nodes) {
    if (operator !== 'batchStatistics') continue;
    const { shape, data } = values.get(inputs[0] as Value) as NdArray;
    const [, channels = 0, ...inner] = shape;
    const stride = inner.reduce((product, extent) => product * extent, 1);
    const byChannel = Array.from({ length: channels }, (_, channel) =>
      data.filter((__, index) => Math.floor(index / stride) % channels === channel),
    );
    const sum = (elements: Float64Array): number => elements.reduce((total, element) => total + element, 0);
    const means = byChannel.map((elements) => sum(elements) / elements.length);
    const variances = byChannel.map((elements, channel) => {
      const squares = elements.map((element) => (element - at(means, channel)) ** 2);
      return sum(squares) / (elements.length - 1);
    });
    observed.set(`${origin.scope}.running_mean`, ndArray([channels], means));
    observed.set(`${origin.scope}.running_var`, ndArray([channels], variances));
  }
  return observed;
}

/**
 * The state after a step by PyTorch's definitions of SGD and of running averages.
 * @param gradients the outputs `gradient.…` of a differentiated graph
 * @param observations what the running statistics observe, by their names
 */
export function steppedState(
  { state, rest }: Situation,
  gradients: Tensors,
  observations: Tensors,
  { optimizer }: Compiled,
): Tensors {
  if (optimizer.kind !== 'sgd') throw new Error(`no definition of ${optimizer.kind} here`);
  const { momentum, weightDecay, nesterov } = optimizer;
  const rate = at(rest.get('learning_rate')?.data ?? [], 0);
  const next = new Map<string, NdArray>();
  for (const [name, before] of state) {
    const combine = (compute: (value: number, index: number) => number): NdArray =>
      ndArray(before.shape, before.data.map(compute));
    const gradient = gradients.get(`gradient.${name}`);
    const velocity = state.get(`momentum.${name}`);
    const observed = observations.get(name);
    if (gradient && velocity) {
      const decayed = combine((value, index) => at(gradient.data, index) + weightDecay * value);
      const moved = combine((_, index) => momentum * at(velocity.data, index) + at(decayed.data, index));
      next.set(`momentum.${name}`, moved);
      const direction = nesterov
        ? combine((_, index) => at(decayed.data, index) + momentum * at(moved.data, index))
        : moved;
      next.set(
        name,
        combine((value, index) => value - rate * at(direction.data, index)),
      );
    } else if (observed) {
      next.set(
        name,
        combine((value, index) => 0.9 * value + 0.1 * at(observed.data, index)),
      );
    } else if (name.endsWith('.num_batches_tracked')) {
      next.set(
        name,
        combine((value) => value + 1),
      );
    }
  }
  return next;
}
