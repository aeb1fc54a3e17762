/** @file A bundle's two models as things one can train and evaluate. */

import { FailureError, type FloatTensor, RequestError, type TensorData } from '../ir/index.js';
import { keptSlots } from '../passes/optimizers/index.js';
import {
  accumulationInputs,
  batchInputs,
  dropoutInputs,
  learningRateInput,
  outputName,
  resultOutputs,
} from '../step/interface.js';
import type { Bundle } from './bundle.js';
import type { Batch } from './data/batches.js';
import { checkTarget, cpu } from './devices.js';
import type { Inspection } from './protocol.js';
import { Session, type SessionOptions } from './session.js';
import { type SessionChoice, sessionChoices } from './session-choice.js';
import { packEvaluation, packTraining, type State, unpackState } from './state.js';

/** What a run over a batch tells. */
export interface BatchResult {
  /** Mean over the batch. */
  readonly loss: number;
  /** Misclassified samples. */
  readonly errors: number;
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
}

/** A batch as one of several whose mean gradient makes an update. */
export interface BatchPart {
  /** The batch's share of the update's images, from 0 to 1. */
  readonly share: number;
  /** Whether it is the last, so that the update happens. */
  readonly last: boolean;
}

/** The training model with its state. */
export class TrainingModel {
  private readonly updates: readonly StateUpdate[];

  private constructor(
    private readonly session: Session,
    private readonly bundle: Bundle,
    inputs: Iterable<string>,
  ) {
    this.updates = stateUpdates(bundle, inputs);
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
    checkTarget(bundle.manifest.target, options.device ?? cpu);
    const session = await Session.open(bundle.training, choice, options);
    const packed = packTraining(state, bundle.manifest.state, keptSlots(bundle.manifest.optimizer));
    await session.setState(packed);
    return new TrainingModel(session, bundle, packed.keys());
  }

  /**
   * One step: the loss and errors before it; the state is the next one after. Where gradients accumulate, parameters
   * and what the optimizer keeps change in the last step of an update only.
   */
  async step(batch: Batch, scalars: StepScalars): Promise<BatchResult> {
    const feeds = trainingFeeds(this.bundle, batch, scalars);
    return readResult(await this.session.run({ feeds, results: resultNames, updates: this.updates }));
  }

  /** A copy of the state: parameters, running statistics, counters and what the optimizer keeps, by name. */
  async state(): Promise<Map<string, TensorData>> {
    return unpackState(await this.session.getState(), this.bundle.manifest.state);
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

  /** Loads a bundle's evaluation model; errors as for training. */
  static async open(bundle: Bundle, state: State, options: SessionOptions = {}): Promise<EvaluationModel> {
    checkTarget(bundle.manifest.target, options.device ?? cpu);
    const model = new EvaluationModel(
      await Session.open(bundle.evaluation, sessionChoices.evaluation, options),
      bundle,
    );
    await model.setState(state);
    return model;
  }

  /** Replaces the weights. */
  setState(state: State): Promise<void> {
    return this.session.setState(packEvaluation(state, this.bundle.manifest.state));
  }

  /** Loss and errors of a batch. */
  async evaluate(batch: Batch): Promise<BatchResult> {
    return readResult(await this.session.run({ feeds: batchFeeds(batch), results: resultNames, updates: [] }));
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
export function checkBatch(
  { images, labels }: Batch,
  { manifest }: Bundle,
  forTraining: boolean,
  source: string,
): void {
  const [count = 0, ...sample] = images.shape;
  const expected = `[N, ${manifest.inputShape.join(', ')}]`;
  if (sample.join() !== manifest.inputShape.join()) {
    throw new RequestError(`${source}: the images are [${images.shape.join(', ')}], the network takes ${expected}`);
  }
  if (labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new RequestError(
      `${source}: there are [${labels.shape.join(', ')}] labels for ${count} images; give one each`,
    );
  }
  const least = forTraining ? manifest.leastBatchSize : 1;
  if (count < least) {
    const reason = count === 0 ? 'the batch is empty' : 'batch normalization over one value a channel has no variance';
    throw new RequestError(`${source}: the batch has ${count} images, the network needs at least ${least}: ${reason}`);
  }
  const wrong = labels.data.findIndex((label) => label < 0n || label >= BigInt(manifest.classes));
  if (wrong >= 0) {
    throw new FailureError(
      `${source}: label ${labels.data[wrong]} of image ${wrong} is not one of the network's ${manifest.classes} classes (0 to ${manifest.classes - 1})`,
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
  { manifest }: Bundle,
  batch: Batch,
  { learningRate, step, seed, accumulation }: StepScalars,
): [string, TensorData][] {
  const feeds: [string, TensorData][] = [...batchFeeds(batch), [learningRateInput, float32(learningRate)]];
  if (manifest.optimizer.accumulate > 1) {
    const { share, last } = accumulation ?? { share: 1, last: true };
    feeds.push([accumulationInputs.share, float32(share)], [accumulationInputs.apply, float32(last ? 1 : 0)]);
  }
  if (manifest.dropout) feeds.push([dropoutInputs.step, int64(step)], [dropoutInputs.seed, int64(seed)]);
  return feeds;
}

function batchFeeds({ images, labels }: Batch): [string, TensorData][] {
  return [
    [batchInputs.images, images],
    [batchInputs.labels, labels],
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
