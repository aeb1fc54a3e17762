/** @file A bundle: the folder that `densec build` writes and everything else reads. */

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { DenseNetConfig, Network } from '../../builders/index.js';
import type { Compiled } from '../../compile.js';
import {
  aFlag,
  anObject,
  aPath,
  aSeed,
  checkOptions,
  checkValue,
  FailureError,
  type Graph,
  type Kinds,
  printGraph,
} from '../../ir/index.js';
import { recordPlan } from '../../memory/plan-record.js';
import type { Schedule } from '../../memory/schedule.js';
import { encodeGraph } from '../../onnx/index.js';
import { usualLayout } from '../../passes/layout.js';
import { dropoutInputs } from '../../step/interface.js';
import { version } from '../../version.js';
import { fileFailure, makeFolder, syncFolder, temporaryIn, writeFileAtomic } from '../files/atomic-file.js';
import { isLock } from '../files/run-lock.js';
import { writeSafetensors } from '../files/safetensors.js';
import { runtimeVersion } from '../session/runtime-package.js';
import { formatVersion, type Manifest, parseManifest } from './manifest.js';

const manifestFile = 'manifest.json';
const forwardFile = 'forward.txt';

/** An opened bundle: what its manifest says and where its files are. */
export interface Bundle {
  readonly directory: string;
  readonly manifest: Manifest;
  /** Path of the training model. */
  readonly training: string;
  /** Path of the evaluation model. */
  readonly evaluation: string;
  /** Path of the initial state. */
  readonly initial: string;
  /** Text of the forward graph, which `forwardGraph` reads; absent in bundles of format 1. */
  readonly forwardText: string | undefined;
}

/** What to write beside the compiled graphs. */
export interface BundleOptions {
  /** The configuration, where the network is a DenseNet. */
  readonly config?: DenseNetConfig;
  readonly seed?: number;
  /** Writes into a folder that holds other files, replacing those of a bundle. */
  readonly force?: boolean;
}

const bundleKinds: Kinds<BundleOptions> = { config: anObject, seed: aSeed, force: aFlag };

/**
 * Writes a bundle. The folder appears as a whole or not at all.
 * @throws FailureError when the folder holds anything (unless forced) or can't be written
 */
export async function writeBundle(
  directory: string,
  network: Pick<Network, 'name' | 'inputShape' | 'classes'>,
  compiled: Compiled,
  options: BundleOptions = {},
): Promise<Bundle> {
  checkValue("the bundle's folder", directory, aPath);
  checkOptions('writeBundle', options, bundleKinds);
  checkValue('the compiled network', (compiled as Partial<Compiled> | undefined)?.schedules, {
    expects: 'what compile returns',
    accepts: anObject.accepts,
  });
  const target = resolve(directory);
  await prepareOutputFolder(target, options.force ?? false);
  const training = encodeGraph(compiled.schedules.training);
  const evaluation = encodeGraph(compiled.schedules.evaluation);
  const forward = forwardTextOf(compiled);
  const manifest = describe(network, compiled, options, { training, evaluation, forward });
  let temporary: string | undefined;
  try {
    await makeFolder(dirname(target));
    temporary = temporaryIn(dirname(target));
    await mkdir(temporary);
    await writeFileAtomic(join(temporary, manifest.models.training.file), training);
    await writeFileAtomic(join(temporary, manifest.models.evaluation.file), evaluation);
    await writeFileAtomic(join(temporary, forwardFile), forward);
    await writeSafetensors(join(temporary, manifest.initial.file), compiled.initial);
    await writeFileAtomic(join(temporary, manifestFile), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await moveInto(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    if (temporary) await rm(temporary, { recursive: true, force: true });
    throw fileFailure('write', target, error);
  }
  return bundleAt(directory, manifest, forward);
}

/**
 * Copies a bundle. The copy appears as a whole or not at all.
 * @throws FailureError when it can't be read or written
 */
export async function copyBundle({ directory, manifest, forwardText }: Bundle, to: string): Promise<Bundle> {
  const target = resolve(to);
  const temporary = temporaryIn(dirname(target));
  const { models, initial, forward } = manifest;
  const files = [models.training.file, models.evaluation.file, ...(forward ? [forward.file] : []), initial.file];
  try {
    await mkdir(temporary);
    for (const file of [...files, manifestFile]) {
      await writeFileAtomic(join(temporary, file), await readFile(join(directory, file)));
    }
    await moveInto(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw fileFailure('write', target, error);
  }
  return bundleAt(to, manifest, forwardText);
}

/**
 * Opens a bundle and checks that its models and its forward graph are those that its manifest describes.
 * @throws FailureError when the folder is no bundle, or a file is missing or was changed
 */
export async function openBundle(directory: string): Promise<Bundle> {
  checkValue("the bundle's folder", directory, aPath);
  const path = join(directory, manifestFile);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw fileFailure('read', path, error);
    throw new FailureError(
      `${directory} is not a bundle: it has no ${manifestFile}; make one with densec build -o ${directory}`,
    );
  });
  const manifest = parseManifest(text, path);
  const { models, forward } = manifest;
  await readChecked(join(directory, models.training.file), models.training.sha256);
  await readChecked(join(directory, models.evaluation.file), models.evaluation.sha256);
  const forwardBytes = forward && (await readChecked(join(directory, forward.file), forward.sha256));
  return bundleAt(directory, manifest, forwardBytes?.toString('utf8'));
}

/**
 * Requires that an output folder is new or empty.
 * @throws FailureError when it holds anything and `force` is not set
 */
export async function prepareOutputFolder(directory: string, force: boolean): Promise<void> {
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') throw new FailureError(`${directory} is a file, not a folder; choose another name`);
    throw fileFailure('write', directory, error);
  });
  const others = entries.filter((entry) => !isLock(entry));
  if (others.length === 0 || force) return;
  throw new FailureError(
    `${directory} already holds ${others.length} files; choose another folder, or --force to replace them`,
  );
}

