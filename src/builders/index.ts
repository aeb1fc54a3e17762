/** @file The DSL: tensors, layers, networks and the DenseNet family. */

export * from './densenet.js';
export * from './initialize.js';
export * from './layers.js';
export * from './network.js';
export * from './tensor.js';
