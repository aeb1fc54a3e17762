/**
 * @file The layers of the DSL. Each takes tensors (N, C, H, W) or (N, F) and returns one; layers with weights take
 * a `name`, which prefixes their parameters: `conv0` gives `conv0.weight`, as PyTorch would.
 */

import {
  checkOptions,
  type Initializer,
  InternalError,
  type Pads,
  type Pair,
  RequestError,
  type Shape,
  show,
  type Value,
} from '../ir/index.js';
import {
  type BatchNormOptions,
  batchNormKinds,
  type ConvOptions,
  checkLayer,
  checkTensors,
  convKinds,
  type DropoutOptions,
  dropoutKinds,
  type Extent,
  isExtent,
  type LinearOptions,
  linearKinds,
  type PoolOptions,
  poolKinds,
} from './layer-options.js';
import type { Tensor } from './tensor.js';

/**
 * 2-D convolution (N, C, H, W) → (N, filters, H′, W′) with H′ = ⌊(H + 2·padding − kernel) / stride⌋ + 1. There is no bias
 * unless `bias` is true.
 * @throws RequestError when the options don't fit the input
 */
export function conv2d(x: Tensor, given: ConvOptions): Tensor {
  const options = checkLayer('conv2d', x, given, convKinds);
  const { name, filters, groups = 1 } = options;
  return layer(x, name, () => {
    requireRank(x, 4);
    const kernel = pair(options.kernel, 'kernel', 1);
    requireCount(filters, 'filters', 1);
    requireCount(groups, 'groups', 1);
    const channels = x.dim(1);
    if (channels % groups !== 0 || filters % groups !== 0) {
      throw new RequestError(
        `groups is ${groups}; it must divide the ${channels} input and ${filters} output channels`,
      );
    }
    const deviation = Math.sqrt(2 / (filters * kernel[0] * kernel[1]));
    const inputs = [
      x.value,
      parameter(
        x,
        `${name}.weight`,
        [filters, channels / groups, ...kernel],
        options.initializer ?? { kind: 'normal', deviation },
      ),
    ];
    if (options.bias) inputs.push(parameter(x, `${name}.bias`, [filters], zero));
    const attributes = {
      stride: pair(options.stride ?? 1, 'stride', 1),
      pads: symmetricPads(options.padding ?? 0),
      groups,
    };
    return x.builder.emit('conv2d', inputs, attributes);
  });
}

/**
 * Batch normalization over every axis but the channels' (axis 1): batch statistics in training, running ones in
 * evaluation. Parameters `weight` and `bias`, state `running_mean`, `running_var` and `num_batches_tracked`.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { name, epsilon = 1e-5, momentum = 0.1 } = checkLayer('batchNorm', x, options, batchNormKinds);
  return layer(x, name, () => {
    if (!(epsilon > 0)) throw new RequestError(`epsilon is ${epsilon}; it must be above 0`);
    if (!(momentum > 0 && momentum <= 1))
      throw new RequestError(`momentum is ${momentum}; it must be above 0 and at most 1`);
    const channels = [x.dim(1)];
    const running = (suffix: string, value: number): Value =>
      x.builder.input(
        { dtype: 'float32', shape: channels },
        { name: `${name}.${suffix}`, role: 'running', initializer: { kind: 'constant', value }, momentum },
      );
    const scale = parameter(x, `${name}.weight`, channels, { kind: 'constant', value: 1 });
    const shift = parameter(x, `${name}.bias`, channels, zero);
    const mean = running('running_mean', 0);
    const variance = running('running_var', 1);
    x.builder.input(
      { dtype: 'int64', shape: [] },
      { name: `${name}.num_batches_tracked`, role: 'counter', initializer: zero },
    );
    return x.builder.emit('batchNorm', [x.value, scale, shift, mean, variance], { epsilon, momentum });
  });
}

/** Fully connected layer (N, F) → (N, features): x·weightᵀ + bias. */
export function linear(x: Tensor, options: LinearOptions): Tensor {
  const { name, features, bias = true, initializer } = checkLayer('linear', x, options, linearKinds);
  return layer(x, name, () => {
    requireRank(x, 2);
    requireCount(features, 'features', 1);
    const inputs = x.shape[1];
    if (typeof inputs !== 'number') {
      throw new RequestError(
        `the input has the shape [${x.shape.join(', ')}], whose axis 1 is known only when the graph runs; reshape it to [N, F]`,
      );
    }
    const weight = parameter(
      x,
      `${name}.weight`,
      [features, inputs],
      initializer ?? { kind: 'uniform', bound: 1 / Math.sqrt(inputs) },
    );
    const product = x.builder.emit('matMul', [x.value, weight], { transposeA: false, transposeB: true });
    return bias ? x.builder.emit('add', [product, parameter(x, `${name}.bias`, [features], zero)], {}) : product;
  });
}

/**
 * In training, zeroes elements with probability `rate` and scales the others by 1 / (1 − rate); otherwise the identity.
 * The mask is a function of the layer's place among the dropouts, the seed and the step's number, so a step can be
 * repeated exactly.
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  const { name, rate } = checkLayer('dropout', x, options, dropoutKinds);
  return layer(x, name, () => {
    if (!(rate >= 0 && rate < 1)) throw new RequestError(`the drop rate is ${rate}; it must be at least 0 and below 1`);
    return rate === 0 ? x.value : x.builder.emit('dropout', [x.value], { rate, key: dropoutsSoFar(x) });
  });
}

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  checkTensors('relu', x);
  return x.with(x.builder.emit('relu', [x.value], {}));
}

/** Sum of two tensors, broadcasting axes of extent 1. */
export function add(a: Tensor, b: Tensor): Tensor {
  checkTensors('add', a, b);
  return a.with(a.builder.emit('add', [a.value, b.value], {}));
}

