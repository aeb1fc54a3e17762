/** @file The library: describe a network in the DSL, compile it, train it, export it, label images with it. */

import './runtime/session/telemetry.js';

export * from './builders/index.js';
export { type Compiled, type CompileOptions, compile, compileGraph } from './compile.js';
export { inferenceGraph } from './inference.js';
export {
  DensecError,
  FailureError,
  type FloatTensor,
  floatTensor,
  type Graph,
  int64Tensor,
  type Node,
  type PrintOptions,
  parseGraph,
  printGraph,
  RequestError,
  type TensorData,
  traitsOf,
} from './ir/index.js';
export { type MemoryPlan, planMemory } from './memory/plan.js';
export { encodeGraph } from './onnx/index.js';
export type { Freeze } from './passes/freeze.js';
export type { Layout } from './passes/layout.js';
export {
  type AdamOptions,
  type AdamwOptions,
  defaultOptimizer,
  type OptimizerChoice,
  type OptimizerName,
  type OptimizerOptions,
  type RmspropOptions,
  type SgdOptions,
} from './passes/optimizers/index.js';
export type { PackedTensor, Segment } from './passes/pack-state.js';
export {
  type BudgetProgress,
  type Certificate,
  loadSolver,
  type MemoryBudget,
  type RematChoice,
  type RematName,
  type RematNode,
  type RematPolicy,
  type RematProblem,
  type RematSolver,
  recomputeCheap,
  type Shipment,
} from './passes/solvers/index.js';
export { type Bundle, openBundle, writeBundle } from './runtime/bundle/bundle.js';
export type { Manifest } from './runtime/bundle/manifest.js';
export { forwardGraph } from './runtime/bundle/replan.js';
export { type ArrayDatasetOptions, arrayDataset, type LabelledImages } from './runtime/data/arrays.js';
export { balancedPositives, balancedWeights } from './runtime/data/balance.js';
export { type Augment, type Batch, type BatchFormat, createBatch, makeBatch } from './runtime/data/batches.js';
export {
  type Augmentation,
  type Dataset,
  type DatasetOptions,
  type FileSplit,
  type KnownData,
  loadDataset,
  type Normalization,
  type PixelSplit,
  type Split,
} from './runtime/data/dataset.js';
export type { DataDescription } from './runtime/data/description.js';
export { loadBatch } from './runtime/data/file-batches.js';
export type { BatchesRequest, BatchSource, ImageCounts, RunPart } from './runtime/data/source.js';
export { exportModel } from './runtime/deploy/export.js';
export { type LabelledImage, labelBatch, labelFiles, type NamedValue } from './runtime/deploy/label.js';
export { type Candidate, Predictor } from './runtime/deploy/predictor.js';
export { readSafetensors, writeSafetensors } from './runtime/files/safetensors.js';
export type { ClassError, ConfusedPair, Confusion } from './runtime/model/metrics/confusion.js';
export type { Metrics, NamedFigures, OutputFigures } from './runtime/model/metrics/index.js';
export { type EvaluatedBatch, EvaluationModel, TrainingModel } from './runtime/model/model.js';
export { readState } from './runtime/model/state.js';
export {
  type LoadedWeights,
  loadInitialWeights,
  loadWeights,
  matchWeights,
  type State,
  type TensorMismatch,
  type WeightsMatch,
} from './runtime/model/weights.js';
export type { Evaluation } from './runtime/run/evaluation.js';
export type { ResultEvent, TrainContext, TrainEvent } from './runtime/run/events.js';
export type { ScheduleFunction, ScheduleMoment } from './runtime/run/learning-rate.js';
export type { TrainOptions } from './runtime/run/options.js';
export { type EvaluateOptions, type RunOptions, Trainer, type TrainerOptions } from './runtime/run/trainer.js';
export { train } from './runtime/run/training-loop.js';
export type { SessionOptions } from './runtime/session/session.js';
export type { Task } from './step/tasks.js';
export type { KernelsName, TargetName } from './targets/index.js';
export { version } from './version.js';
