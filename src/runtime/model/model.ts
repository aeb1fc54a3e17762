/** @file A bundle's two models as things one can train and evaluate. */

import { taskOf } from '../../builders/losses/index.js';
import {
  aCount,
  aFlag,
  aNumber,
  aSeed,
  checkOptions,
  elementCount,
  FailureError,
  type FloatTensor,
  type Kind,
  type Kinds,
  must,
  RequestError,
  show,
  type TensorData,
} from '../../ir/index.js';
import { clips } from '../../passes/optimizers/clip.js';
import { keptSlots } from '../../passes/optimizers/index.js';
import {
  accumulationInputs,
  batchInputs,
  dropoutInputs,
  learningRateInput,
  outputName,
  processInputs,
  resultOutputs,
} from '../../step/interface.js';
import { type Task, tasks } from '../../step/tasks.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import type { NetworkInput } from '../data/network-data.js';
import { checkTarget, cpu } from '../session/devices.js';
import type { ArenaBytes } from '../session/model-session.js';
import type { Inspection } from '../session/protocol.js';
import { Session, type SessionOptions, sessionKinds } from '../session/session.js';
import { type SessionChoice, sessionChoices } from '../session/session-choice.js';
import { keptOfFrozen, packEvaluation, packTraining, type State, unpackState } from './state.js';

/** What a run over a batch tells. */
export interface BatchResult {
  /** Mean over the batch. */
  readonly loss: number;
  /** Misclassified samples; with other losses the sum over the samples of the share of wrong labels, or of the mean absolute error. */
  readonly errors: number;
  /** Norm of all gradients together before clipping; only of a step that clips and updates. */
  readonly gradientNorm?: number;
}

/** What an evaluation of a batch tells. */
export interface EvaluatedBatch extends BatchResult {
  /** (N, K): logits, or the values that a regression predicts. */
  readonly logits: FloatTensor;
}

/** The scalars of one training step. */
export interface StepScalars {
  readonly learningRate: number;
  /** Number of the step, counted from 0; dropout's masks depend on it. */
  readonly step: number;
  /** Seed of dropout's masks, a whole number from 0 to 2³² − 1. */
  readonly seed: number;
  /** The batch's part in the update, where gradients accumulate over several; by default it makes one alone. */
  readonly accumulation?: BatchPart;
  /** This process's share of the step's images, from 0 to 1, where several take the step together. */
  readonly share?: number;
  /** Place of the process's first image among those of the step. */
  readonly first?: number;
  /** The images of the step over all processes; those of the batch unless told. */
  readonly images?: number;
}

/** A batch as one of several whose mean gradient makes an update. */
export interface BatchPart {
  /** The batch's share of the update's images, from 0 to 1. */
  readonly share: number;
  /** Whether it is the last, so that the update happens. */
  readonly last: boolean;
}

const aRate: Kind = {
  expects: 'a number of at least 0',
  accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
};

const partKinds: Kinds<BatchPart> = {
  share: must({ ...aNumber, expects: 'a number from 0 to 1', accepts: (value) => isShare(value) }),
  last: must(aFlag),
};

const aShare: Kind = { expects: 'a number from 0 to 1', accepts: (value) => isShare(value) };

const scalarKinds: Kinds<StepScalars> = {
  learningRate: must(aRate),
  step: must(aCount(0)),
  seed: must(aSeed),
  accumulation: { expects: '{ share, last }', accepts: (value) => typeof value === 'object' && value !== null },
  share: aShare,
  first: aCount(0),
  images: aCount(1),
};

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

/** @throws RequestError for what is no bundle */
function checkBundle(bundle: Bundle): void {
  if (typeof bundle === 'object' && bundle !== null && 'manifest' in bundle) return;
  throw new RequestError(`the bundle is ${show(bundle)}; give what openBundle or writeBundle returns, awaited`);
}

/** The training model with its state. */
export class TrainingModel {
  private readonly updates: readonly StateUpdate[];
  private readonly clips: boolean;

  private constructor(
    private readonly session: Session,
    private readonly bundle: Bundle,
    inputs: Iterable<string>,
    /** What the optimizer had kept of parameters that aren't trained. */
    private readonly untouched: State,
  ) {
    this.updates = stateUpdates(bundle, inputs);
    this.clips = clips(bundle.manifest.optimizer);
  }

  /**
   * Loads a bundle's training model and gives it a state.
   * @param choice other options of the runtime than the chosen ones, for checks
   * @throws RequestError when the bundle was built for another device; FailureError when it can't be loaded
   */
  static async open(
    bundle: Bundle,
    state: State,
    options: SessionOptions = {},
    choice: SessionChoice & Inspection = sessionChoices.training,
  ): Promise<TrainingModel> {
    checkBundle(bundle);
    checkOptions('TrainingModel', options, sessionKinds);
    checkTarget(bundle.manifest.target, options.device ?? cpu);
    const packed = packTraining(state, bundle.manifest.state, keptSlots(bundle.manifest.optimizer));
    const session = await Session.open(bundle.training, choice, options);
    await session.setState(packed);
    return new TrainingModel(session, bundle, packed.keys(), keptOfFrozen(state, bundle.manifest.state));
  }

