/** @file Writes a trained network as one ONNX model that needs nothing else. */

import { checkForward, type Network, traceNetwork } from '../../builders/index.js';
import { inferenceGraph } from '../../inference.js';
import { aPath, checkNames, checkValue, type Graph, RequestError, type TensorData } from '../../ir/index.js';
import { encodeGraph } from '../../onnx/index.js';
import { version } from '../../version.js';
import { checkDescription, type DataDescription, encodeDescription } from '../data/description.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { requireFinite, weightsOnly } from '../model/weights.js';

/** Metadata keys of a model that densec exported. */
export const modelKeys = { version: 'densec.version', network: 'densec.network' } as const;

/**
 * Exports a network with its weights: input `images` float32 (N, …inputShape), normalized; outputs `logits` and
 * `probabilities` (N, classes), of a regression `predictions`. Plain ONNX operators of opset 17 only. The description goes into the model's metadata.
 * @param network a network, or its forward graph as a bundle keeps it; of a network that was compiled with a `loss` told to
 * `compile`, the graph (`compiled.forward`)
 * @param state parameters and running statistics by name, as `loadWeights` checks them; their average, where it has one
 * @throws RequestError when the description, or its task, doesn't fit the network; FailureError when a tensor is not finite or
 * the file can't be written
 */
export async function exportModel(
  path: string,
  network: Network | Graph,
  state: ReadonlyMap<string, TensorData>,
  description: DataDescription = {},
): Promise<void> {
  checkValue('the path of the model', path, aPath);
  checkNames('the description', description, ['normalization', 'resize', 'border', 'task', 'classNames']);
  requireFinite(state, network.name);
  const forward = 'nodes' in network ? network : traceNetwork(network);
  const { inputShape, classes, task } = checkForward(forward);
  if (description.task !== undefined && description.task !== task) {
    throw new RequestError(
      `the weights are for ${description.task}, the network ${network.name} is made for ${task}; give it the loss it was trained with, or compiled.forward in its stead`,
    );
  }
  checkDescription(description, inputShape, classes);
  const metadata = {
    [modelKeys.version]: version,
    [modelKeys.network]: network.name,
    // How images were divided is of use to whoever has them only.
    ...encodeDescription({ ...description, ...(task !== 'classes' && { task }), split: undefined }),
  };
  await writeFileAtomic(path, encodeGraph(inferenceGraph(forward, weightsOnly(state)), metadata));
}
