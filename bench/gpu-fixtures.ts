/** @file Rows of bench:gpu: training steps on a device beside PyTorch's reference steps. */

import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DenseNetConfig, densenet, type LossChoice } from '../src/builders/index.js';
import { compile } from '../src/compile.js';
import type { OptimizerChoice } from '../src/passes/optimizers/index.js';
import type { RematName } from '../src/passes/solvers/index.js';
import { writeBundle } from '../src/runtime/bundle/bundle.js';
import { readSafetensors } from '../src/runtime/files/safetensors.js';
import { readState, type State } from '../src/runtime/model/state.js';
import { readBatch, runSteps } from '../src/runtime/model/step.js';
import { difference, largest } from '../src/runtime/verify/difference.js';
import { isOptimizerState } from '../src/step/interface.js';
import type { KernelsName } from '../src/targets/index.js';
import type { CheckRow, PlannedRow } from './gpu-report.js';
import type { GpuRequest } from './gpu-steps.js';

/** What `reference` of bench/peer/torch_densenet.py writes to losses.json, as far as it is read here. */
interface Reference {
  readonly optimizer: OptimizerChoice;
  /** Absent where it is the plain cross-entropy. */
  readonly loss?: LossChoice;
  readonly losses: readonly number[];
  readonly lr: number;
  readonly config: DenseNetConfig;
  readonly float32Departure: number;
}

/** How far from float64 float32 may be: relative for losses, over a tensor's largest value for state. */
const allowed = { loss: 1e-5, state: 1e-4, ownDepartures: 3 } as const;

/** A row for each reference, kind of kernels and policy, all in float32 without TF32. */
export function fixtureRows(folder: string, request: GpuRequest): readonly PlannedRow[] {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  const chosen = request.quick ? names.slice(0, 2) : names;
  return chosen.flatMap((name) =>
    (['cudnn', 'plain'] as const).map((kernels): PlannedRow => {
      const remat = kernels === 'cudnn' ? 'max' : 'none';
      return {
        name: `${name}, ${kernels}, ${remat}`,
        measure: () => compareSteps(join(folder, name), kernels, remat, request),
      };
    }),
  );
}

async function compareSteps(
  fixture: string,
  kernels: KernelsName,
  remat: RematName,
  { device, directory }: GpuRequest,
): Promise<CheckRow> {
  const text = await readFile(join(fixture, 'losses.json'), 'utf8');
  const { config, optimizer, loss: kind, lr, losses, float32Departure } = JSON.parse(text) as Reference;
  const network = densenet(config);
  const compiled = compile(network, { optimizer, loss: kind, remat, target: 'cuda', kernels });
  const bundle = await writeBundle(join(directory, 'fixture'), network, compiled, { config, force: true });
  const state = await readState(join(fixture, 'state.safetensors'), bundle);
  const batch = await readBatch(join(fixture, 'batch.safetensors'), bundle, true);
  const after = (await readSafetensors(join(fixture, 'after.safetensors'))).tensors;
  const ours = await runSteps(bundle, { state, batch, learningRate: lr, steps: losses.length, device, tf32: false });
  const loss = Math.max(...ours.losses.map((value, step) => Math.abs(value / (losses[step] ?? Number.NaN) - 1)));
  const tensors = departure(ours.state, after);
  const limit = Math.max(allowed.state, allowed.ownDepartures * float32Departure);
  return {
    kind: 'check',
    passed: loss <= allowed.loss && tensors <= limit,
    detail: `losses ${loss.toExponential(1)}, state ${tensors.toExponential(1)}`,
  };
}

/** The largest difference of parameters and running statistics, over each tensor's largest value. */
function departure(ours: State, theirs: State): number {
  const departures = [...theirs].flatMap(([name, { data: expected }]) => {
    if (isOptimizerState(name)) return [];
    const apart = difference({ found: ours.get(name)?.data ?? [], expected });
    return [apart === 0 ? 0 : apart / largest(expected)];
  });
  return Math.max(...departures);
}