/** Renames a folder to its place; where that holds other files, only the folder's own are replaced, manifest last. */
async function moveInto(temporary: string, target: string): Promise<void> {
  const existing = await readdir(target).catch(() => []);
  if (existing.length === 0) {
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
    return;
  }
  const files = await readdir(temporary);
  for (const file of files.sort((a, b) => Number(a === manifestFile) - Number(b === manifestFile))) {
    await rename(join(temporary, file), join(target, file));
  }
  await rm(temporary, { recursive: true });
}

function bundleAt(directory: string, manifest: Manifest, forwardText: string | undefined): Bundle {
  return {
    directory,
    manifest,
    training: join(directory, manifest.models.training.file),
    evaluation: join(directory, manifest.models.evaluation.file),
    initial: join(directory, manifest.initial.file),
    forwardText,
  };
}

function describe(
  network: Pick<Network, 'name' | 'inputShape' | 'classes'>,
  compiled: Compiled,
  { config, seed = 0 }: BundleOptions,
  { training, evaluation, forward: text }: { training: Uint8Array; evaluation: Uint8Array; forward: string },
): Manifest {
  const { forward, segments } = compiled;
  const parameters = segments.filter(({ role }) => role === 'parameter');
  return {
    formatVersion,
    densec: version,
    onnxruntime: runtimeVersion(),
    name: network.name,
    ...(config && { network: config }),
    inputShape: [...network.inputShape],
    classes: network.classes,
    parameters: parameters.reduce((sum, { length }) => sum + length, 0),
    layers: forward.nodes.filter(({ operator }) => operator === 'conv2d' || operator === 'matMul').length,
    leastBatchSize: compiled.leastBatchSize,
    target: compiled.target,
    kernels: compiled.kernels,
    ...(compiled.processes && { processes: true as const }),
    ...(compiled.syncBatchNorm && { syncBatchNorm: true as const }),
    remat: compiled.remat,
    ...((compiled.remat === 'custom' || compiled.remat === 'budget') && { recomputed: [...compiled.recomputed] }),
    ...(compiled.layout !== usualLayout && { layout: compiled.layout }),
    ...(compiled.certificate && { solver: compiled.certificate }),
    optimizer: compiled.optimizer,
    loss: compiled.loss,
    seed,
    dropout: compiled.training.inputs.some(({ name }) => name === dropoutInputs.step),
    models: {
      training: describeModel('training_model.onnx', training, compiled.training),
      evaluation: describeModel('eval_model.onnx', evaluation, compiled.evaluation),
    },
    forward: { file: forwardFile, sha256: sha256(Buffer.from(text)) },
    ...(compiled.segmentBytes !== undefined && { segmentBytes: compiled.segmentBytes }),
    initial: { file: 'initial.safetensors' },
    state: segments.map((segment) => ({
      ...segment,
      tensors: segment.tensors.map((tensor) => ({ ...tensor, shape: [...tensor.shape] })),
    })),
    plan: describePlan(compiled.schedules.training),
  };
}

function describePlan(training: Schedule): NonNullable<Manifest['plan']> {
  const { order, recompute, livePeak, ...rest } = recordPlan(training);
  return { ...rest, order: [...order], recompute: [...recompute], livePeak: [...livePeak] };
}

function describeModel(file: string, bytes: Uint8Array, graph: Graph): Manifest['models']['training'] {
  return { file, sha256: sha256(bytes), nodes: graph.nodes.filter(({ operator }) => operator !== 'constant').length };
}

/** The bytes of a file whose hash the manifest has. */
async function readChecked(path: string, expected: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  if (sha256(bytes) !== expected) {
    throw new FailureError(`${path} is damaged or not the one its manifest.json describes; build the bundle again`);
  }
  return bytes;
}

/** The hash that the manifest of a compiled network keeps of its training model. */
export function trainingHash({ schedules }: Compiled): string {
  return sha256(encodeGraph(schedules.training));
}

/** The hash that manifests keep of a model. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The text of a compiled network's forward graph, as bundles keep it. */
export function forwardTextOf({ forward }: Pick<Compiled, 'forward'>): string {
  return `${printGraph(forward)}\n`;
}
