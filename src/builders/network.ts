/** @file From a network's function to the graph of its forward pass. */

import {
  aCount,
  aFunction,
  aName,
  batch,
  checkFields,
  checkValue,
  type Graph,
  GraphBuilder,
  type Kinds,
  listOf,
  must,
  RequestError,
  show,
} from '../ir/index.js';
import { countErrors, crossEntropy } from './layers.js';
import { Tensor } from './tensor.js';

/** A classifier as a plain function in the DSL. */
export interface Network {
  /** A name for messages and files. */
  readonly name: string;
  /** Extents of one sample, (C, H, W) for images. */
  readonly inputShape: readonly number[];
  /** Number of classes K, at least 2; 1 only with a loss of one's own. */
  readonly classes: number;
  /** Maps `images` (N, …inputShape) to logits (N, classes). */
  forward(images: Tensor): Tensor;
  /** What training makes small, a scalar; by default the cross-entropy. */
  loss?(logits: Tensor, labels: Tensor): Tensor;
}

/**
 * The forward pass: inputs `images` float32 (N, …inputShape), `labels` int64 (N) and the network's state; results
 * `loss` (scalar), `errors` (scalar: misclassified samples) and `logits` (N, classes). Batch norm and dropout are
 * still free of a mode.
 * @throws RequestError naming the layer when shapes don't fit
 */
export function traceNetwork(network: Network): Graph {
  checkNetwork(network);
  const builder = new GraphBuilder(network.name);
  const images = new Tensor(
    builder,
    builder.input({ dtype: 'float32', shape: [batch, ...network.inputShape] }, { name: 'images', role: 'batch' }),
  );
  const labels = images.with(builder.input({ dtype: 'int64', shape: [batch] }, { name: 'labels', role: 'batch' }));

  const logits = requireTensor(network.forward(images), 'forward', network);
  if (logits.shape.length !== 2 || logits.shape[0] !== batch || logits.shape[1] !== network.classes) {
    throw new RequestError(
      `the network ${network.name} returns the shape [${logits.shape.join(', ')}], expected logits [${batch}, ${network.classes}]`,
    );
  }
  const [loss, errors] = builder.within({ scope: 'loss' }, () => [
    network.loss ? requireTensor(network.loss(logits, labels), 'loss', network) : crossEntropy(logits, labels),
    countErrors(logits, labels),
  ]);
  if (loss.shape.length !== 0)
    throw new RequestError(`the loss has the shape [${loss.shape.join(', ')}], expected a scalar`);
  return builder.finish([
    { name: 'loss', role: 'result', value: loss.value },
    { name: 'errors', role: 'result', value: errors.value },
    { name: 'logits', role: 'result', value: logits.value },
  ]);
}

const networkKinds: Kinds<Network> = {
  name: must(aName),
  inputShape: must(listOf(aCount(1))),
  classes: must(aCount(1)),
  forward: must(aFunction),
  loss: aFunction,
};

function checkNetwork(network: Network): void {
  if (typeof network !== 'object' || network === null) {
    throw new RequestError(
      `the network is ${show(network)}; give an object with ${Object.keys(networkKinds).join(', ')}`,
    );
  }
  const named = typeof network.name === 'string' && network.name !== '' ? `the network ${network.name}` : 'the network';
  checkFields(named, network, networkKinds);
  if (network.loss === undefined) checkValue(`${named}: classes`, network.classes, aCount(2));
}

/** What a function of the network returned. @throws RequestError when that is no tensor of the network */
function requireTensor(returned: unknown, from: 'forward' | 'loss', { name }: Network): Tensor {
  if (returned instanceof Tensor) return returned;
  const found = `${from} of the network ${name} returned ${show(returned)}, not a tensor`;
  if (returned instanceof Promise) {
    // What it throws would end the process, as nobody awaits it.
    returned.catch(() => undefined);
    throw new RequestError(`${found}; make it a plain function, without async and await`);
  }
  throw new RequestError(
    `${found}; ${returned === undefined ? 'is a return missing?' : `return the ${from === 'forward' ? 'logits' : 'loss'}`}`,
  );
}
