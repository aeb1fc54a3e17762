/** @file The same steps as PyTorch: every folder of test/fixtures/torch, made by the make.sh there. */

import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DenseNetConfig, densenet, type LossChoice } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import type { TensorData } from '../../src/ir/index.js';
import type { OptimizerChoice } from '../../src/passes/optimizers/index.js';
import { type RematName, solvers } from '../../src/passes/solvers/index.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { readState, type State } from '../../src/runtime/model/state.js';
import { evaluateBatch, readBatch, runSteps, type StepsResult } from '../../src/runtime/model/step.js';
import { cpu, type Device } from '../../src/runtime/session/devices.js';
import { isOptimizerState, parseSlotName } from '../../src/step/interface.js';
import type { KernelsName, TargetName } from '../../src/targets/index.js';
import { webgpu } from '../helpers/webgpu.js';

/** What `reference` of bench/peer/torch_densenet.py writes to losses.json. */
interface Facts {
  readonly optimizer: OptimizerChoice;
  /** Absent where it is the plain cross-entropy. */
  readonly loss?: LossChoice;
  readonly losses: readonly number[];
  readonly evalLossBefore: number;
  /** Where gradients are clipped by norm: what clip_grad_norm_ gave at each update. */
  readonly gradientNorms?: readonly number[];
  /** Where an average of the weights is kept: its loss after the steps. */
  readonly evalLossOfAverage?: number;
  readonly lr: number;
  readonly config: DenseNetConfig;
  readonly float32Departure: number;
  readonly float32MomentumDeparture: number;
}

/**
 * How far our float32 may be from PyTorch's float64: relative for losses, over a tensor's largest value for state, and
 * 3 times PyTorch's own float32 where that is further. It is in `imagenet` and `imagenet-odd` alone, by 3e-5 and 5e-5
 * for momentum: batch norm's gradients of few samples nearly cancel there, and float32 itself holds no more of them.
 */
const tolerance = { loss: 1e-5, state: 1e-5, momentum: 1e-5, ownDepartures: 3 } as const;

const root = fileURLToPath(new URL('../fixtures/torch/', import.meta.url));
const fixtures = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

interface Variant {
  readonly fixture: string;
  readonly remat: RematName;
  readonly kernels: KernelsName;
  readonly target: TargetName;
  readonly device: Device;
}

const usual = { kernels: 'plain', target: 'cpu', device: cpu } as const;

const variants = fixtures.flatMap((fixture) =>
  (Object.keys(solvers) as RematName[]).map((remat): Variant => ({ ...usual, fixture, remat })),
);

/** WebGPU's lowering, which pools without indices, on the CPU; and on WebGPU, where that can be opened here. */
const webgpuVariants = [cpu, ...(webgpu ? [webgpu] : [])].flatMap((device) =>
  ['cifar', 'imagenet', 'imagenet-odd'].flatMap((fixture) =>
    (['none', 'max'] as const).map((remat): Variant => ({ ...usual, target: 'webgpu', device, fixture, remat })),
  ),
);

/** CUDA's lowering to plain operators, on the CPU. */
const cudaVariants = (['cifar', 'imagenet-odd', 'adamw-groups'] as const).flatMap((fixture) =>
  (['none', 'max'] as const).map((remat): Variant => ({ ...usual, target: 'cuda', fixture, remat })),
);

/** Operators of our own run by their reference kernels, which take their time: both stems, and another optimizer. */
const ownVariants = [
  { fixture: 'cifar', remat: 'none' },
  { fixture: 'cifar', remat: 'max' },
  { fixture: 'imagenet-odd', remat: 'efficient' },
  { fixture: 'imagenet-odd', remat: 'max' },
  { fixture: 'adamw-groups', remat: 'max' },
  { fixture: 'weights-smoothing', remat: 'max' },
  { fixture: 'bce-pos-weight', remat: 'efficient' },
  { fixture: 'huber', remat: 'max' },
].map(
  (variant): Variant => ({ ...usual, ...variant, remat: variant.remat as RematName, target: 'cuda', kernels: 'cudnn' }),
);

/** Node's binding knows no operators of ours. */
const runsOwn = process.platform === 'linux' && process.arch === 'x64' && process.env.DENSEC_RUNTIME !== 'binding';

