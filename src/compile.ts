/** @file The compiler from end to end: a network in the DSL becomes a training graph and an evaluation graph. */

import { initialize, type Network, traceNetwork } from './builders/index.js';
import {
  aCount,
  aFunction,
  anObject,
  aSeed,
  aText,
  checkOptions,
  either,
  type Graph,
  type GraphInput,
  int64Tensor,
  type Kinds,
  listOf,
  oneOf,
  RequestError,
  staticShape,
  type TensorData,
} from './ir/index.js';
import { plannedLiveBytes, type Schedule, schedule } from './memory/schedule.js';
import { accumulate } from './passes/accumulate.js';
import { dropUnits, elideExpand, mergeReshapes, removeDeadCode, shareSubexpressions } from './passes/clean.js';
import { differentiate } from './passes/differentiate.js';
import { distributeConcat, shareStatistics } from './passes/distribute-concat.js';
import { foldCenter } from './passes/fold-center.js';
import { type Freeze, freezeParameters } from './passes/freeze.js';
import { elideNormalizable, fuseAffine } from './passes/fuse-affine.js';
import { fuseConvolutions } from './passes/fuse-convolutions.js';
import { groupFeatures, groupManyFeatures } from './passes/group-features.js';
import { rematerializeBelowPeak } from './passes/keep-free.js';
import { lower } from './passes/lower.js';
import { type KernelsName, type Target, type TargetName, targetOf } from './passes/lowering/index.js';
import { evaluationMode, leastBatchSize, trainingMode } from './passes/modes.js';
import { optimize } from './passes/optimize.js';
import {
  correctionNames,
  type OptimizerChoice,
  type OptimizerOptions,
  resolveOptimizer,
} from './passes/optimizer-options.js';
import { packState, planSegments, type Segment } from './passes/pack-state.js';
import { type Pass, runPasses } from './passes/pass.js';
import { pinOrder } from './passes/pin-order.js';
import { type RematName, type RematPolicy, remats } from './passes/policies.js';
import { poolFirst } from './passes/pool-first.js';
import { stackOperands, stackParts } from './passes/stack.js';
import { stackExpressions } from './passes/stack-expressions.js';
import { sumAffine } from './passes/sum-affine.js';
import { freezeUnused, warnUnused } from './passes/unused-parameters.js';
import { updateEarly } from './passes/update-early.js';

/** What to compile a network for. */
export interface CompileOptions {
  readonly target?: TargetName;
  /** Whether the training step may use operators of our own (`cudnn`, for the target cuda); by default ONNX's only. */
  readonly kernels?: KernelsName;
  readonly optimizer?: OptimizerChoice;
  /** What to compute again instead of keeping it: a named policy or one's own. */
  readonly remat?: RematName | RematPolicy;
  /** Parameters not to train, by the beginnings of their names or by a predicate; see `freezeParameters`. */
  readonly freeze?: Freeze | undefined;
  /** Seeds the initial parameters. */
  readonly seed?: number;
  /** Largest segment of packed state, in bytes; 0 keeps every tensor an input of its own. */
  readonly segmentBytes?: number;
  /** Told of the graph after each pass. */
  readonly observe?: (pass: Pass, graph: Graph) => void;
}

/** What `compile` takes, option by option. */
export const compileKinds: Kinds<CompileOptions> = {
  target: oneOf('cpu', 'cuda', 'webgpu'),
  kernels: oneOf('plain', 'cudnn'),
  optimizer: anObject,
  remat: either(oneOf(...Object.keys(remats)), { ...aFunction, expects: 'a function of a node' }),
  freeze: either(listOf(aText), { ...aFunction, expects: "a function of a parameter's name" }),
  seed: aSeed,
  segmentBytes: aCount(0),
  observe: aFunction,
};

/** A compiled network. */
export interface Compiled {
  /** One step: batch and state in, loss, errors, logits and the next state out. */
  readonly training: Graph;
  /** Loss, errors and logits with the running statistics. */
  readonly evaluation: Graph;
  /** How the runtime will execute each of the two. */
  readonly schedules: { readonly training: Schedule; readonly evaluation: Schedule };
  /** The forward pass as traced, before any pass. */
  readonly forward: Graph;
  /** How the state's tensors lie in the graphs' inputs. */
  readonly segments: readonly Segment[];
  /** The state to begin with: parameters, running statistics and counters by name. */
  readonly initial: ReadonlyMap<string, TensorData>;
  readonly target: TargetName;
  readonly kernels: KernelsName;
  /** What is recomputed: the policy's name, or `custom` for one's own. */
  readonly remat: RematName | 'custom';
  readonly optimizer: OptimizerOptions;
  /** Smallest batch that can be trained on. */
  readonly leastBatchSize: number;
  /** What people should know of the network, as parameters that the loss doesn't depend on; for them to read. */
  readonly warnings: readonly string[];
}

