/** @file From a network's function to the graph of its forward pass. */

import {
  aCount,
  aFunction,
  aName,
  batch,
  checkFields,
  either,
  formatShape,
  type Graph,
  GraphBuilder,
  InternalError,
  type Kinds,
  listOf,
  must,
  oneOf,
  RequestError,
  sameType,
  show,
  staticShape,
  type TensorType,
} from '../ir/index.js';
import { batchInputs, resultOutputs } from '../step/interface.js';
import { type Task, taskNames, tasks } from '../step/tasks.js';
import { sumErrors } from './errors.js';
import { aLoss, checkLoss, type LossChoice, type LossOptions, resolveLoss, taskOf, traceLoss } from './losses/index.js';
import { Tensor } from './tensor.js';

/** A loss of one's own, a scalar: of the network's outputs (N, K) and the targets, as the network's `task` has them. */
export type LossFunction = (logits: Tensor, labels: Tensor) => Tensor;

/** A network as a plain function in the DSL: of classes, or with another loss of labels or numbers. */
export interface Network {
  /** A name for messages and files. */
  readonly name: string;
  /** Extents of one sample, (C, H, W) for images. */
  readonly inputShape: readonly number[];
  /** Number of outputs K: classes, at least 2; labels or values, at least 1. */
  readonly classes: number;
  /** Maps `images` (N, …inputShape) to logits (N, classes). */
  forward(images: Tensor): Tensor;
  /** What training makes small: one of the losses, where `compile` isn't told another, or a function; else the cross-entropy. */
  readonly loss?: LossChoice | LossFunction;
  /** What a loss function's targets are; `classes` unless told. */
  readonly task?: Task;
}

/**
 * The forward pass: inputs `images` float32 (N, …inputShape), `labels` or `targets` as the loss's task has them, and the
 * network's state; results `loss` (scalar), `errors` (scalar: the sum of the task's error over the samples) and `logits`
 * (N, classes). Batch norm and dropout are still free of a mode.
 * @param told the loss, instead of the network's
 * @throws RequestError naming the layer when shapes don't fit
 */
export function traceNetwork(network: Network, told?: LossChoice): Graph {
  const loss = lossOfNetwork(network, told);
  const { input, dtype, shape } = tasks[taskOf(loss)];
  const builder = new GraphBuilder(network.name);
  const images = new Tensor(
    builder,
    builder.input(
      { dtype: 'float32', shape: [batch, ...network.inputShape] },
      { name: batchInputs.images, role: 'batch' },
    ),
  );
  const targets = images.with(builder.input({ dtype, shape: shape(network.classes) }, { name: input, role: 'batch' }));

  const logits = requireTensor(network.forward(images), 'forward', network);
  if (logits.shape.length !== 2 || logits.shape[0] !== batch || logits.shape[1] !== network.classes) {
    throw new RequestError(
      `the network ${network.name} returns the shape [${logits.shape.join(', ')}], expected logits [${batch}, ${network.classes}]`,
    );
  }
  const [value, errors] = builder.within({ scope: 'loss' }, () => [
    loss.kind === 'own' ? ownLoss(network, logits, targets) : traceLoss(loss, logits, targets),
    sumErrors[taskOf(loss)](logits, targets),
  ]);
  if (value.shape.length !== 0)
    throw new RequestError(`the loss has the shape [${value.shape.join(', ')}], expected a scalar`);
  return builder.finish([
    { name: resultOutputs.loss, role: 'result', value: value.value },
    { name: resultOutputs.errors, role: 'result', value: errors.value },
    { name: resultOutputs.logits, role: 'result', value: logits.value },
  ]);
}

/**
 * The loss that a network is trained by, with all of its options.
 * @param told instead of the network's
 * @throws RequestError when it doesn't fit the network, or both are functions' work
 */
export function lossOfNetwork(network: Network, told?: LossChoice): LossOptions {
  const named = checkNetwork(network);
  const { loss: own, task } = network;
  if (typeof own === 'function') {
    if (told === undefined) return { kind: 'own', task: task ?? 'classes' };
    throw new RequestError(`${named} has a loss function of its own; leave out one of it and the loss told`);
  }
  const loss = resolveLoss(told ?? own);
  if (task !== undefined && task !== taskOf(loss)) {
    throw new RequestError(
      `${named}: task is '${task}', but the loss ${loss.kind} is one of ${taskOf(loss)}; leave out task`,
    );
  }
  checkLoss(loss, network.classes, named);
  return loss;
}

function ownLoss(network: Network, logits: Tensor, targets: Tensor): Tensor {
  if (typeof network.loss !== 'function') throw new InternalError(`${network.name} has no loss function`);
  return requireTensor(network.loss(logits, targets), 'loss', network);
}

/** What a forward graph takes and gives. */
interface ForwardFacts {
  /** Extents of one sample. */
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly task: Task;
}

/**
 * Requires that a graph is a forward pass as `traceNetwork` gives it, and tells what it takes.
 * @throws RequestError naming what is missing or has another type
 */
export function checkForward(graph: Graph): ForwardFacts {
  const fail = (what: string): never => {
    throw new RequestError(
      `the graph ${graph.name} is no forward pass: ${what}; it takes images f32[${batch}, …] and labels i64[${batch}] (or labels or targets f32[${batch}, K]) and gives loss, errors and logits, as traceNetwork traces it`,
    );
  };
  const typeOf = (name: string, among: Graph['inputs'] | Graph['outputs']): TensorType =>
    among.find((each) => each.name === name)?.value.type ?? fail(`it has no ${name}`);
  const images = typeOf('images', graph.inputs).shape;
  if (images[0] !== batch) fail(`its images are ${formatShape(images)}`);
  for (const name of ['loss', 'errors']) {
    const { shape } = typeOf(name, graph.outputs);
    if (shape.length > 0) fail(`its ${name} has the shape ${formatShape(shape)}`);
  }
  const [samples, classes, ...others] = typeOf('logits', graph.outputs).shape;
  if (samples !== batch || typeof classes !== 'number' || others.length > 0) return fail('its logits are no matrix');
  const task = taskNames.find((name) => {
    const { input, dtype, shape } = tasks[name];
    const found = graph.inputs.find((each) => each.name === input);
    return found !== undefined && sameType(found.value.type, { dtype, shape: shape(classes) });
  });
  if (task === undefined) return fail('its labels are others');
  return { inputShape: staticShape(images.slice(1), 'a sample'), classes, task };
}

const networkKinds: Kinds<Network> = {
  name: must(aName),
  inputShape: must(listOf(aCount(1))),
  classes: must(aCount(1)),
  forward: must(aFunction),
  loss: either(aLoss, { ...aFunction, expects: 'a function of logits and labels' }),
  task: oneOf(...taskNames),
};

/** @returns what messages call it */
function checkNetwork(network: Network): string {
  if (typeof network !== 'object' || network === null) {
    throw new RequestError(
      `the network is ${show(network)}; give an object with ${Object.keys(networkKinds).join(', ')}`,
    );
  }
  const named = typeof network.name === 'string' && network.name !== '' ? `the network ${network.name}` : 'the network';
  checkFields(named, network, networkKinds);
  return named;
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
