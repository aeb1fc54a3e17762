/** @file The DSL: tensors, layers, networks and the DenseNet family. */

export * from './densenet.js';
export { architectures, type DenseNetConfig, type DenseNetOptions, denseNetConfig } from './densenet-config.js';
export * from './initialize.js';
export type {
  BatchNormOptions,
  ConvOptions,
  DropoutOptions,
  Extent,
  LinearOptions,
  PoolOptions,
} from './layer-options.js';
export * from './layers.js';
export { absoluteError } from './losses/absolute-error.js';
export { type BinaryCrossEntropyOptions, binaryCrossEntropy } from './losses/binary-cross-entropy.js';
export { type CrossEntropyOptions, crossEntropy } from './losses/cross-entropy.js';
export { type HuberOptions, huber } from './losses/huber.js';
export type { LossChoice, LossName, LossOptions } from './losses/index.js';
export { squaredError } from './losses/squared-error.js';
export * from './network.js';
export * from './tensor.js';
