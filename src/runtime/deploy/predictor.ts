/** @file An exported model, loaded to label images. */

import { readFile } from 'node:fs/promises';
import {
  aCount,
  aPath,
  checkOptions,
  checkValue,
  FailureError,
  type FloatTensor,
  RequestError,
  show,
} from '../../ir/index.js';
import { decodeModel, modelMetadata, nonFiniteWeight, sampleShape } from '../../onnx/index.js';
import { batchInputs, resultOutputs } from '../../step/interface.js';
import type { Task } from '../../step/tasks.js';
import { type DataDescription, decodeDescription } from '../data/description.js';
import { fileFailure } from '../files/atomic-file.js';
import { Session, type SessionOptions, sessionKinds } from '../session/session.js';
import { sessionChoices } from '../session/session-choice.js';
import { modelKeys } from './export.js';

/** A class that an image may be of, or a label that it may have. */
export interface Candidate {
  /** From 0. */
  readonly class: number;
  /** The class's name where the model has one, else its number. */
  readonly label: string;
  /** 0 to 1. */
  readonly probability: number;
}

/** A model that `exportModel` wrote, in a thread of its own. */
export class Predictor {
  private constructor(
    private readonly session: Session,
    private readonly path: string,
    /** (C, H, W). */
    readonly inputShape: readonly number[],
    /** Outputs: classes, labels or values. */
    readonly classes: number,
    readonly description: DataDescription,
  ) {}

  /** What the model tells of an image. */
  get task(): Task {
    return this.description.task ?? 'classes';
  }

  /** The names of the outputs, or their numbers. */
  get names(): readonly string[] {
    const { classNames } = this.description;
    return Array.from({ length: this.classes }, (_, output) => classNames?.[output] ?? String(output));
  }

  /**
   * Loads a model.
   * @throws FailureError when the file can't be read, is no model that densec exported, or a weight of it is
   * not finite
   */
  static async open(path: string, options: SessionOptions = {}): Promise<Predictor> {
    checkValue('the path of the model', path, aPath);
    checkOptions('Predictor', options, sessionKinds);
    const bytes = await readFile(path).catch((error: unknown) => {
      throw fileFailure('read', path, error);
    });
    const model = decodeModel(bytes, path);
    const metadata = modelMetadata(model);
    const inputShape = sampleShape(model, batchInputs.images);
    const [classes] = sampleShape(model, resultOutputs.logits) ?? sampleShape(model, resultOutputs.predictions) ?? [];
    if (metadata[modelKeys.version] === undefined || inputShape === undefined || classes === undefined) {
      throw new FailureError(`${path} is not a model that densec exported; make one with densec export`);
    }
    const broken = nonFiniteWeight(model);
    if (broken !== undefined) {
      throw new FailureError(
        `${path}: ${broken} is not finite; the training that it comes from diverged: export earlier weights`,
      );
    }
    const session = await Session.open(path, sessionChoices.evaluation, options);
    return new Predictor(session, path, inputShape, classes, decodeDescription(metadata, path));
  }

  /**
   * The likeliest classes of each image, best first; of labels all in their order, or the likeliest where `top` is told.
   * @param images (N, …inputShape), normalized
   * @param top how many classes, 1 unless told; all where there are fewer
   * @throws RequestError when the images have another shape, `top` is no count, or the model predicts numbers
   */
  async predict(images: FloatTensor, top?: number): Promise<Candidate[][]> {
    if (top !== undefined) checkValue('top', top, aCount(1));
    if (this.task === 'values') {
      throw new RequestError(`${this.path} predicts numbers, no classes or labels; call outputs`);
    }
    const all = top === undefined && this.task === 'labels';
    const rows = await this.outputs(images);
    return rows.map((row) => (all ? this.candidates(row) : this.best(row, top ?? 1)));
  }

  /**
   * The model's outputs for each image: probabilities of classes or labels, or the numbers that it predicts.
   * @param images (N, …inputShape), normalized
   * @throws RequestError when the images have another shape; FailureError when outputs are not finite
   */
  async outputs(images: FloatTensor): Promise<Float32Array[]> {
    if (images?.dtype !== 'float32' || !Array.isArray(images.shape)) {
      throw new RequestError(`the images are ${show(images)}; give a float32 tensor, as floatTensor makes`);
    }
    const [count = 0, ...sample] = images.shape;
    if (sample.join() !== this.inputShape.join()) {
      throw new RequestError(
        `the images are [${images.shape.join(', ')}], ${this.path} takes [N, ${this.inputShape.join(', ')}]`,
      );
    }
    const result = this.task === 'values' ? resultOutputs.predictions : resultOutputs.probabilities;
    const outputs = await this.session.run({
      feeds: [[batchInputs.images, images]],
      results: [result],
      updates: [],
    });
    const numbers = (outputs.get(result) as FloatTensor).data;
    const broken = numbers.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0) {
      throw new FailureError(
        `${this.path}: the ${result} of image ${Math.floor(broken / this.classes)} are not finite, though the model's weights are: its numbers are not, or too large; check the image and how it is normalized`,
      );
    }
    return Array.from({ length: count }, (_, image) =>
      numbers.subarray(image * this.classes, (image + 1) * this.classes),
    );
  }

  /** Frees the model and ends the thread. */
  close(): Promise<void> {
    return this.session.close();
  }

  private candidates(probabilities: Float32Array): Candidate[] {
    const { names } = this;
    return Array.from(probabilities, (probability, index) => {
      return { class: index, label: names[index] ?? String(index), probability };
    });
  }

  private best(probabilities: Float32Array, top: number): Candidate[] {
    return this.candidates(probabilities)
      .sort((a, b) => b.probability - a.probability || a.class - b.class)
      .slice(0, top);
  }
}