  /**
   * One step: the loss and errors before it; the state is the next one after. Where gradients accumulate, parameters
   * and what the optimizer keeps change in the last step of an update only.
   * @throws RequestError when batch or scalars are not what the network takes; FailureError when a label is out of range
   */
  async step(batch: Batch, scalars: StepScalars): Promise<BatchResult> {
    checkBatch(batch, this.bundle, true, 'the batch');
    checkOptions('the scalars of a step', scalars, scalarKinds);
    if (scalars.accumulation) checkOptions('accumulation', scalars.accumulation, partKinds);
    const feeds = trainingFeeds(this.bundle, batch, scalars);
    const isUpdate = scalars.accumulation?.last ?? true;
    const results = this.clips ? [...resultNames, resultOutputs.gradientNorm] : resultNames;
    const outputs = await this.session.run({ feeds, results, updates: this.updates });
    const norm = isUpdate ? outputs.get(resultOutputs.gradientNorm) : undefined;
    return { ...readResult(outputs), ...(norm && { gradientNorm: Number(norm.data[0]) }) };
  }

  /** A copy of the state: parameters, running statistics, counters and what the optimizer keeps, by name. */
  async state(): Promise<Map<string, TensorData>> {
    return new Map([...unpackState(await this.session.getState(), this.bundle.manifest.state), ...this.untouched]);
  }

