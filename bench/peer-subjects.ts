/** @file What is compared: a network of ours, PyTorch's forms of it, and whether both are the same network. */

import { join } from 'node:path';
import { type DenseNetConfig, densenet, type Network } from '../src/builders/index.js';
import { FailureError } from '../src/ir/index.js';
import type { Bundle } from '../src/runtime/bundle/bundle.js';
import { writeSafetensors } from '../src/runtime/files/safetensors.js';
import { randomBatch } from '../src/runtime/measure/random-batch.js';
import { readState } from '../src/runtime/model/state.js';
import { runSteps } from '../src/runtime/model/step.js';
import { type PlainName, plainNetworks } from './plain-networks.js';
import { type TorchNetwork, torchLosses } from './torch-peer.js';

/** A network on both sides. */
export interface PeerSubject {
  readonly network: Network;
  /** Its configuration, where it is a DenseNet. */
  readonly config?: DenseNetConfig;
  /** PyTorch's contestants by name. */
  readonly torch: Readonly<Record<string, TorchNetwork>>;
  /** The one that is to have our losses, where both sides can begin with the same weights. */
  readonly same?: TorchNetwork;
}

/** DenseNet-BC, in PyTorch naive and checkpointed. */
export function denseNetSubject(config: DenseNetConfig): PeerSubject {
  return {
    network: densenet(config),
    config,
    torch: {
      'PyTorch naive': { config, efficient: false },
      'PyTorch checkpointed': { config, efficient: true },
    },
  };
}

/** A plain network. */
export function plainSubject(plain: PlainName, imageSize: number = plainNetworks[plain].imageSize): PeerSubject {
  const same = { plain, imageSize };
  return { network: plainNetworks[plain].build(imageSize), torch: { PyTorch: same }, same };
}

/** The losses of the same steps on both sides. */
export interface SameLosses {
  readonly densec: readonly number[];
  /** In float64. */
  readonly torch: readonly number[];
}

/** What the losses of two implementations of one network may differ by, relatively; ours are float32. */
const tolerance = 1e-4;

/** Steps whose losses are compared: the second one's depends on all gradients of the first. */
const steps = 2;

/** Small: where float32 rounds an operand of a ReLU to the other side of 0, a large step would magnify it. */
const learningRate = 1e-3;

/**
 * Takes steps from the same weights on the same batch on both sides and compares the losses before each.
 * @param directory for the batches
 * @throws FailureError when the losses differ, or the parameters do
 */
export async function requireSameLosses(
  network: TorchNetwork,
  bundle: Bundle,
  { python, directory, batchSize, threads, seed }: SameLossesRequest,
): Promise<SameLosses> {
  const batch = randomBatch(bundle.manifest, batchSize, seed);
  const state = await readState(bundle.initial, bundle);
  const ours = await runSteps(bundle, { state, batch, learningRate, steps, threads });
  const batches = join(directory, 'batches.safetensors');
  // The same batch for each step, one behind the other.
  const shape = [2 * batchSize, ...bundle.manifest.inputShape];
  const images = new Float32Array(2 * batch.images.data.length);
  const labels = new BigInt64Array(2 * batchSize);
  for (const step of [0, 1]) {
    images.set(batch.images.data, step * batch.images.data.length);
    labels.set(batch.labels.data, step * batchSize);
  }
  await writeSafetensors(batches, [
    ['images', { dtype: 'float32', shape, data: images }],
    ['labels', { dtype: 'int64', shape: [2 * batchSize], data: labels }],
  ]);
  const request = { ...network, batchSize, steps, threads, seed, learningRate };
  const torch = await torchLosses(python, request, { state: bundle.initial, batches });
  const isSame = torch.every((loss, step) => Math.abs((ours.losses[step] ?? Number.NaN) - loss) <= tolerance * loss);
  if (torch.length === steps && isSame) return { densec: ours.losses, torch };
  throw new FailureError(
    `${bundle.manifest.name}: from the same weights our losses are ${ours.losses.join(', ')}, PyTorch's ${torch.join(', ')}; they may differ by ${tolerance}, so these are two networks and not compared`,
  );
}

interface SameLossesRequest {
  readonly python: string;
  readonly directory: string;
  readonly batchSize: number;
  readonly threads: number;
  readonly seed: number;
}