/**
 * Tensors side by side, by default along the channels.
 * @param axis counted from the front; 0, the batch, can't be joined
 */
export function concat(parts: readonly Tensor[], axis = 1): Tensor {
  if (!Array.isArray(parts)) throw new RequestError(`concat: the tensors are ${show(parts)}; give a list of them`);
  checkTensors('concat', ...parts);
  const [first] = parts;
  if (!first) throw new RequestError('concat needs at least one tensor');
  const last = first.shape.length - 1;
  if (!Number.isInteger(axis) || axis < 1 || axis > last) {
    throw new RequestError(
      `concat: the axis is ${show(axis)} for tensors of [${first.shape.join(', ')}]; it must be from 1 to ${last}, counted from the front`,
    );
  }
  if (parts.length === 1) return first;
  return first.with(
    first.builder.emit(
      'concat',
      parts.map((part) => part.value),
      { axis },
    ),
  );
}

/** Average of each window, zeros of the padding included (PyTorch's default). */
export function averagePool2d(x: Tensor, options: PoolOptions): Tensor {
  return x.with(x.builder.emit('averagePool2d', [x.value], poolWindow('averagePool2d', x, options)));
}

/** Largest element of each window. */
export function maxPool2d(x: Tensor, options: PoolOptions): Tensor {
  const [largest] = x.builder.emitAll('maxPool2d', [x.value], poolWindow('maxPool2d', x, options));
  if (!largest) throw new InternalError('maxPool2d has no output');
  return x.with(largest);
}

/** Average over height and width: (N, C, H, W) → (N, C). */
export function globalAveragePool(x: Tensor): Tensor {
  checkTensors('globalAveragePool', x);
  requireRank(x, 4);
  return x.with(x.builder.emit('reduceMean', [x.value], { axes: [2, 3], keepDims: false }));
}

/** The same elements under another shape; keep `N` where the batch size stood. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensors('reshape', x);
  if (!Array.isArray(shape) || !shape.every(isExtent)) {
    throw new RequestError(
      `reshape: the shape is ${show(shape)}; give a list of whole numbers of at least 1, with 'N' for the batch size (flatten makes [N, …] of it)`,
    );
  }
  return x.with(x.builder.emit('reshape', [x.value], { shape }));
}

/** (N, …) → (N, F), F the number of elements of a sample. */
export function flatten(x: Tensor): Tensor {
  checkTensors('flatten', x);
  const [samples, ...rest] = x.shape;
  if (samples === undefined) throw new RequestError('flatten needs a batch axis');
  const features = rest.reduce<number>((product, _, index) => product * x.dim(index + 1), 1);
  return reshape(x, [samples, features]);
}

/** Number of samples whose largest logit is not at their label, a scalar. */
export function countErrors(logits: Tensor, labels: Tensor): Tensor {
  checkTensors('countErrors', logits, labels);
  return logits.with(logits.builder.emit('countErrors', [logits.value, labels.value], {}));
}

const zero: Initializer = { kind: 'constant', value: 0 };

/** Emits a layer's nodes under its name, which errors then carry. */
function layer(x: Tensor, name: string, body: () => Value): Tensor {
  try {
    return x.with(x.builder.within({ scope: name }, body));
  } catch (error) {
    if (error instanceof RequestError) throw new RequestError(`layer ${name}: ${error.message}`, { cause: error });
    throw error;
  }
}

function parameter(x: Tensor, name: string, shape: readonly number[], initializer: Initializer): Value {
  if (x.builder.inputs.some((input) => input.name === name)) {
    throw new RequestError(`two layers would share the parameter ${name}; give each layer a name of its own`);
  }
  return x.builder.input({ dtype: 'float32', shape }, { name, role: 'parameter', initializer });
}

function requireRank(x: Tensor, rank: 2 | 4): void {
  if (x.shape.length === rank) return;
  const [axes, remedy] = rank === 4 ? ['(N, C, H, W)', 'reshape it first'] : ['(N, F)', 'flatten or pool it first'];
  throw new RequestError(`the input has the shape [${x.shape.join(', ')}], not ${axes}; ${remedy}`);
}

function requireCount(value: number, what: string, least: 0 | 1): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new RequestError(`${what} is ${value}; it must be a whole number, at least ${least}`);
}

function pair(extent: Extent, what: string, least: 0 | 1): Pair {
  const both: Pair = typeof extent === 'number' ? [extent, extent] : extent;
  for (const value of both) requireCount(value, what, least);
  return both;
}

function symmetricPads(padding: Extent): Pads {
  const [height, width] = pair(padding, 'padding', 0);
  return [height, width, height, width];
}

function poolWindow(
  layer: string,
  x: Tensor,
  options: PoolOptions,
): { readonly kernel: Pair; readonly stride: Pair; readonly pads: Pads } {
  checkTensors(layer, x);
  const { kernel, stride = kernel, padding = 0 } = checkOptions(layer, options, poolKinds);
  const window = { kernel: pair(kernel, 'kernel', 1), stride: pair(stride, 'stride', 1), pads: symmetricPads(padding) };
  if (2 * window.pads[0] > window.kernel[0] || 2 * window.pads[1] > window.kernel[1]) {
    throw new RequestError(`the padding ${window.pads[0]}×${window.pads[1]} is more than half of the pooling window`);
  }
  return window;
}

/** Numbers the dropouts of a network, so that each draws masks of its own. */
function dropoutsSoFar(x: Tensor): number {
  return x.builder.nodes.filter(({ operator }) => operator === 'dropout').length;
}
