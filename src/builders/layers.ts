/**
 * @file The layers of the DSL. Each takes tensors (N, C, H, W) or (N, F) and returns one; layers with weights take
 * a `name`, which prefixes their parameters: `conv0` gives `conv0.weight`, as PyTorch would.
 */

import {
  type Initializer,
  InternalError,
  type Pads,
  type Pair,
  RequestError,
  type Shape,
  type Value,
} from '../ir/index.js';
import type { Tensor } from './tensor.js';

/** One extent for both axes, or height and width. */
export type Extent = number | Pair;

export interface ConvOptions {
  /** Prefix of the parameters `weight` (O, C / groups, kH, kW) and `bias` (O). */
  readonly name: string;
  /** Output channels O. */
  readonly filters: number;
  readonly kernel: Extent;
  readonly stride?: Extent;
  /** Zero padding at both ends of each axis. */
  readonly padding?: Extent;
  readonly groups?: number;
  readonly bias?: boolean;
  /** How the weight begins; by default normal with deviation √(2 / (O·kH·kW)), as DenseNet's authors do. */
  readonly initializer?: Initializer;
}

export interface PoolOptions {
  readonly kernel: Extent;
  /** By default the kernel's extents. */
  readonly stride?: Extent;
  readonly padding?: Extent;
}

export interface BatchNormOptions {
  readonly name: string;
  /** Added to the variance; 1e-5 as in PyTorch. */
  readonly epsilon?: number;
  /** Share of a new batch in the running statistics; 0.1 as in PyTorch. */
  readonly momentum?: number;
}

export interface LinearOptions {
  /** Prefix of the parameters `weight` (O, F) and `bias` (O). */
  readonly name: string;
  /** Outputs O. */
  readonly features: number;
  readonly bias?: boolean;
  /** How the weight begins; by default uniform over ±1/√F, as in PyTorch. */
  readonly initializer?: Initializer;
}

/**
 * 2-D convolution (N, C, H, W) → (N, filters, H′, W′) with H′ = ⌊(H + 2·padding − kernel) / stride⌋ + 1.
 * @throws RequestError when the options don't fit the input
 */
export function conv2d(x: Tensor, options: ConvOptions): Tensor {
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
export function batchNorm(x: Tensor, { name, epsilon = 1e-5, momentum = 0.1 }: BatchNormOptions): Tensor {
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
export function linear(x: Tensor, { name, features, bias = true, initializer }: LinearOptions): Tensor {
  return layer(x, name, () => {
    requireRank(x, 2);
    requireCount(features, 'features', 1);
    const inputs = x.dim(1);
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
export function dropout(x: Tensor, { name, rate }: { readonly name: string; readonly rate: number }): Tensor {
  return layer(x, name, () => {
    if (!(rate >= 0 && rate < 1)) throw new RequestError(`the drop rate is ${rate}; it must be at least 0 and below 1`);
    return rate === 0 ? x.value : x.builder.emit('dropout', [x.value], { rate, key: dropoutsSoFar(x) });
  });
}

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return x.with(x.builder.emit('relu', [x.value], {}));
}

/** Sum of two tensors, broadcasting axes of extent 1. */
export function add(a: Tensor, b: Tensor): Tensor {
  return a.with(a.builder.emit('add', [a.value, b.value], {}));
}

/** Tensors side by side, by default along the channels. */
export function concat(parts: readonly Tensor[], axis = 1): Tensor {
  const [first] = parts;
  if (!first) throw new RequestError('concat needs at least one tensor');
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
  return x.with(x.builder.emit('averagePool2d', [x.value], poolWindow(options)));
}

/** Largest element of each window. */
export function maxPool2d(x: Tensor, options: PoolOptions): Tensor {
  const [largest] = x.builder.emitAll('maxPool2d', [x.value], poolWindow(options));
  if (!largest) throw new InternalError('maxPool2d has no output');
  return x.with(largest);
}

/** Average over height and width: (N, C, H, W) → (N, C). */
export function globalAveragePool(x: Tensor): Tensor {
  requireRank(x, 4);
  return x.with(x.builder.emit('reduceMean', [x.value], { axes: [2, 3], keepDims: false }));
}

/** The same elements under another shape; keep `N` where the batch size stood. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return x.with(x.builder.emit('reshape', [x.value], { shape }));
}

/** (N, …) → (N, F), F the number of elements of a sample. */
export function flatten(x: Tensor): Tensor {
  const [samples, ...rest] = x.shape;
  if (samples === undefined) throw new RequestError('flatten needs a batch axis');
  const features = rest.reduce<number>((product, _, index) => product * x.dim(index + 1), 1);
  return reshape(x, [samples, features]);
}

/** Mean over the batch of the cross-entropy of softmax(logits) (N, K) with integer labels (N). */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const [loss] = logits.builder.emitAll('crossEntropy', [logits.value, labels.value], {});
  if (!loss) throw new InternalError('crossEntropy has no output');
  return logits.with(loss);
}

/** Number of samples whose largest logit is not at their label, a scalar. */
export function countErrors(logits: Tensor, labels: Tensor): Tensor {
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

function poolWindow({ kernel, stride = kernel, padding = 0 }: PoolOptions): { kernel: Pair; stride: Pair; pads: Pads } {
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
