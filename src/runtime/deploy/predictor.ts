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
import { type DataDescription, decodeDescription } from '../data/description.js';
import { fileFailure } from '../files/atomic-file.js';
import { Session, type SessionOptions, sessionKinds } from '../session/session.js';
import { sessionChoices } from '../session/session-choice.js';
import { modelKeys } from './export.js';

/** A class that an image may be of. */
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
    readonly classes: number,
    readonly description: DataDescription,
  ) {}

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
    const [classes] = sampleShape(model, resultOutputs.logits) ?? [];
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
   * The likeliest classes of each image, best first.
   * @param images (N, …inputShape), normalized
   * @param top how many classes; all where there are fewer
   * @throws RequestError when the images have another shape or `top` is no count
   */
  async predict(images: FloatTensor, top = 1): Promise<Candidate[][]> {
    checkValue('top', top, aCount(1));
    if (images?.dtype !== 'float32' || !Array.isArray(images.shape)) {
      throw new RequestError(`the images are ${show(images)}; give a float32 tensor, as floatTensor makes`);
    }
    const [count = 0, ...sample] = images.shape;
    if (sample.join() !== this.inputShape.join()) {
      throw new RequestError(
        `the images are [${images.shape.join(', ')}], ${this.path} takes [N, ${this.inputShape.join(', ')}]`,
      );
    }
    const outputs = await this.session.run({
      feeds: [[batchInputs.images, images]],
      results: [resultOutputs.probabilities],
      updates: [],
    });
    const probabilities = (outputs.get('probabilities') as FloatTensor).data;
    const broken = probabilities.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0) {
      throw new FailureError(
        `${this.path}: the probabilities of image ${Math.floor(broken / this.classes)} are not finite, though the model's weights are: its numbers are not, or too large; check the image and how it is normalized`,
      );
    }
    return Array.from({ length: count }, (_, image) =>
      this.best(probabilities.subarray(image * this.classes, (image + 1) * this.classes), top),
    );
  }

  /** Frees the model and ends the thread. */
  close(): Promise<void> {
    return this.session.close();
  }

  private best(probabilities: Float32Array, top: number): Candidate[] {
    const { classNames } = this.description;
    return Array.from(probabilities, (probability, index) => ({
      class: index,
      label: classNames?.[index] ?? String(index),
      probability,
    }))
      .sort((a, b) => b.probability - a.probability || a.class - b.class)
      .slice(0, top);
  }
}
