/** @file The compiler from end to end: a network in the DSL becomes a training graph and an evaluation graph. */

import { checkForward, initialize, lossOfNetwork, type Network, traceNetwork } from './builders/index.js';
import { aLoss, checkLoss, type LossChoice, type LossOptions, resolveLoss, taskOf } from './builders/losses/index.js';
import { checkKernels } from './check-kernels.js';
import {
  aCount,
  aFlag,
  aFunction,
  anObject,
  aSeed,
  asSources,
  aText,
  bytesOfType,
  checkOptions,
  either,
  findOutput,
  type Graph,
  type GraphInput,
  int64Tensor,
  type Kinds,
  listOf,
  type Node,
  oneOf,
  RequestError,
  staticShape,
  type TensorData,
  traitsOf,
} from './ir/index.js';
import { comparePeaks, largestBatch, type PeakLine } from './memory/peak-lines.js';
import { type Schedule, schedule } from './memory/schedule.js';
import { type Freeze, freezeParameters } from './passes/freeze.js';
import { type Layout, usualLayout } from './passes/layout.js';
import { leastBatchSize } from './passes/modes.js';
import { optimize } from './passes/optimize.js';
import {
  type OptimizerChoice,
  type OptimizerOptions,
  optimizerSegments,
  resolveOptimizer,
} from './passes/optimizers/index.js';
import { packState, planSegments, type Segment } from './passes/pack-state.js';
import { type Pass, runPasses } from './passes/pass.js';
import { numberCollectives, reduceAcrossProcesses } from './passes/reduce-across-processes.js';
import { rematerialize } from './passes/rematerialize.js';
import {
  byPredicate,
  type Certificate,
  type MemoryBudget,
  type RematName,
  type RematPolicy,
  type RematProblem,
  type RematSolver,
  rematProblem,
  solve,
  solvers,
  withinBudget,
} from './passes/solvers/index.js';
import { differentiation, evaluation, lowering, ordering, type ProcessesMode } from './passes/stages.js';
import { freezeUnused, warnUnused } from './passes/unused-parameters.js';
import { updateEarly } from './passes/update-early.js';
import { reservedPrefix, resultOutputs } from './step/interface.js';
import type { Task } from './step/tasks.js';
import { type Costs, checkCosts, type KernelsName, type Target, type TargetName, targetOf } from './targets/index.js';

/** What to compile a network for. */
export interface CompileOptions {
  readonly target?: TargetName;
  /** Whether the training step may use operators of our own (`cudnn`, for the target cuda); by default ONNX's only. */
  readonly kernels?: KernelsName;
  readonly optimizer?: OptimizerChoice;
  /** What training makes small, instead of the network's own choice; the cross-entropy where there is neither. */
  readonly loss?: LossChoice | undefined;
  /** What to compute again instead of keeping it: a named policy or one's own. */
  readonly remat?: RematName | RematPolicy;
  /** A solver of one's own that makes that choice, in place of `remat`. */
  readonly solver?: RematSolver;
  /** The most memory that the step may take, in place of both: the fastest plan within it. Await `loadSolver()` before. */
  readonly memory?: MemoryBudget;
  /**
   * What nodes cost, by which a budget's plan and a solver of one's own are chosen; by default the target's own table, which is
   * the same on every machine. `readCalibration` and `calibrate` give one of a machine. Named policies don't look at it.
   */
  readonly costs?: Costs | undefined;
  /** Parameters not to train, by the beginnings of their names or by a predicate; see `freezeParameters`. */
  readonly freeze?: Freeze | undefined;
  /**
   * Whether the training step is for several processes (MPI), each with a share of the batch: gradients and running statistics
   * are summed over them by operators of our own. By default it is for one, and has none of that.
   */
  readonly processes?: boolean;
  /** Whether batch norm normalizes by the images of all processes, not each process by its own. */
  readonly syncBatchNorm?: boolean;
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
  loss: aLoss,
  remat: either(oneOf(...Object.keys(solvers)), { ...aFunction, expects: 'a function of a node' }),
  solver: aFunction,
  memory: anObject,
  costs: anObject,
  freeze: either(listOf(aText), { ...aFunction, expects: "a function of a parameter's name" }),
  processes: aFlag,
  syncBatchNorm: aFlag,
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
  /** The forward pass as traced, frozen parameters marked, before any pass; compiled again, it gives the same. */
  readonly forward: Graph;
  /** The largest segment, where one was asked for. */
  readonly segmentBytes?: number | undefined;
  /** How the state's tensors lie in the graphs' inputs. */
  readonly segments: readonly Segment[];
  /** The state to begin with: parameters, running statistics and counters by name. */
  readonly initial: ReadonlyMap<string, TensorData>;
  readonly target: TargetName;
  readonly kernels: KernelsName;
  /** The table of costs by which it was chosen what to compute again, and times are modelled. */
  readonly costs: Costs;
  /** Whether the training step is one of several processes. */
  readonly processes: boolean;
  /** Whether batch norm normalizes by the images of all of them. */
  readonly syncBatchNorm: boolean;
  /** What is recomputed: the policy's name, `custom` for a policy or solver of one's own, `budget` within a memory budget. */
  readonly remat: RematName | 'custom' | 'budget';
  /** Positions in the differentiated graph of the nodes that are computed again: with them the same is compiled again. */
  readonly recomputed: readonly number[];
  /** How the differentiated graph is laid out; other than usual only within a budget. */
  readonly layout: Layout;
  /** For a plan within a memory budget, what is proven of it. */
  readonly certificate?: Certificate;
  readonly optimizer: OptimizerOptions;
  readonly loss: LossOptions;
  /** What people should know: parameters that the loss doesn't depend on, and what was not done as asked, and why. */
  readonly warnings: readonly string[];
  /** Smallest batch that can be trained on. */
  readonly leastBatchSize: number;
}

