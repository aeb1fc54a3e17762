/** @file The options of the DSL's layers, and the checks of what layers are given. */

import {
  aFlag,
  aName,
  aNumber,
  checkOptions,
  either,
  type Initializer,
  type Kind,
  type Kinds,
  listOf,
  must,
  type Pair,
  RequestError,
  show,
} from '../ir/index.js';
import { Tensor } from './tensor.js';

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
  /** Whether a bias is added; unlike in PyTorch there is none unless told, since batch norm takes it away again. */
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
  /** Whether a bias is added, as it is unless told. */
  readonly bias?: boolean;
  /** How the weight begins; by default uniform over ±1/√F, as in PyTorch. */
  readonly initializer?: Initializer;
}

export interface DropoutOptions {
  readonly name: string;
  /** Share of the elements that are zeroed, at least 0 and below 1. */
  readonly rate: number;
}

const anExtent = either(aNumber, {
  expects: 'two of them, [height, width]',
  accepts: (value) => listOf(aNumber).accepts(value) && (value as unknown[]).length === 2,
});

/** The number of each kind of initializer. */
const initializerNumbers = { constant: 'value', normal: 'deviation', uniform: 'bound' } as const;

const anInitializer: Kind = {
  expects: "{ kind: 'constant', value }, { kind: 'normal', deviation } or { kind: 'uniform', bound }",
  accepts: (value) => {
    const { kind, ...numbers } = (value ?? {}) as Record<string, unknown>;
    const name = initializerNumbers[kind as keyof typeof initializerNumbers];
    return name !== undefined && Number.isFinite(numbers[name]) && Object.keys(numbers).length === 1;
  },
};

export const convKinds: Kinds<ConvOptions> = {
  name: must(aName),
  filters: must(aNumber),
  kernel: must(anExtent),
  stride: anExtent,
  padding: anExtent,
  groups: aNumber,
  bias: aFlag,
  initializer: anInitializer,
};
export const batchNormKinds: Kinds<BatchNormOptions> = { name: must(aName), epsilon: aNumber, momentum: aNumber };
export const linearKinds: Kinds<LinearOptions> = {
  name: must(aName),
  features: must(aNumber),
  bias: aFlag,
  initializer: anInitializer,
};
export const dropoutKinds: Kinds<DropoutOptions> = { name: must(aName), rate: must(aNumber) };
export const poolKinds: Kinds<PoolOptions> = { kernel: must(anExtent), stride: anExtent, padding: anExtent };

/** @throws RequestError when what a layer is given is no tensor or no options of it */
export function checkLayer<T extends { readonly name: string }>(
  layer: string,
  x: Tensor,
  options: T,
  kinds: Kinds<T>,
): T {
  const name: unknown = options?.name;
  const what = typeof name === 'string' && name !== '' ? `${layer} ${name}` : layer;
  checkTensors(what, x);
  return checkOptions(what, options, kinds);
}

/** @throws RequestError when a layer is given something else than tensors of one network */
export function checkTensors(layer: string, ...tensors: readonly Tensor[]): void {
  for (const [index, tensor] of tensors.entries()) {
    const which = tensors.length === 1 ? 'the input' : `input ${index + 1}`;
    if (!(tensor instanceof Tensor)) {
      throw new RequestError(
        `${layer}: ${which} is ${show(tensor)}; it must be a tensor: the images that forward is given, or what a layer returns`,
      );
    }
    if (tensor.builder !== tensors[0]?.builder) {
      throw new RequestError(`${layer}: ${which} is of another network; use tensors of one call of forward only`);
    }
  }
}

/** A size of a shape: a number, or the batch size or a multiple of it. */
export function isExtent(extent: unknown): boolean {
  if (typeof extent === 'string') return /^([1-9]\d*\*)?N$/.test(extent);
  return Number.isSafeInteger(extent) && (extent as number) >= 1;
}
