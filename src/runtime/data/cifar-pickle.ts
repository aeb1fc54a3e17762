/** @file The files of CIFAR's Python versions: pickled dicts of labels and pixels. */

import { readFile } from 'node:fs/promises';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from '../files/atomic-file.js';
import { readPickle } from './pickle.js';
import { NumpyArray, PickleDict, type PickleValue, textOf } from './pickle-values.js';

/** Images of one file. */
export interface CifarFile {
  /** 3072 bytes an image: red, green and blue planes. */
  readonly images: Uint8Array;
  readonly labels: ArrayLike<number>;
}

/**
 * Images and labels of a file.
 * @param key of the labels
 * @param pixelBytes bytes of an image
 * @throws FailureError when it is no such pickle, or images and labels differ in number
 */
export async function readPickledImages(path: string, key: string, pixelBytes: number): Promise<CifarFile> {
  const dict = await readDict(path);
  const [data, labels] = [dict.get('data'), numbers(dict.get(key), path)];
  if (!(data instanceof NumpyArray) || !labels) {
    throw new FailureError(
      `${path} holds no array 'data' with '${key}'; it has ${[...dict.keys()].join(', ')}: take the original file`,
    );
  }
  const images = data.type?.code === 'u1' ? data.data : undefined;
  if (!images || images.length !== labels.length * pixelBytes || labels.length === 0) {
    throw new FailureError(
      `${path}: 'data' is ${data.shape.join('×')} of ${data.type?.code} for ${labels.length} labels, not ${labels.length}×${pixelBytes} of u1; download it again`,
    );
  }
  return { images, labels };
}

/** Names of the classes of a file; none where there is no file. @throws FailureError when it is no such pickle */
export async function readPickledNames(path: string, key: string): Promise<readonly string[]> {
  const names = (await readDict(path)).get(key);
  return Array.isArray(names) ? names.map((name) => textOf(name) ?? '') : [];
}

async function readDict(path: string): Promise<PickleDict> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  const value = readPickle(bytes, path);
  if (value instanceof PickleDict) return value;
  throw new FailureError(`${path} holds no dict; take the original file`);
}

function numbers(value: PickleValue | undefined, path: string): ArrayLike<number> | undefined {
  if (value instanceof NumpyArray) return value.numbers(path);
  if (!Array.isArray(value)) return undefined;
  const all = value.filter((item) => typeof item === 'number');
  return all.length === value.length ? all : undefined;
}
