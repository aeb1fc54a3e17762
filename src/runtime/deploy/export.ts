/** @file Writes a trained network as one ONNX model that needs nothing else. */

import { checkForward, type Network } from '../../builders/index.js';
import { inferenceGraph } from '../../inference.js';
import { aPath, checkNames, checkValue, type Graph, type TensorData } from '../../ir/index.js';
import { encodeGraph } from '../../onnx/index.js';
import { version } from '../../version.js';
import { checkDescription, type DataDescription, encodeDescription } from '../data/description.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { requireFinite, weightsOnly } from '../model/weights.js';

/** Metadata keys of a model that densec exported. */
export const modelKeys = { version: 'densec.version', network: 'densec.network' } as const;

/**
 * Exports a network with its weights: input `images` float32 (N, …inputShape), normalized; outputs `logits` and
 * `probabilities` (N, classes). Plain ONNX operators of opset 17 only. The description goes into the model's metadata.
 * @param network a network, or its forward graph as a bundle keeps it
 * @param state parameters and running statistics by name, as `loadWeights` checks them; their average, where it has one
 * @throws RequestError when the description doesn't fit the network; FailureError when a tensor is not finite or
 * the file can't be written
 */
export async function exportModel(
  path: string,
  network: Network | Graph,
  state: ReadonlyMap<string, TensorData>,
  description: DataDescription = {},
): Promise<void> {
  checkValue('the path of the model', path, aPath);
  checkNames('the description', description, ['normalization', 'resize', 'border', 'classNames']);
  requireFinite(state, network.name);
  const { inputShape, classes } = 'nodes' in network ? checkForward(network) : network;
  checkDescription(description, inputShape, classes);
  const metadata = {
    [modelKeys.version]: version,
    [modelKeys.network]: network.name,
    // How images were divided is of use to whoever has them only.
    ...encodeDescription({ ...description, split: undefined }),
  };
  await writeFileAtomic(path, encodeGraph(inferenceGraph(network, weightsOnly(state)), metadata));
}
