/** @file From a network's function to the graph of its forward pass. */

import {
  aCount,
  aFunction,
  aName,
  batch,
  checkFields,
  checkValue,
  formatShape,
  type Graph,
  GraphBuilder,
  type Kinds,
  listOf,
  must,
  RequestError,
  sameType,
  show,
  staticShape,
  type TensorType,
} from '../ir/index.js';
import { batchInputs, resultOutputs } from '../step/interface.js';
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
    builder.input(
      { dtype: 'float32', shape: [batch, ...network.inputShape] },
      { name: batchInputs.images, role: 'batch' },
    ),
  );
  const labels = images.with(
    builder.input({ dtype: 'int64', shape: [batch] }, { name: batchInputs.labels, role: 'batch' }),
  );

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
    { name: resultOutputs.loss, role: 'result', value: loss.value },
    { name: resultOutputs.errors, role: 'result', value: errors.value },
    { name: resultOutputs.logits, role: 'result', value: logits.value },
  ]);
}

/** What a forward graph takes and gives. */
interface ForwardFacts {
  /** Extents of one sample. */
  readonly inputShape: readonly number[];
  readonly classes: number;
}

/**
 * Requires that a graph is a forward pass as `traceNetwork` gives it, and tells what it takes.
 * @throws RequestError naming what is missing or has another type
 */
export function checkForward(graph: Graph): ForwardFacts {
  const fail = (what: string): never => {
    throw new RequestError(
      `the graph ${graph.name} is no forward pass: ${what}; it takes images f32[${batch}, …] and labels i64[${batch}] and gives loss, errors and logits, as traceNetwork traces it`,
    );
  };
  const typeOf = (name: string, among: Graph['inputs'] | Graph['outputs']): TensorType =>
    among.find((each) => each.name === name)?.value.type ?? fail(`it has no ${name}`);
  const images = typeOf('images', graph.inputs).shape;
  if (images[0] !== batch) fail(`its images are ${formatShape(images)}`);
  if (!sameType(typeOf('labels', graph.inputs), { dtype: 'int64', shape: [batch] })) fail('its labels are others');
  for (const name of ['loss', 'errors']) {
    const { shape } = typeOf(name, graph.outputs);
    if (shape.length > 0) fail(`its ${name} has the shape ${formatShape(shape)}`);
  }
  const [samples, classes, ...others] = typeOf('logits', graph.outputs).shape;
  if (samples !== batch || typeof classes !== 'number' || others.length > 0) return fail('its logits are no matrix');
  return { inputShape: staticShape(images.slice(1), 'a sample'), classes };
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
