/** @file What each attribute of each operator may hold, for graphs that are read from text. */

import { isDim, type Shape } from '../shape.js';
import { bytesPerElement, type DType, type TensorData } from '../tensor-data.js';
import type { OperatorAttributes, OperatorName, Pads, Pair } from './attributes.js';

/** The check of an attribute's value, and in words what it asks for. */
export interface AttributeKind<T = unknown> {
  readonly expected: string;
  /** Whether a node may lack the attribute. */
  readonly optional: boolean;
  accepts(value: unknown): value is T;
}

type Kind<T, Optional extends boolean> = AttributeKind<T> & { readonly optional: Optional };

type KindsOf<A> = {
  readonly [K in keyof A]-?: Kind<Exclude<A[K], undefined>, Record<never, never> extends Pick<A, K> ? true : false>;
};

function kind<T>(expected: string, accepts: (value: unknown) => boolean): Kind<T, false> {
  return { expected, optional: false, accepts: (value): value is T => accepts(value) };
}

function optional<T>(required: Kind<T, false>): Kind<T, true> {
  return { ...required, optional: true };
}

function list<T>(expected: string, isItem: (value: unknown) => boolean, length?: number): Kind<T, false> {
  return kind(
    expected,
    (value) => Array.isArray(value) && (length === undefined || value.length === length) && value.every(isItem),
  );
}

function oneOf<T extends string>(...words: readonly T[]): Kind<T, false> {
  return kind(words.join(' or '), (value) => words.some((word) => word === value));
}

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value);

const flag = kind<boolean>('true or false', (value) => typeof value === 'boolean');
const yes = kind<true>('true', (value) => value === true);
const real = kind<number>('a number', (value) => typeof value === 'number');
const whole = kind<number>('a whole number', isWhole);
const wholes = list<readonly number[]>('whole numbers in brackets', isWhole);
const pair = list<Pair>('two whole numbers in brackets', isWhole, 2);
const pads = list<Pads>('four whole numbers in brackets', isWhole, 4);
const bits = list<readonly (0 | 1)[]>('zeros and ones in brackets', (value) => value === 0 || value === 1);
const shape = list<Shape>('extents in brackets', isDim);
const dtype = oneOf(...(Object.keys(bytesPerElement) as DType[]));
const own = oneOf('own');
const tensor = kind<TensorData>(
  'a tensor such as [2](0.5, 1)',
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);

const none = {};
const reduction = { axes: wholes, keepDims: flag };
const convolution = { stride: pair, pads, groups: whole };
const window = { kernel: pair, stride: pair, pads };
const epsilon = { epsilon: real };
const smoothing = { smoothing: optional(real) };

/** The attributes of every operator; a missing one fails the type check. */
export const attributeKinds: { readonly [K in OperatorName]: KindsOf<OperatorAttributes[K]> } = {
  add: none,
  sub: none,
  mul: none,
  div: none,
  equal: none,
  greater: none,
  minimum: none,
  clip: none,
  neg: none,
  exp: none,
  log: none,
  sqrt: none,
  reciprocal: none,
  relu: none,
  hardSigmoid: { alpha: real, beta: real },
  cast: { to: dtype },
  where: none,
  constant: { value: tensor },
  reshape: { shape },
  after: none,
  copy: none,
  head: none,
  expand: { shape },
  transpose: { permutation: wholes },
  concat: { axis: whole, as: optional(oneOf('group', 'part')), kernel: optional(own) },
  split: { axis: whole, sizes: wholes, kernel: optional(own) },
  slice: { axes: wholes, starts: wholes, ends: wholes, steps: wholes },
  reverse: { axes: wholes },
  pad: { pads: wholes },
  scatterAdd: none,
  shape: { start: whole, end: whole },
  sizeOf: { shape },
  range: none,
  reduceSum: reduction,
  reduceMean: reduction,
  reduceMax: reduction,
  argMax: { axis: whole },
  matMul: { transposeA: flag, transposeB: flag },
  conv2d: convolution,
  conv2dAdd: convolution,
  fusedConv2d: { ...convolution, adds: flag, relu: flag },
  convTranspose2d: { ...convolution, outputPadding: pair },
  conv2dInputGrad: { ...convolution, inputShape: shape },
  conv2dWeightGrad: { ...convolution, kernel: pair },
  im2col: { ...window, mirrored: optional(yes) },
  maxPool2d: window,
  maxPool2dGrad: { inputShape: shape },
  averagePool2d: window,
  averagePool2dGrad: { ...window, inputShape: shape },
  batchNorm: { epsilon: real, momentum: real },
  batchStatistics: none,
  center: epsilon,
  normalizer: epsilon,
  normalize: epsilon,
  affine: none,
  normalizable: epsilon,
  affineRelu: { relu: flag },
  affineReluGrad: { relu: flag, accumulates: bits },
  centerGrad: epsilon,
  channelSums: none,
  allReduce: { index: whole },
  reluGrad: none,
  dropout: { rate: real, key: whole },
  dropoutMask: { rate: real, key: whole, shape },
  crossEntropy: smoothing,
  crossEntropyGrad: smoothing,
  binaryCrossEntropy: none,
  binaryCrossEntropyGrad: none,
  countErrors: none,
};
