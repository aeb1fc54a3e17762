/** @file Rows of bench:gpu: time and memory of training steps, PyTorch's and ours, each in a process of its own. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type DenseNetConfig, denseNetConfig, densenet } from '../src/builders/index.js';
import { compile } from '../src/compile.js';
import { planMemory } from '../src/memory/plan.js';
import type { RematName } from '../src/passes/solvers/index.js';
import { writeBundle } from '../src/runtime/bundle/bundle.js';
import { measureInChild } from '../src/runtime/measure/rounds.js';
import { median } from '../src/runtime/measure/statistics.js';
import { watchCardMemory } from '../src/runtime/session/cuda/nvml.js';
import type { Device } from '../src/runtime/session/devices.js';
import { sessionChoices } from '../src/runtime/session/session-choice.js';
import type { KernelsName } from '../src/targets/index.js';
import type { PlannedRow, StepsRow } from './gpu-report.js';
import { runPeer, torchArguments } from './torch-peer.js';

/** How rows are measured. */
export interface GpuRequest {
  readonly device: Device;
  /** Folder for bundles. */
  readonly directory: string;
  readonly python: string;
  readonly steps: number;
  readonly quick: boolean;
  readonly threads: number;
}

/** Steps that pay for plans of convolutions, memory and the capture of a graph. */
const warmUp = 5;

type Setting = readonly [network: string, config: DenseNetConfig, batchSize: number, policies: readonly RematName[]];

function settings(quick: boolean): readonly Setting[] {
  if (quick) return [['depth 16', denseNetConfig({ depth: 16 }), 8, ['none', 'max']]];
  const bc100 = denseNetConfig({ depth: 100 });
  return [
    ['BC-100', bc100, 64, ['none', 'efficient', 'max']],
    ['BC-100', bc100, 256, ['none', 'max']],
    ['densenet121', denseNetConfig({ arch: 'densenet121' }), 32, ['none', 'max']],
  ];
}

/** All rows: of each network and batch PyTorch's, then ours; what takes PyTorch long to compile comes last. */
export function stepRows(request: GpuRequest): readonly PlannedRow[] {
  const onCuda = request.device.target === 'cuda';
  const rows = settings(request.quick).flatMap((setting) => [
    ...(onCuda ? (['naive', 'checkpointed', 'graph'] as const).map((mode) => torchRow(setting, mode, request)) : []),
    ...(['cudnn', 'plain'] as const).flatMap((kernels) =>
      setting[3].map((remat) => ownRow(setting, kernels, remat, request)),
    ),
  ]);
  const compiled = onCuda ? settings(request.quick).map((setting) => torchRow(setting, 'compiled', request)) : [];
  return [...rows, ...compiled];
}

function ownRow(
  [network, config, batchSize]: Setting,
  kernels: KernelsName,
  remat: RematName,
  { device, directory, steps, threads }: GpuRequest,
): PlannedRow {
  return {
    name: `densec ${remat}, ${kernels}, ${network}, batch ${batchSize}`,
    async measure(): Promise<StepsRow> {
      const compiled = compile(densenet(config), { target: 'cuda', kernels, remat });
      const folder = join(directory, `${network}-${kernels}-${remat}`.replaceAll(' ', '-'));
      const bundle = await writeBundle(folder, densenet(config), compiled, { config, force: true });
      const { reason: _, ...session } = sessionChoices.training;
      const measured = await measureInChild({
        bundle: bundle.directory,
        batchSize,
        steps: steps + warmUp,
        seed: 0,
        device,
        threads,
        session,
      });
      return {
        kind: 'steps',
        network,
        batchSize,
        stepMs: median(measured.stepMs.slice(warmUp)),
        firstStepSeconds: (measured.sessionMs + (measured.stepMs[0] ?? 0)) / 1000,
        allocatorPeakBytes: measured.arena?.peakBytes ?? null,
        cardPeakBytes: measured.cardPeakBytes ?? null,
        planBytes: planMemory(compiled.schedules.training, batchSize).peakBytes,
        nodes: bundle.manifest.models.training.nodes,
      };
    },
  };
}

const root = import.meta.url.endsWith('.ts') ? '../' : '../../';
const script = fileURLToPath(new URL(`${root}bench/peer/torch_gpu.py`, import.meta.url));
const reply = z.object({ stepMs: z.number(), peakBytes: z.number(), firstSeconds: z.number() });

function torchRow(
  [network, config, batchSize]: Setting,
  mode: string,
  { device, python, steps }: GpuRequest,
): PlannedRow {
  return {
    name: `PyTorch ${mode}, ${network}, batch ${batchSize}`,
    async measure(): Promise<StepsRow> {
      const watched = watchCardMemory(device.index);
      const flags = torchArguments({ config, efficient: false, batchSize, steps, threads: 1, seed: 0 });
      const { stepMs, peakBytes, firstSeconds } = reply.parse(await runPeer(python, [script, mode, ...flags]));
      return {
        kind: 'steps',
        network,
        batchSize,
        stepMs,
        firstStepSeconds: firstSeconds,
        allocatorPeakBytes: peakBytes,
        cardPeakBytes: watched?.() ?? null,
        planBytes: null,
        nodes: null,
      };
    },
  };
}