/**
 * Compiles a network into its training step and its evaluation.
 * @throws RequestError when the network's shapes don't fit or an option is out of range
 */
export function compile(network: Network, given: CompileOptions = {}): Compiled {
  const options = checkOptions('compile', given, compileKinds);
  const kernels = options.kernels ?? 'plain';
  const target = targetOf(options.target ?? 'cpu', kernels);
  const optimizer = resolveOptimizer(options.optimizer);
  const traced = runPasses(traceNetwork(network), options.freeze ? [freezeParameters(options.freeze)] : []);
  if (!traced.inputs.some(({ role }) => role === 'parameter')) {
    throw new RequestError(`the network ${network.name} has no parameters to train`);
  }
  const { graph: forward, unused } = freezeUnused(traced);
  const { decayNormBias } = optimizer;
  const packed = planSegments(forward, { segmentBytes: options.segmentBytes, decayNormBias });
  const segments = [...packed, ...optimizerSegments(optimizer)];
  const clean = [removeDeadCode, shareSubexpressions];
  const fuse = target.fusedConvolution ? [fuseConvolutions] : [];
  const center = foldCenter(target.fusedConvolution);
  const lowering = [elideExpand, lower(target), center, ...fuse];
  const finish = (lowered: Target): Pass[] => [
    elideExpand,
    lower(lowered),
    dropUnits,
    center,
    stackExpressions,
    stackOperands,
    stackParts,
    mergeReshapes,
    removeDeadCode,
    shareSubexpressions,
    ...fuse,
  ];
  const policy = typeof options.remat === 'function' ? options.remat : remats[options.remat ?? 'none'];
  const fused = target.kernels.has('affineRelu');
  const share = fused
    ? [poolFirst, groupManyFeatures, shareStatistics, fuseAffine]
    : [poolFirst, groupFeatures, distributeConcat];
  const derive = fused ? [differentiate, elideNormalizable, accumulate] : [differentiate];
  const remat = rematerializeBelowPeak(policy, [removeDeadCode, ...lowering], plannedLiveBytes);
  const memory = [removeDeadCode, sumAffine, ...clean, remat, removeDeadCode, pinOrder];
  const training = [
    trainingMode,
    ...clean,
    ...share,
    ...clean,
    ...derive,
    ...memory,
    packState(packed),
    optimize(optimizer, packed),
    ...finish(target),
    updateEarly,
  ];
  const evaluation = [evaluationMode, ...clean, packState(packed), ...finish(targetOf(target.name))];
  const schedules = {
    training: schedule(runPasses(forward, training, options.observe)),
    evaluation: schedule(runPasses(forward, evaluation, options.observe)),
  };
  return {
    training: schedules.training.graph,
    evaluation: schedules.evaluation.graph,
    schedules,
    forward,
    segments,
    initial: initialState(forward, options.seed ?? 0),
    target: target.name,
    kernels,
    remat: typeof options.remat === 'function' ? 'custom' : (options.remat ?? 'none'),
    optimizer,
    leastBatchSize: leastBatchSize(forward),
    warnings: warnUnused(network.name, unused),
  };
}

/** The scalars that an optimizer keeps beside what it keeps of each parameter. */
function optimizerSegments({ kind }: OptimizerOptions): Segment[] {
  if (kind !== 'adamw') return [];
  return correctionNames.map((name) => {
    const tensors = [{ name, shape: [1], offset: 0 }];
    return { name, role: 'optimizer', dtype: 'float32', length: 1, tensors };
  });
}

/** The state that a graph's inputs describe. */
function initialState(graph: Graph, seed: number): ReadonlyMap<string, TensorData> {
  const state = new Map<string, TensorData>();
  for (const input of graph.inputs) {
    if (input.role === 'parameter' || input.role === 'running') state.set(input.name, initialTensor(input, seed));
    if (input.role === 'counter') state.set(input.name, int64Tensor([], [0]));
  }
  return state;
}

function initialTensor(input: Extract<GraphInput, { initializer: unknown }>, seed: number): TensorData {
  return initialize(input.initializer, staticShape(input.value.type.shape, input.name), seed, input.name);
}