  /** What the arena of the device has handed out at most and taken; null where it can't be asked. */
  arena(): Promise<ArenaBytes | null> {
    return this.session.arena();
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

/** The evaluation model with the weights to evaluate. */
export class EvaluationModel {
  private constructor(
    private readonly session: Session,
    private readonly bundle: Bundle,
  ) {}

  /** What the network is trained by, and how many outputs it has. */
  get network(): Pick<NetworkInput, 'loss' | 'classes'> {
    return this.bundle.manifest;
  }

  /** Loads a bundle's evaluation model; errors as for training. */
  static async open(bundle: Bundle, state: State, options: SessionOptions = {}): Promise<EvaluationModel> {
    checkBundle(bundle);
    checkOptions('EvaluationModel', options, sessionKinds);
    checkTarget(bundle.manifest.target, options.device ?? cpu);
    const packed = packEvaluation(state, bundle.manifest.state);
    const session = await Session.open(bundle.evaluation, sessionChoices.evaluation, options);
    await session.setState(packed);
    return new EvaluationModel(session, bundle);
  }

  /** Replaces the weights. */
  async setState(state: State): Promise<void> {
    return this.session.setState(packEvaluation(state, this.bundle.manifest.state));
  }

  /** Loss, errors and outputs of a batch. @throws as `TrainingModel.step` */
  async evaluate(batch: Batch): Promise<EvaluatedBatch> {
    checkBatch(batch, this.bundle, false, 'the batch');
    const results = [...resultNames, resultOutputs.logits];
    const outputs = await this.session.run({ feeds: batchFeeds(this.bundle, batch), results, updates: [] });
    return { ...readResult(outputs), logits: outputs.get(resultOutputs.logits) as FloatTensor };
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

/**
 * Checks that a batch fits a bundle's network.
 * @param forTraining whether batch norm will take statistics of it
 * @param source named in errors
 * @throws RequestError when shapes don't fit or the batch is too small; FailureError when a label is out of range
 */
export function checkBatch(batch: Batch, { manifest }: Bundle, forTraining: boolean, source: string): void {
  const task = taskOf(manifest.loss);
  checkTensors(batch, task, source);
  const { images } = batch;
  const [count = 0, ...sample] = images.shape;
  const expected = `[N, ${manifest.inputShape.join(', ')}]`;
  if (sample.join() !== manifest.inputShape.join()) {
    throw new RequestError(`${source}: the images are [${images.shape.join(', ')}], the network takes ${expected}`);
  }
  const { data, shape } = answersOf(batch, task);
  const columns = tasks[task].shape(manifest.classes).slice(1);
  if (shape[0] !== count || shape.slice(1).join() !== columns.join()) {
    const each = columns.length === 0 ? 'one' : `${manifest.classes} ${task} for`;
    throw new RequestError(`${source}: there are [${shape.join(', ')}] labels for ${count} images; give ${each} each`);
  }
  // What is normalized together is large enough together.
  const least = forTraining && !manifest.syncBatchNorm ? manifest.leastBatchSize : 1;
  if (count < least) {
    const reason = count === 0 ? 'the batch is empty' : 'batch normalization over one value a channel has no variance';
    throw new RequestError(`${source}: the batch has ${count} images, the network needs at least ${least}: ${reason}`);
  }
  checkAnswers[task](data, manifest.classes, source);
}

/** Whether what is to be told of a batch's images can be. */
const checkAnswers: Readonly<
  Record<Task, (data: Float32Array | BigInt64Array, outputs: number, source: string) => void>
> = {
  classes(data, classes, source) {
    const wrong = Array.from<number | bigint>(data).findIndex((label) => label < 0n || label >= BigInt(classes));
    if (wrong < 0) return;
    throw new FailureError(
      `${source}: label ${data[wrong]} of image ${wrong} is not one of the network's ${classes} classes (0 to ${classes - 1})`,
    );
  },
  labels: (data, labels, source) =>
    requireNumbers(data, labels, source, (value) => value >= 0 && value <= 1, 'from 0 (absent) to 1 (present)'),
  values: (data, values, source) => requireNumbers(data, values, source, Number.isFinite, 'a finite number'),
};

function requireNumbers(
  data: Float32Array | BigInt64Array,
  columns: number,
  source: string,
  fits: (value: number) => boolean,
  range: string,
): void {
  const wrong = Array.from<number | bigint>(data).findIndex((value) => !fits(Number(value)));
  if (wrong < 0) return;
  const [image, column] = [Math.floor(wrong / columns), wrong % columns];
  throw new FailureError(`${source}: target ${column} of image ${image} is ${data[wrong]}; it must be ${range}`);
}

/** What a batch's images are to be told: labels or targets. @throws RequestError when it has no targets */
function answersOf({ labels, targets }: Batch, task: Task): Batch['labels'] | FloatTensor {
  return task === 'classes' ? labels : (targets as FloatTensor);
}

/** Requires that a batch consists of tensors. */
function checkTensors(batch: Batch, task: Task, source: string): void {
  const isOfClasses = task === 'classes';
  const answers = isOfClasses ? 'labels' : 'targets';
  const remedy = `createBatch makes a batch${isOfClasses ? '' : `, of a tensor of ${task} [N, K] in place of classes`}`;
  if (typeof batch !== 'object' || batch === null) {
    throw new RequestError(`${source} is ${show(batch)}, not { images, ${answers} }; ${remedy}`);
  }
  for (const [name, dtype, array] of [
    ['images', 'float32', Float32Array],
    isOfClasses ? (['labels', 'int64', BigInt64Array] as const) : (['targets', 'float32', Float32Array] as const),
  ] as const) {
    const tensor: Partial<TensorData> | undefined = batch[name];
    if (tensor?.dtype !== dtype || !(tensor.data instanceof array) || !Array.isArray(tensor.shape)) {
      throw new RequestError(
        `${source}: ${name} is no tensor with dtype ${dtype}, shape and data (a ${array.name}); ${remedy}`,
      );
    }
    const count = elementCount(tensor.shape);
    if (tensor.data.length === count) continue;
    throw new RequestError(
      `${source}: ${name} has ${tensor.data.length} elements for the shape [${tensor.shape.join(', ')}], which takes ${count}`,
    );
  }
}

/** Outputs of both models that tell how a batch did. */
export const resultNames = [resultOutputs.loss, resultOutputs.errors] as const;

/** An output of the training model that replaces a state input. */
export interface StateUpdate {
  readonly output: string;
  readonly input: string;
}

/** The updates of state inputs; frozen ones have none. */
export function stateUpdates({ manifest }: Bundle, inputs: Iterable<string>): StateUpdate[] {
  const frozen = new Set(manifest.state.filter((segment) => segment.frozen).map(({ name }) => name));
  return [...inputs].filter((name) => !frozen.has(name)).map((input) => ({ output: outputName('next', input), input }));
}

/** What a bundle's training model takes beside its state. */
export function trainingFeeds(
  bundle: Bundle,
  batch: Batch,
  { learningRate, step, seed, accumulation, share = 1, first = 0, images }: StepScalars,
): [string, TensorData][] {
  const { manifest } = bundle;
  const feeds: [string, TensorData][] = [...batchFeeds(bundle, batch), [learningRateInput, float32(learningRate)]];
  if (manifest.optimizer.accumulate > 1) {
    const part = accumulation ?? { share: 1, last: true };
    feeds.push([accumulationInputs.share, float32(part.share)], [accumulationInputs.apply, float32(part.last ? 1 : 0)]);
  }
  if (manifest.dropout) feeds.push([dropoutInputs.step, int64(step)], [dropoutInputs.seed, int64(seed)]);
  if (manifest.processes) feeds.push([processInputs.share, float32(share)]);
  if (manifest.syncBatchNorm) feeds.push([processInputs.images, float32(images ?? batch.labels.data.length)]);
  if (manifest.processes && manifest.dropout) feeds.push([processInputs.first, int64(first)]);
  return feeds;
}

function batchFeeds({ manifest }: Bundle, batch: Batch): [string, TensorData][] {
  const task = taskOf(manifest.loss);
  return [
    [batchInputs.images, batch.images],
    [tasks[task].input, answersOf(batch, task)],
  ];
}

function float32(value: number): TensorData {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}

function int64(value: number): TensorData {
  return { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) };
}

function readResult(outputs: ReadonlyMap<string, TensorData>): BatchResult {
  const [loss, errors] = resultNames.map((name) => (outputs.get(name) as FloatTensor).data[0] ?? Number.NaN);
  return { loss: loss ?? Number.NaN, errors: errors ?? Number.NaN };
}
