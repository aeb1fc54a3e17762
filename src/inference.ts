/** @file The compiler's other product: a trained network as a plain model, its weights inside. */

import { checkForward, type Network, traceNetwork } from './builders/index.js';
import type { Graph, TensorData } from './ir/index.js';
import { elideExpand, removeDeadCode } from './passes/clean.js';
import { foldBatchNorm } from './passes/fold-batch-norm.js';
import { bindState, inferenceOutputs, ownOutputs } from './passes/inference.js';
import { lower } from './passes/lower.js';
import { type Pass, runPasses } from './passes/pass.js';
import { portable } from './targets/index.js';

/**
 * The graph of a trained network: input `images` float32 (N, …inputShape), outputs `logits` and `probabilities`
 * (N, classes), or `predictions` of a regression, which no node of the graph reads. Batch norm is folded into the convolutions before it, or else is one operator; dropout is gone.
 * @param network a network, or its forward graph as a bundle keeps it; of a network that was compiled with a `loss` told to
 * `compile`, the graph (`compiled.forward`)
 * @param state parameters and running statistics by name, as `loadWeights` checks them
 * @param observe told of the graph after each pass
 * @throws RequestError when the network's shapes don't fit
 */
export function inferenceGraph(
  network: Network | Graph,
  state: ReadonlyMap<string, TensorData>,
  observe?: (pass: Pass, graph: Graph) => void,
): Graph {
  const forward = 'nodes' in network ? network : traceNetwork(network);
  // WebGPU's lowering uses ONNX's own operators only, so the model runs wherever ONNX does.
  const passes = [
    inferenceOutputs(checkForward(forward).task),
    bindState(state),
    foldBatchNorm,
    elideExpand,
    lower(portable),
    removeDeadCode,
    ownOutputs,
  ];
  return runPasses(forward, passes, observe);
}
