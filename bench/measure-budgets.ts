/** @file Finds the plans of a network within budgets, verifies them, and measures them in turn with PyTorch's. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Compiled, compile } from '../src/compile.js';
import { DensecError } from '../src/ir/index.js';
import { loadSolver } from '../src/passes/solvers/index.js';
import { type Bundle, trainingHash, writeBundle } from '../src/runtime/bundle/bundle.js';
import { usualDataMemory } from '../src/runtime/data/memory.js';
import { temporaryFolder } from '../src/runtime/files/atomic-file.js';
import { thisMachine } from '../src/runtime/measure/calibration.js';
import { forecastMemory } from '../src/runtime/measure/forecast.js';
import {
  type Contestant,
  measureRounds,
  type OnProgress,
  stepsContestant,
  summarize,
} from '../src/runtime/measure/rounds.js';
import { type FoundPlan, findPlans } from '../src/runtime/measure/sweep-plans.js';
import { nameOf } from '../src/runtime/report/index.js';
import { cpu } from '../src/runtime/session/devices.js';
import { sessionChoices } from '../src/runtime/session/session-choice.js';
import { verify } from '../src/runtime/verify/index.js';
import { defaultCosts } from '../src/targets/index.js';
import type { BudgetNetwork, BudgetRow } from './budget-rows.js';
import type { PeerSubject } from './peer-subjects.js';
import { findTorch, measureTorch, type TorchRequest } from './torch-peer.js';

/** What to find and to measure. */
export interface BudgetsOptions {
  readonly subject: PeerSubject;
  readonly title: string;
  readonly batchSize: number;
  /** How many budgets, how long to look within each, and which share of a step's time doesn't matter. */
  readonly budgets: number;
  readonly seconds: number;
  readonly gap: number;
  readonly threads: number;
  readonly steps: number;
  readonly rounds: number;
  readonly verify: boolean;
  /** Nothing is run: no verification, no measurement, no PyTorch. */
  readonly planOnly: boolean;
  readonly python: string;
  /** Shares of activations that torch.compile may keep, one contestant each. */
  readonly torchBudgets: readonly number[];
  readonly onPlan: OnProgress;
  readonly onMeasured: OnProgress;
  readonly onNote: (message: string) => void;
  /** Told of all that is known after each row and each measurement, to write it down. */
  readonly onRow: (network: BudgetNetwork) => Promise<void>;
}

/** A row that is still filled in. */
type Row = { -readonly [K in keyof BudgetRow]: BudgetRow[K] };

