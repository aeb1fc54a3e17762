/** @file Labels image files and batches with an exported model. */

import { DensecError, type FloatTensor, floatTensor, RequestError } from '../../ir/index.js';
import { batchInputs } from '../../step/interface.js';
import type { DataDescription } from '../data/description.js';
import { type ImageFormat, readImage } from '../data/image-file.js';
import { readSafetensors } from '../files/safetensors.js';
import type { Candidate, Predictor } from './predictor.js';

/** A number that is predicted of an image. */
export interface NamedValue {
  readonly name: string;
  readonly value: number;
}

/** What became of one image. */
export type LabelledImage =
  /** The likeliest classes, best first, or labels; of a regression none, but values. */
  | { readonly image: string; readonly top: readonly Candidate[]; readonly values?: readonly NamedValue[] }
  /** The file is missing or damaged. */
  | { readonly image: string; readonly error: string };

/** How many images are labelled at once. */
const batchSize = 16;

/**
 * Labels image files, in order. One that can't be read is told and skipped.
 * @param top how many classes of each, 1 unless told, or labels, all unless told
 * @throws RequestError when the model doesn't say how its images are normalized, or takes no images
 */
export async function* labelFiles(
  predictor: Predictor,
  paths: readonly string[],
  top?: number,
): AsyncGenerator<LabelledImage> {
  const format = imageFormat(predictor);
  const normalize = normalizer(predictor.description);
  for (let start = 0; start < paths.length; start += batchSize) {
    const files = paths.slice(start, start + batchSize);
    const pixels = await Promise.all(files.map((path) => readImage(path, format).catch(expectedError)));
    const good = pixels.filter((image) => image instanceof Uint8Array);
    const shape = [good.length, format.channels, format.height, format.width];
    const predicted =
      good.length > 0 ? await tell(predictor, floatTensor(shape, concatenated(good.map(normalize))), top) : [];
    let next = 0;
    for (const [index, image] of files.entries()) {
      const read = pixels[index];
      yield read instanceof Uint8Array
        ? { image, ...(predicted[next++] ?? { top: [] }) }
        : { image, error: read?.message ?? '' };
    }
  }
}

/**
 * Labels the images of a batch file: `images` float32 (N, C, H, W), already normalized.
 * @param top how many classes of each, 1 unless told, or labels, all unless told
 * @throws FailureError when the file is broken; RequestError when it holds no images or others than the model takes
 */
export async function* labelBatch(predictor: Predictor, path: string, top?: number): AsyncGenerator<LabelledImage> {
  const images = (await readSafetensors(path)).tensors.get(batchInputs.images);
  if (images?.dtype !== 'float32') throw new RequestError(`${path} must hold images float32 (N, C, H, W)`);
  const [count = 0, ...sample] = images.shape;
  const length = sample.reduce((product, extent) => product * extent, 1);
  for (let start = 0; start < count; start += batchSize) {
    const end = Math.min(count, start + batchSize);
    const part: FloatTensor = floatTensor(
      [end - start, ...sample],
      images.data.subarray(start * length, end * length).slice(),
    );
    for (const [index, told] of (await tell(predictor, part, top)).entries()) {
      yield { image: `${path}[${start + index}]`, ...told };
    }
  }
}

/** What a model tells of images: classes, labels or values. */
async function tell(
  predictor: Predictor,
  images: FloatTensor,
  top: number | undefined,
): Promise<{ readonly top: readonly Candidate[]; readonly values?: readonly NamedValue[] }[]> {
  if (predictor.task !== 'values') return (await predictor.predict(images, top)).map((each) => ({ top: each }));
  const { names } = predictor;
  const rows = await predictor.outputs(images);
  return rows.map((row) => {
    return { top: [], values: names.map((name, at) => ({ name, value: row[at] as number })) };
  });
}

function imageFormat({ inputShape, description }: Predictor): ImageFormat {
  const [channels, height, width] = inputShape;
  if (inputShape.length !== 3 || (channels !== 1 && channels !== 3) || !height || !width) {
    throw new RequestError(
      `the model takes [${inputShape.join(', ')}], which no image file fills; give its input with --batch`,
    );
  }
  const { resize, border } = description;
  return { channels, height, width, resize, border };
}

/** Bytes of an image, plane after plane, as the network takes them. @throws RequestError when the model doesn't say how */
function normalizer({ normalization }: DataDescription): (pixels: Uint8Array) => Float32Array {
  if (!normalization) {
    throw new RequestError(
      "the model doesn't say how its images are normalized; export it again with --mean and --std, or use --batch",
    );
  }
  const { mean, std } = normalization;
  return (pixels) => {
    const plane = pixels.length / mean.length;
    return Float32Array.from(pixels, (value, index) => {
      const channel = Math.floor(index / plane);
      return (value / 255 - (mean[channel] as number)) / (std[channel] as number);
    });
  };
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const length = parts[0]?.length ?? 0;
  const all = new Float32Array(parts.length * length);
  for (const [index, part] of parts.entries()) all.set(part, index * length);
  return all;
}

/** An error that only this image has. */
function expectedError(error: unknown): Error {
  if (error instanceof DensecError) return error;
  throw error;
}