/**
 * Compiles a network into its training step and its evaluation.
 * @throws RequestError when the network's shapes don't fit or an option is out of range
 */
export function compile(network: Network, options: CompileOptions = {}): Compiled {
  const { loss: told, ...rest } = checkOptions('compile', options, compileKinds);
  const forward = traceNetwork(network, told);
  return compileForward(forward, lossOfNetwork(network, told), rest);
}

/**
 * Compiles a forward graph: one as `traceNetwork` gives it, or that a bundle keeps. What it marks as frozen stays so.
 * @param given.loss which of the losses the graph has; without it, one of its own where it isn't the plain cross-entropy
 * @throws RequestError when the graph is no forward pass, the loss is one of another task, or an option is out of range
 */
export function compileGraph(traced: Graph, given: CompileOptions = {}): Compiled {
  const { loss: told, ...options } = checkOptions('compile', given, compileKinds);
  const { classes, task } = checkForward(traced);
  const loss = told === undefined ? lossOfGraph(traced, task) : resolveLoss(told);
  if (taskOf(loss) !== task) {
    throw new RequestError(
      `the graph ${traced.name} has targets for ${task}, but ${loss.kind} is a loss of ${taskOf(loss)}`,
    );
  }
  checkLoss(loss, classes, `the graph ${traced.name}`);
  return compileForward(traced, loss, options);
}

/** The plain cross-entropy where a graph has that; what else it may be is not told. */
function lossOfGraph(graph: Graph, task: Task): LossOptions {
  const { value } = findOutput(graph, resultOutputs.loss);
  const node = graph.nodes.find(({ outputs }) => outputs[0] === value);
  const isPlain =
    node?.operator === 'crossEntropy' && node.inputs.length === 2 && node.attributes.smoothing === undefined;
  return isPlain ? resolveLoss() : { kind: 'own', task };
}

/**
 * As `compileGraph`, with options that have been checked.
 * @param target other than the options' in some of its data, to see what these make
 */