describe.each([...variants, ...webgpuVariants, ...cudaVariants, ...(runsOwn ? ownVariants : [])])(
  '$fixture, recomputing $remat, $kernels for $target on $device.target',
  ({ fixture, remat, kernels, target, device }) => {
    const file = (name: string): string => join(root, fixture, name);
    let directory: string;
    let facts: Facts;
    let after: State;
    let ours: StepsResult;
    let evaluation: { readonly loss: number };
    let ofAverage: { readonly loss: number };

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'densec-torch-'));
      facts = JSON.parse(await readFile(file('losses.json'), 'utf8')) as Facts;
      const { config, optimizer, loss, lr, losses } = facts;
      const network = densenet(config);
      const compiled = compile(network, {
        optimizer,
        loss,
        remat,
        kernels,
        target,
      });
      const bundle = await writeBundle(join(directory, 'bundle'), network, compiled, { config });
      const state = await readState(file('state.safetensors'), bundle);
      const batch = await readBatch(file('batch.safetensors'), bundle, true);
      after = (await readSafetensors(file('after.safetensors'))).tensors;
      evaluation = await evaluateBatch(bundle, state, batch, { device });
      ours = await runSteps(bundle, { state, batch, learningRate: lr, steps: losses.length, device });
      ofAverage = await evaluateBatch(bundle, ours.state, batch, { device });
    });

    afterAll(() => rm(directory, { recursive: true, force: true }));

    test('has the losses of at least 4 steps', () => {
      expect(ours.losses.length).toBeGreaterThanOrEqual(4);
      const errors = ours.losses.map((loss, step) => relativeError(loss, facts.losses[step]));
      expect(errors.filter((error) => !(error <= tolerance.loss))).toEqual([]);
    });

    test('has the loss of the evaluation mode', () => {
      const { evalLossBefore } = facts;
      expect(Math.abs(evaluation.loss - evalLossBefore)).toBeLessThanOrEqual(
        tolerance.loss * Math.max(1, evalLossBefore),
      );
    });

    test('has the norms of the gradients, and evaluates the average', () => {
      const { gradientNorms = [], evalLossOfAverage = ofAverage.loss, optimizer } = facts;
      const found = optimizer.clipNorm === undefined ? [] : (ours.gradientNorms ?? []);
      expect(found).toHaveLength(gradientNorms.length);
      const errors = gradientNorms.map((norm, update) => relativeError(found[update] ?? Number.NaN, norm));
      expect(errors.filter((error) => !(error <= tolerance.loss))).toEqual([]);
      expect(relativeError(ofAverage.loss, evalLossOfAverage)).toBeLessThanOrEqual(tolerance.loss);
    });

    test('has the parameters, running statistics and what the optimizer keeps after the steps', () => {
      const found = [...after.keys()].flatMap((name) => describeDeparture(ours.state, after, name, allowed(name)));
      expect(found).toEqual([]);
      expect([...ours.state.keys()].filter((name) => !isExtra(name)).sort()).toEqual([...after.keys()].sort());
    });

    function allowed(name: string): number {
      return parseSlotName(name) && !name.startsWith('ema.')
        ? Math.max(tolerance.momentum, tolerance.ownDepartures * facts.float32MomentumDeparture)
        : Math.max(tolerance.state, tolerance.ownDepartures * facts.float32Departure);
    }
  },
);

test('there are fixtures', () => {
  expect(fixtures.length).toBeGreaterThan(0);
});

/** What PyTorch has in another form: the weights of adam's averages, and gradients that its parameters hold. */
function isExtra(name: string): boolean {
  return (
    isOptimizerState(name) && !['momentum', 'variance', 'gradientMean', 'ema'].includes(parseSlotName(name)?.role ?? '')
  );
}

function relativeError(value: number, expected = Number.NaN): number {
  return Math.abs(value - expected) / Math.abs(expected);
}

/** What is wrong with a tensor, or nothing. Whole numbers must be equal. */
function describeDeparture(ours: State, theirs: State, name: string, allowed: number): string[] {
  const [tensor, reference] = [ours.get(name), theirs.get(name) as TensorData];
  if (tensor?.dtype !== reference.dtype || tensor.shape.join() !== reference.shape.join()) {
    return [`${name} is ${tensor?.dtype} [${tensor?.shape}], not ${reference.dtype} [${reference.shape}]`];
  }
  const expected = Array.from(reference.data as ArrayLike<number | bigint>, Number);
  const values = Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  const difference = largest(values.map((value, index) => value - (expected[index] ?? Number.NaN)));
  const departure = difference === 0 ? 0 : difference / largest(expected);
  const limit = reference.dtype === 'int64' ? 0 : allowed;
  return departure <= limit ? [] : [`${name} departs by ${departure} of its largest value; ${limit} is allowed`];
}

/** The largest absolute value, NaN if there is one. */
function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
