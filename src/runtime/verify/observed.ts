/** @file A bundle's plan, and what the runtime did with its training model at one level of optimization. */

import { readFile } from 'node:fs/promises';
import { bytesOfType, FailureError, type TensorType } from '../../ir/index.js';
import type { PlanRecord } from '../../memory/plan-record.js';
import { decodeModel, inputTypes, type Program, type ProgramNode, programOf } from '../../onnx/index.js';
import type { Bundle } from '../bundle/bundle.js';
import { rebuildAdvice } from '../bundle/rebuild.js';
import type { Batch } from '../data/batches.js';
import type { KernelEvent, KernelTensor } from '../measure/profile-reader.js';
import { profiled } from '../measure/runtime-profile.js';
import { TrainingModel } from '../model/model.js';
import type { State } from '../model/state.js';
import type { ArenaBytes } from '../session/model-session.js';
import type { SessionOptions } from '../session/session.js';
import type { OptimizationLevel } from '../session/session-choice.js';

/** The learning rate of every step that is taken to look at. */
export const learningRate = 0.1;

/** A bundle's plan and its training model as it is in the file. */
export interface Planned {
  readonly record: PlanRecord;
  readonly program: Program;
  readonly inputs: ReadonlyMap<string, TensorType>;
  /** The node that computes a value. */
  readonly producers: ReadonlyMap<string, ProgramNode>;
  /** Positions in the planned order, by each output of the nodes. */
  readonly positions: ReadonlyMap<string, number>;
  /** Values that the plan recomputes. */
  readonly recomputed: ReadonlySet<string>;
}

/** A node that ran, as the optimized model has it and as it was profiled. */
export interface ExecutedNode extends ProgramNode {
  readonly tensors: readonly KernelTensor[];
}

/** Steps that the runtime took. */
export interface Observed {
  readonly level: OptimizationLevel;
  readonly memoryPattern: boolean;
  readonly batchSize: number;
  /** The model as the runtime has optimized it, nodes by their index there. */
  readonly program: Program;
  readonly producers: ReadonlyMap<string, ProgramNode>;
  /** Each step's nodes in the order they ran. */
  readonly runs: readonly (readonly KernelEvent[])[];
  /** The last step's. */
  readonly executed: readonly ExecutedNode[];
  /** What the arena of the device said after the steps; null where it can't be asked. */
  readonly arena: ArenaBytes | null;
}

/** How to look. */
export interface ObserveOptions extends SessionOptions {
  readonly level: OptimizationLevel;
  readonly memoryPattern: boolean;
  readonly state: State;
  readonly batch: Batch;
  readonly disabledOptimizers?: readonly string[];
}

/** Reads a bundle's plan. @throws FailureError when the bundle is from before plans were kept */
export async function readPlanned(bundle: Bundle): Promise<Planned> {
  const { directory, manifest, training } = bundle;
  const record = manifest.plan;
  if (!record) {
    throw new FailureError(
      `${directory} was built by densec ${manifest.densec} and keeps no plan; to verify it, ${rebuildAdvice(bundle)}`,
    );
  }
  const model = decodeModel(await readFile(training), training);
  const program = programOf(model);
  const producers = producersOf(program);
  const positions = new Map<string, number>();
  for (const [position, name] of record.order.entries()) {
    for (const output of producers.get(name)?.outputs ?? [name]) positions.set(output, position);
  }
  const recompute = new Set(record.recompute);
  const recomputed = new Set([...positions].flatMap(([name, position]) => (recompute.has(position) ? [name] : [])));
  return { record, program, inputs: inputTypes(model), producers, positions, recomputed };
}

/** Takes a step with profiling on; two where the second takes its buffers by the first one's pattern. */
export async function observe(bundle: Bundle, options: ObserveOptions): Promise<Observed> {
  const { level, memoryPattern, state, batch, disabledOptimizers = [], ...session } = options;
  let arena: ArenaBytes | null = null;
  const { profile } = await profiled(async (files) => {
    const choice = { optimization: level, memoryPattern, disabledOptimizers, ...files };
    const model = await TrainingModel.open(bundle, state, session, choice);
    try {
      for (let step = 0; step < (memoryPattern ? 2 : 1); step++)
        await model.step(batch, { learningRate, step, seed: 0 });
      arena = await model.arena();
    } finally {
      await model.close();
    }
  });
  const { program, runs } = profile;
  const nodes = new Map(program.nodes.map((node) => [node.name, node]));
  const executed = (runs.at(-1) ?? []).map(({ name, outputs: tensors }): ExecutedNode => {
    const node = nodes.get(name);
    if (!node) throw new FailureError(`onnxruntime ran ${name}, which its optimized model doesn't have`);
    if (node.outputs.length !== tensors.length) {
      throw new FailureError(`onnxruntime's profile tells of ${tensors.length} outputs of ${name}, not of all`);
    }
    return { ...node, tensors };
  });
  const batchSize = batch.labels.data.length;
  return { level, memoryPattern, batchSize, program, producers: producersOf(program), runs, executed, arena };
}

/** Sizes of the element types that occur in our graphs, by the names that profiles have for them. */
const elementBytes: Readonly<Record<string, number>> = { float: 4, int64: 8, int32: 4, uint32: 4, bool: 1 };

/** Bytes of a tensor of a profile. @throws FailureError when its element type is none of ours */
export function tensorBytes({ type, shape }: KernelTensor): number {
  const size = elementBytes[type];
  if (size === undefined) throw new FailureError(`onnxruntime's profile has a tensor of the unknown type ${type}`);
  return shape.reduce((product, extent) => product * extent, size);
}

/** Bytes of a model's inputs for a batch size. */
export function inputBytes({ inputs }: Planned, batchSize: number): ReadonlyMap<string, number> {
  return new Map([...inputs].map(([name, type]) => [name, bytesOfType(type, batchSize)]));
}

function producersOf({ nodes }: Program): ReadonlyMap<string, ProgramNode> {
  return new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
}