export function compileForward(
  traced: Graph,
  loss: LossOptions,
  options: Omit<CompileOptions, 'loss'>,
  target: Target = targetOf(options.target ?? 'cpu', options.kernels, options.costs && checkCosts(options.costs)),
): Compiled {
  checkNames(traced);
  const { kernels = 'plain', processes = false, syncBatchNorm = false } = options;
  if (processes && loss.kind === 'cross-entropy' && loss.classWeights) {
    throw new RequestError(
      'class weights divide by the weights of the whole batch, of which a process sees its share only; leave them out, or train in one process',
    );
  }
  const optimizer = resolveOptimizer(options.optimizer);
  const { name: remat, solver } = rematOf(options);
  const run = (graph: Graph, passes: readonly Pass[]): Graph => runPasses(graph, passes, options.observe);

  const marked = runPasses(traced, options.freeze ? [freezeParameters(options.freeze)] : []);
  if (!marked.inputs.some(({ role }) => role === 'parameter')) {
    throw new RequestError(`the network ${traced.name} has no parameters to train`);
  }
  const { graph: forward, unused } = freezeUnused(marked);
  const { decayNormBias } = optimizer;
  const packed = planSegments(forward, { segmentBytes: options.segmentBytes, decayNormBias });

  const mode = processesMode(target, processes, syncBatchNorm);
  const [reduced, numbered] = processes ? [[reduceAcrossProcesses], [numberCollectives]] : [[], []];
  const update = [packState(packed), ...reduced, optimize(optimizer, packed)];
  const steps = new Map<RematProblem, (again: ReadonlySet<Node>) => Schedule>();
  const laidOut = memoized((layout: Layout): RematProblem => {
    const differentiated = run(asSources(forward), differentiation(target, layout, mode));
    const step = (again: ReadonlySet<Node>): readonly Pass[] => [
      rematerialize(again, layout.holdShare),
      ...[...ordering, ...update, ...lowering(target), updateEarly, ...numbered],
    ];
    const shipped = lastOf((again) => schedule(run(differentiated, step(again))));
    const problem = rematProblem(differentiated, target, {
      batchSize: options.memory?.batchSize,
      layout,
      inLayout: laidOut,
      ship(again) {
        const training = shipped(again);
        const { order, liveness } = training;
        return {
          nodes: order.map(({ node }) => node),
          liveBytes: (batchSize) => liveness(batchSize).timeline,
          largestBatch: (bytes) => largestBatch(training.livePeak, bytes),
        };
      },
    });
    steps.set(problem, shipped);
    return problem;
  });
  const { problem, again: chosen, isFinal, certificate } = solve(laidOut(usualLayout), solver);
  const step = steps.get(problem);
  if (!step)
    throw new RequestError(
      'the solver answers with a problem that it was not given; return that one, or one by inLayout',
    );
  const { training, again, warnings } = isFinal
    ? { training: step(chosen), again: chosen, warnings: [] }
    : atMostAll(step, chosen, problem, remat);

  const plain = targetOf(target.name);
  const evaluated = schedule(run(forward, [...evaluation, packState(packed), ...lowering(plain)]));
  checkKernels(training.graph, target);
  checkKernels(evaluated.graph, plain);
  return {
    training: training.graph,
    evaluation: evaluated.graph,
    schedules: { training, evaluation: evaluated },
    forward,
    segmentBytes: options.segmentBytes,
    segments: [...packed, ...optimizerSegments(optimizer)],
    initial: initialState(forward, options.seed ?? 0),
    target: target.name,
    kernels,
    costs: target.costs,
    processes,
    syncBatchNorm,
    remat,
    recomputed: problem.graph.nodes.flatMap((node, position) => (again.has(node) ? [position] : [])),
    layout: problem.layout,
    ...(certificate && { certificate }),
    optimizer,
    loss,
    warnings: [...warnUnused(traced.name, unused), ...warnings],
    leastBatchSize: leastBatchSize(forward),
  };
}

/** @throws RequestError where batch norm can't normalize by the images of all processes */
function processesMode({ name, kernels }: Target, processes: boolean, synchronized: boolean): ProcessesMode {
  if (!synchronized) return processes ? 'several' : 'one';
  if (!processes) {
    throw new RequestError(
      'batch norm is synchronized between several processes, and this step is for one; ask for both',
    );
  }
  if (name !== 'cpu' || kernels.size > 0) {
    throw new RequestError(
      `batch norm is synchronized on the target cpu only in this version, not on ${name}; leave it out, or build for the CPU`,
    );
  }
  return 'several, synchronized';
}

