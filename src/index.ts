/** @file The library: describe a network in the DSL, compile it, train it. */

export * from './builders/index.js';
export { type Compiled, type CompileOptions, compile, defaultOptimizer } from './compile.js';
export { DensecError, FailureError, type Graph, printGraph, RequestError, type TensorData } from './ir/index.js';
export { encodeGraph } from './onnx/index.js';
export type { TargetName } from './passes/lowering/index.js';
export { type Bundle, openBundle, writeBundle } from './runtime/bundle.js';
export { type Batch, makeBatch } from './runtime/data/batches.js';
export { type Dataset, loadDataset, type Split } from './runtime/data/dataset.js';
export { EvaluationModel, TrainingModel } from './runtime/model.js';
export { readSafetensors, writeSafetensors } from './runtime/safetensors.js';
export { readState, type State } from './runtime/state.js';
export { type TrainContext, type TrainEvent, type TrainOptions, train } from './runtime/train.js';
export { version } from './version.js';
