/** @file densec calibrate: this machine's table of costs, and how well it predicts steps of plans that it wasn't fitted to. */

import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { densenet } from '../../builders/index.js';
import { compile } from '../../compile.js';
import { writeBundle } from '../bundle/bundle.js';
import { temporaryFolder } from '../files/atomic-file.js';
import { requireRuntime, runtimeVersion } from '../session/runtime-package.js';
import { type Calibration, nameOfCosts, thisMachine } from './calibration.js';
import { type FittedRow, measureCosts } from './costs.js';
import type { OnProgress } from './rounds.js';
import { type ModelError, modelErrorOf, type SweptPlan, sweepPlans } from './sweep-plans.js';

/** How to calibrate. */
export interface CalibrateOptions {
  /** Threads of an operator; by default as many as there are cores. */
  readonly threads?: number | undefined;
  /** Whether plans of a small network within ten budgets are measured too, and held against the table; by default they are. */
  readonly check?: boolean | undefined;
  /** Told after each measurement that the table is fitted to. */
  readonly onMeasured?: OnProgress;
  /** Told of each plan of the check as it is found, then after each of its measurements. */
  readonly onPlan?: OnProgress;
  readonly onChecked?: OnProgress;
}

/** What came of it. */
export interface CalibrationReport {
  readonly calibration: Calibration;
  /** The steps that the table was fitted to. */
  readonly runs: readonly FittedRow[];
  readonly check?: CalibrationCheck;
}

/** Plans of a network that the table wasn't fitted to, predicted and measured. */
export interface CalibrationCheck extends ModelError {
  readonly network: string;
  readonly batchSize: number;
  readonly plans: readonly SweptPlan[];
}

/** DenseNet-BC with so many layers, so many budgets, and how many seconds to look for the best plan within each. */
const [depth, batchSize, budgets, seconds] = [16, 64, 10, 2];

/**
 * Measures what kernels cost on this machine's CPU, in a minute or two.
 * @throws FailureError when the runtime is missing or a measurement fails
 */
export async function calibrate(options: CalibrateOptions = {}): Promise<CalibrationReport> {
  requireRuntime();
  const { threads = availableParallelism(), check = true, onMeasured } = options;
  const date = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const facts = { machine: thisMachine(), threads, onnxruntime: runtimeVersion(), date };
  const { costs, runs } = await measureCosts(nameOfCosts(facts), threads, onMeasured);
  const calibration = { ...facts, costs };
  return { calibration, runs, ...(check && { check: await checkOf(calibration, options) }) };
}

async function checkOf({ costs, threads }: Calibration, options: CalibrateOptions): Promise<CalibrationCheck> {
  const network = densenet({ depth });
  const folder = await temporaryFolder('calibrate');
  try {
    const bundle = await writeBundle(join(folder, 'bundle'), network, compile(network));
    const plans = await sweepPlans(bundle, {
      ...{ batchSize, budgets, seconds, costs, measure: { threads } },
      ...(options.onPlan && { onPlan: options.onPlan }),
      ...(options.onChecked && { onMeasured: options.onChecked }),
    });
    return { network: network.name, batchSize, plans, ...modelErrorOf(plans) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