function rematOf({ remat, solver, memory }: CompileOptions): { name: Compiled['remat']; solver: RematSolver } {
  const given = Object.entries({ remat, solver, memory }).flatMap(([name, value]) =>
    value === undefined ? [] : [name],
  );
  if (given.length > 1)
    throw new RequestError(`compile: ${given.join(' and ')} each choose what is recomputed; give one`);
  if (memory) return { name: 'budget', solver: withinBudget(memory) };
  if (solver) return { name: 'custom', solver };
  if (typeof remat === 'function') return { name: 'custom', solver: byPredicate(remat) };
  return { name: remat ?? 'none', solver: solvers[remat ?? 'none'] };
}

/**
 * The step that computes a choice again; or the one that keeps everything, if at any batch size that takes less memory. The
 * latter is compiled only where what it keeps isn't clearly more.
 */
function atMostAll(
  step: (again: ReadonlySet<Node>) => Schedule,
  again: ReadonlySet<Node>,
  problem: RematProblem,
  remat: string,
): { training: Schedule; again: ReadonlySet<Node>; warnings: readonly string[] } {
  const training = step(again);
  if (again.size === 0) return { training, again, warnings: [] };
  const peaks = training.livePeak;
  const kept = scaled(bytesOfKeepingAll(training.graph, problem), clearlyLower);
  if (comparePeaks(peaks, [kept]).higherAt === undefined) return { training, again, warnings: [] };
  const all = step(new Set());
  const { higherAt, isLower } = comparePeaks(peaks, all.livePeak);
  if (higherAt === undefined && isLower) return { training, again, warnings: [] };
  const reason =
    higherAt === undefined
      ? 'the peak would be no lower'
      : `the peak would be higher, at batch size ${higherAt} for one`;
  return {
    training: all,
    again: new Set(),
    warnings: [`nothing is computed again in this network, though the policy ${remat} was asked for: ${reason}`],
  };
}

/** What a step has alive between its passes if it keeps all that the backward pass reads: that, and what it is given. */
function bytesOfKeepingAll({ inputs }: Graph, { candidates, batchSize }: RematProblem): PeakLine {
  const [one = 0, two = 0] = [1, 2].map((size) =>
    inputs.reduce((sum, { value }) => sum + bytesOfType(value.type, size), 0),
  );
  const kept = [...candidates.values()].filter(({ node, uses }) => uses.length > 0 && !traitsOf(node.operator).view);
  const perSample = kept.reduce((sum, { bytes }) => sum + bytes / batchSize, 0);
  return { fixed: 2 * one - two, perSample: two - one + perSample };
}

/** A function of a choice that remembers its last result: what a solver accepted is what ships. */
function lastOf(make: (again: ReadonlySet<Node>) => Schedule): typeof make {
  let last: { readonly again: ReadonlySet<Node>; readonly made: Schedule } | undefined;
  return (again) => {
    if (last?.again.size !== again.size || ![...again].every((node) => last?.again.has(node))) {
      // A solver may go on with the set that it asked about.
      last = { again: new Set(again), made: make(again) };
    }
    return last.made;
  };
}

/** A function of a layout that makes each once. */
function memoized(make: (layout: Layout) => RematProblem): typeof make {
  const made = new Map<string, RematProblem>();
  return (layout) => {
    const key = `${layout.parts} ${layout.holdShare}`;
    const known = made.get(key) ?? make(layout);
    made.set(key, known);
    return known;
  };
}

/** Share of such bytes below which a plan is lower than what keeps them: a lowered step keeps as much, but for masks. */
const clearlyLower = 0.9;

function scaled({ fixed, perSample }: PeakLine, factor: number): PeakLine {
  return { fixed: factor * fixed, perSample: factor * perSample };
}

/** @throws RequestError for a tensor whose name begins as those that a step gives to what it makes of others */
function checkNames({ name: network, inputs }: Graph): void {
  for (const { name, role } of inputs) {
    if (role !== 'parameter' && role !== 'running' && role !== 'counter') continue;
    const prefix = reservedPrefix(name);
    if (prefix === undefined) continue;
    throw new RequestError(
      `the network ${network} has a tensor ${name}, and names that begin with ${prefix} stand for what a step keeps or makes of other tensors; give the layer another name`,
    );
  }
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
