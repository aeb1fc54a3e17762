/** @file Steps on one batch from files: how anyone holds our graph against another framework. */

import { taskOf } from '../../builders/losses/index.js';
import { type FloatTensor, RequestError, type TensorData } from '../../ir/index.js';
import { batchInputs } from '../../step/interface.js';
import { tasks } from '../../step/tasks.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import { readSafetensors } from '../files/safetensors.js';
import type { Processes } from '../session/mpi/processes.js';
import { type SessionOptions, sessionOf } from '../session/session.js';
import { type Evaluation, Tally } from './metrics/tally.js';
import { checkBatch, EvaluationModel, TrainingModel } from './model.js';
import type { State } from './state.js';
import { Team } from './team.js';

/** What `runSteps` does. */
export interface StepsRequest extends SessionOptions {
  readonly state: State;
  readonly batch: Batch;
  readonly learningRate: number;
  /** How many steps on the same batch. */
  readonly steps: number;
  /** Seed of dropout's masks. */
  readonly seed?: number;
  /** The processes that take the steps together, each with its rows of the batch. */
  readonly processes?: Processes | undefined;
}

/** Losses and errors before each step, and the state after the last. */
export interface StepsResult {
  readonly losses: readonly number[];
  /** Share of misclassified images, 0 to 1; with other losses the share of wrong labels, or the mean absolute error. */
  readonly errors: readonly number[];
  /** Norms of the gradients in the steps that update, before they are clipped; where they are clipped. */
  readonly gradientNorms?: readonly number[];
  readonly state: Map<string, TensorData>;
}

/**
 * Trains on the same batch several times. The batch must have been checked. Where the bundle accumulates gradients,
 * every `accumulate` steps make one update, of the mean of their gradients; the last update takes the steps left.
 */
export async function runSteps(bundle: Bundle, request: StepsRequest): Promise<StepsResult> {
  const { state, batch, learningRate, steps, seed = 0, processes } = request;
  const count = batch.labels.data.length;
  const { accumulate } = bundle.manifest.optimizer;
  const team = processes && new Team(processes, bundle);
  const model = await TrainingModel.open(bundle, state, { ...sessionOf(request), link: processes?.link });
  try {
    const losses: number[] = [];
    const errors: number[] = [];
    const norms: number[] = [];
    for (let step = 0; step < steps; step++) {
      const first = step - (step % accumulate);
      const end = Math.min(first + accumulate, steps);
      const accumulation = { share: 1 / (end - first), last: step + 1 === end };
      const scalars = { learningRate, step, seed, accumulation };
      const result = await (team?.step(model, team.rowsOf(batch), count, scalars) ?? model.step(batch, scalars));
      losses.push(result.loss);
      errors.push(result.errors / count);
      if (result.gradientNorm !== undefined) norms.push(result.gradientNorm);
    }
    const after = await model.state();
    await team?.compare(after, 'after the last step');
    return { losses, errors, ...(norms.length > 0 && { gradientNorms: norms }), state: after };
  } finally {
    await model.close();
  }
}

/** Loss, error and metrics of one batch under the running statistics. */
export async function evaluateBatch(
  bundle: Bundle,
  state: State,
  batch: Batch,
  options: SessionOptions = {},
): Promise<Evaluation> {
  const model = await EvaluationModel.open(bundle, state, options);
  try {
    const tally = new Tally(model.network);
    tally.add(batch, await model.evaluate(batch));
    return tally.result();
  } finally {
    await model.close();
  }
}

/**
 * Reads a batch file: `images` float32 (N, C, H, W), already normalized, and `labels` int64 (N); for labels of which an
 * image may have several float32 (N, K), and for a regression `targets` float32 (N, K).
 * @throws FailureError when the file is broken; RequestError when it holds something else or doesn't fit the network
 */
export async function readBatch(path: string, bundle: Bundle, forTraining: boolean): Promise<Batch> {
  const { tensors } = await readSafetensors(path);
  const { input, dtype, shape } = tasks[taskOf(bundle.manifest.loss)];
  const [images, answers] = [tensors.get(batchInputs.images), tensors.get(input)];
  const isFit = answers?.dtype === dtype && (answers.dtype === 'float32' || answers.dtype === 'int64');
  if (images?.dtype !== 'float32' || !isFit) {
    const found = [...tensors].map(([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join(', ')}]`).join('; ');
    const asked = `${input} ${dtype} (${shape(bundle.manifest.classes).join(', ')})`;
    throw new RequestError(
      `${path} must hold images float32 (N, C, H, W) and ${asked}; it holds ${found || 'nothing'}`,
    );
  }
  const batch: Batch =
    answers.dtype === 'int64' ? { images, labels: answers } : { images, labels: noLabels(images), targets: answers };
  checkBatch(batch, bundle, forTraining, path);
  return batch;
}

/** What stands for labels where there are targets. */
function noLabels({ shape: [count = 0] }: FloatTensor): Batch['labels'] {
  return { dtype: 'int64', shape: [count], data: new BigInt64Array(count) };
}
