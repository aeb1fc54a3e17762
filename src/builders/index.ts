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
export * from './network.js';
export * from './tensor.js';
