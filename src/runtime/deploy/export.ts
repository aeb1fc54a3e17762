/** @file Writes a trained network as one ONNX model that needs nothing else. */

import { densenet, type Network } from '../../builders/index.js';
import { inferenceGraph } from '../../inference.js';
import { aPath, checkNames, checkValue, RequestError, type TensorData } from '../../ir/index.js';
import { encodeGraph } from '../../onnx/index.js';
import { version } from '../../version.js';
import { writeFileAtomic } from '../atomic-file.js';
import type { Bundle } from '../bundle.js';
import { checkDescription, type DataDescription, encodeDescription } from '../data/description.js';
import { requireFinite } from '../weights.js';

/** Metadata keys of a model that densec exported. */
export const modelKeys = { version: 'densec.version', network: 'densec.network' } as const;

/**
 * Exports a network with its weights: input `images` float32 (N, …inputShape), normalized; outputs `logits` and
 * `probabilities` (N, classes). Plain ONNX operators of opset 17 only. The description goes into the model's metadata.
 * @param state parameters and running statistics by name, as `loadWeights` checks them
 * @throws RequestError when the description doesn't fit the network; FailureError when a tensor is not finite or
 * the file can't be written
 */
export async function exportModel(
  path: string,
  network: Network,
  state: ReadonlyMap<string, TensorData>,
  description: DataDescription = {},
): Promise<void> {
  checkValue('the path of the model', path, aPath);
  checkNames('the description', description, ['normalization', 'resize', 'border', 'classNames']);
  requireFinite(state, network.name);
  checkDescription(description, network.inputShape, network.classes);
  const metadata = {
    [modelKeys.version]: version,
    [modelKeys.network]: network.name,
    ...encodeDescription(description),
  };
  await writeFileAtomic(path, encodeGraph(inferenceGraph(network, state), metadata));
}

/** The network of a bundle. @throws RequestError for a network of one's own, which a manifest can't hold */
export function bundleNetwork({ directory, manifest }: Bundle): Network {
  if (manifest.network) return densenet(manifest.network);
  throw new RequestError(
    `${directory} holds a network of one's own, which only its program can build; call exportModel there`,
  );
}