/** Finds, verifies and measures. A peer that fails is left out from then on, which is told. */
export async function measureBudgets(options: BudgetsOptions): Promise<BudgetNetwork> {
  const { subject, title, batchSize, threads, rounds, planOnly, onRow } = options;
  await loadSolver();
  const folder = await temporaryFolder('budgets');
  try {
    const torch = planOnly ? { missing: undefined } : await findTorch(options.python);
    if ('missing' in torch && torch.missing !== undefined) options.onNote(`PyTorch is left out: ${torch.missing}`);
    const { cpu: model, cores } = thisMachine();
    const rows: Row[] = [];
    const network = {
      ...{ title, batchSize, threads, asked: planOnly ? 0 : rounds, date: new Date().toISOString() },
      machine: `${model}, ${cores} cores`,
      ...{ torch: 'version' in torch ? torch.version : null, costs: defaultCosts, rows },
    };
    const contestants: Contestant<void>[] = [];
    const bundle = await writeBundle(join(folder, 'bundle'), subject.network, compile(subject.network));
    const models = new Map<string, Row[]>();
    for (const found of findPlans(bundle, { ...options })) {
      const row = rowOf(found, batchSize);
      rows.push(row);
      if (found.compiled && !planOnly) {
        const hash = trainingHash(found.compiled);
        const [same] = models.get(hash) ?? [];
        models.set(hash, [...(models.get(hash) ?? []), row]);
        if (same?.verified !== undefined) row.verified = same.verified;
        if (!same) {
          const written = await writeBundle(join(folder, hash), subject.network, found.compiled);
          if (options.verify) row.verified = await isVerified(written, row.name, options);
          contestants.push(ourContestant(written, row.name, () => models.get(hash) ?? [], options));
        }
      }
      await onRow(network);
    }
    if (planOnly) return network;
    if ('version' in torch) contestants.push(...torchContestants(rows, options));
    await measureRounds(
      contestants.map(({ name, measure }) => ({ name, measure: () => measure().then(() => onRow(network)) })),
      rounds,
      options.onMeasured,
    );
    return network;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rowOf({ plan, compiled }: FoundPlan, batchSize: number): Row {
  const { inBundle: _, remat: __, recomputed: ___, measured: ____, ...facts } = plan;
  return {
    name: nameOf({ ...plan, inBundle: false }),
    ...facts,
    ...(compiled && figuresOf(compiled, batchSize)),
    rounds: [],
  };
}

function figuresOf(compiled: Compiled, batchSize: number): Pick<BudgetRow, 'seconds' | 'forecastBytes'> {
  const shape = compiled.forward.inputs.find(({ name }) => name === 'images')?.value.type.shape.slice(1) ?? [];
  const { processBytes } = forecastMemory(compiled, batchSize, usualDataMemory(shape.map(Number)));
  return { forecastBytes: processBytes, ...(compiled.certificate && { seconds: compiled.certificate.seconds }) };
}

async function isVerified(bundle: Bundle, name: string, { threads, onNote }: BudgetsOptions): Promise<boolean> {
  let isGood = true;
  for await (const { name: check, ok, detail } of verify(bundle, { threads })) {
    if (ok) continue;
    isGood = false;
    onNote(`${name}: densec verify fails: ${check}: ${detail}`);
  }
  return isGood;
}

function ourContestant(
  { directory }: Bundle,
  name: string,
  rows: () => readonly Row[],
  { batchSize, steps, threads }: BudgetsOptions,
): Contestant<void> {
  const request = { bundle: directory, batchSize, steps, seed: 0, device: cpu, threads };
  const { measure } = stepsContestant(name, { ...request, session: sessionChoices.training });
  return {
    name,
    async measure() {
      const { stepMs, peakGrowthBytes } = summarize([await measure()]);
      // Plans that are the same model share what is measured of it.
      for (const row of rows()) row.rounds.push({ stepMs: stepMs.median, peakGrowthBytes });
    },
  };
}

/** PyTorch eager, and compiled within shares of its activations; their rows are added. */
function torchContestants(rows: Row[], options: BudgetsOptions): Contestant<void>[] {
  const { subject, batchSize, steps, threads, python, torchBudgets, onNote } = options;
  const [[, naive] = []] = Object.entries(subject.torch);
  const run = { batchSize, steps, threads, seed: 0 };
  const peers: (readonly [name: string, request: TorchRequest])[] = [
    ...Object.entries(subject.torch).map(([name, network]) => [name, { ...network, ...run }] as const),
    ...torchBudgets.flatMap((activationBudget) =>
      naive ? [[`torch.compile, budget ${activationBudget}`, { ...naive, ...run, activationBudget }] as const] : [],
    ),
  ];
  return peers.map(([name, request]) => {
    const { activationBudget } = request;
    const row: Row = { name, ...(activationBudget !== undefined && { activationBudget }), rounds: [] };
    rows.push(row);
    return {
      name,
      async measure() {
        if (row.failed !== undefined) return;
        try {
          const { stepMs, peakGrowthBytes } = await measureTorch(python, request);
          row.rounds.push({ stepMs, peakGrowthBytes });
        } catch (error) {
          if (!(error instanceof DensecError)) throw error;
          row.failed = error.message;
          onNote(`${name} is left out from here on: ${error.message}`);
        }
      },
    };
  });
}
