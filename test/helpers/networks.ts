/** @file Random small networks in the DSL, for fast-check: plain data that shrinks, and the network it describes. */

import fc from 'fast-check';
import {
  add,
  averagePool2d,
  batchNorm,
  concat,
  conv2d,
  dropout,
  flatten,
  globalAveragePool,
  linear,
  maxPool2d,
  type Network,
  relu,
  type Tensor,
} from '../../src/builders/index.js';
import type { Pair } from '../../src/ir/index.js';

interface WindowSpec {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

type LayerSpec =
  | ({ readonly kind: 'conv'; readonly width: number; readonly groups: number; readonly bias: boolean } & WindowSpec)
  | { readonly kind: 'norm' | 'relu' }
  | { readonly kind: 'dropout'; readonly rate: number }
  | ({ readonly kind: 'averagePool' | 'maxPool' } & WindowSpec)
  /** A dense block; what it began with may be added to what its last layer gives, past all batch norms. */
  | { readonly kind: 'dense'; readonly layers: number; readonly growth: number; readonly residual: boolean }
  /** Joins the tensor with an earlier one that fits. */
  | { readonly kind: 'concat' | 'add'; readonly partner: number };

/** A network and a batch for it. */
export interface NetworkSpec {
  readonly image: readonly [channels: number, height: number, width: number];
  readonly layers: readonly LayerSpec[];
  readonly head: 'pool' | 'flatten';
  readonly classes: number;
  readonly batchSize: number;
}

const pairOf = (least: number, most: number): fc.Arbitrary<Pair> =>
  fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }));

const window = { kernel: pairOf(1, 3), stride: pairOf(1, 2), padding: pairOf(0, 2) };

const layer: fc.Arbitrary<LayerSpec> = fc.oneof(
  fc.record({
    kind: fc.constant('conv' as const),
    width: fc.integer({ min: 1, max: 4 }),
    groups: fc.integer({ min: 1, max: 4 }),
    bias: fc.boolean(),
    ...window,
  }),
  fc.record({ kind: fc.constantFrom('norm' as const, 'relu' as const) }),
  fc.record({ kind: fc.constant('dropout' as const), rate: fc.constantFrom(0, 0.25, 0.5) }),
  fc.record({ kind: fc.constantFrom('averagePool' as const, 'maxPool' as const), ...window }),
  fc.record({
    kind: fc.constant('dense' as const),
    layers: fc.integer({ min: 2, max: 5 }),
    growth: fc.integer({ min: 1, max: 2 }),
    residual: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('concat' as const, 'add' as const), partner: fc.nat(20) }),
);

/** Networks of up to ten layers over images of a few pixels. */
export const networkSpecs: fc.Arbitrary<NetworkSpec> = fc.record({
  image: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })),
  layers: fc.array(layer, { minLength: 1, maxLength: 10, size: 'max' }),
  head: fc.constantFrom('pool' as const, 'flatten' as const),
  classes: fc.integer({ min: 2, max: 4 }),
  batchSize: fc.integer({ min: 2, max: 4 }),
});

/** The network that a description stands for; what doesn't fit is made to. */
export function networkOf({ image, layers, head, classes }: NetworkSpec): Network {
  return {
    name: 'random',
    inputShape: image,
    classes,
    forward(images) {
      const tensors = [images];
      for (const [index, spec] of layers.entries()) tensors.push(apply(spec, tensors, `layer${index}`));
      const last = tensors.at(-1) as Tensor;
      const features = head === 'pool' ? globalAveragePool(last) : flatten(last);
      return linear(features, { name: 'head', features: classes });
    },
  };
}

function apply(spec: LayerSpec, tensors: readonly Tensor[], name: string): Tensor {
  const x = tensors.at(-1) as Tensor;
  switch (spec.kind) {
    case 'conv': {
      const groups = x.dim(1) % spec.groups === 0 ? spec.groups : 1;
      const { kernel, stride, padding } = fitted(spec, x);
      return conv2d(x, { name, filters: groups * spec.width, kernel, stride, padding, groups, bias: spec.bias });
    }
    case 'norm':
      // Where a channel is constant, the usual 1e-5 would amplify rounding 300 times: a matter of its own test cases.
      return batchNorm(x, { name, epsilon: 0.01 });
    case 'relu':
      return relu(x);
    case 'dropout':
      return dropout(x, { name, rate: spec.rate });
    case 'averagePool':
    case 'maxPool': {
      const { kernel, stride, padding } = fitted(spec, x);
      const half: Pair = [Math.min(padding[0], kernel[0] >> 1), Math.min(padding[1], kernel[1] >> 1)];
      return (spec.kind === 'maxPool' ? maxPool2d : averagePool2d)(x, { kernel, stride, padding: half });
    }
    case 'dense':
      return denseBlock(x, spec, name);
    case 'concat': {
      const partner = pick(tensors, spec.partner, (other) => [2, 3].every((axis) => other.dim(axis) === x.dim(axis)));
      return concat([partner, x]);
    }
    case 'add':
      return add(
        x,
        pick(tensors, spec.partner, (other) => [1, 2, 3].every((axis) => other.dim(axis) === x.dim(axis))),
      );
  }
}

function denseBlock(
  x: Tensor,
  { layers, growth, residual }: Extract<LayerSpec, { kind: 'dense' }>,
  name: string,
): Tensor {
  const features = [x];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `${name}.${layer}`;
    const squeezed = relu(batchNorm(concat(features), { name: `${prefix}.norm1`, epsilon: 0.01 }));
    const filters = layer === layers - 1 && residual ? x.dim(1) : growth;
    const made = conv2d(squeezed, { name: `${prefix}.conv1`, filters, kernel: 1 });
    features.push(layer === layers - 1 && residual ? add(made, x) : made);
  }
  return averagePoolIfEven(conv2d(relu(concat(features)), { name: `${name}.transition`, filters: 2, kernel: 1 }));
}

function averagePoolIfEven(x: Tensor): Tensor {
  const isEven = [2, 3].every((axis) => x.dim(axis) % 2 === 0);
  return isEven ? averagePool2d(x, { kernel: 2 }) : x;
}

/** A window no larger than the image. */
function fitted({ kernel, stride, padding }: WindowSpec, x: Tensor): WindowSpec {
  return { kernel: [Math.min(kernel[0], x.dim(2)), Math.min(kernel[1], x.dim(3))], stride, padding };
}

/** One of the tensors that fit; the last one always does. */
function pick(tensors: readonly Tensor[], choice: number, fits: (tensor: Tensor) => boolean): Tensor {
  const candidates = tensors.filter(fits);
  return candidates[choice % candidates.length] as Tensor;
}
