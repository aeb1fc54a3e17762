/** @file --costs: which table says what nodes cost, by which plans within a budget are chosen and times are modelled. */

import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { RequestError } from '../src/ir/index.js';
import { findCalibration, readCalibration } from '../src/runtime/measure/calibration.js';
import { type Costs, defaultCosts, type TargetName, targets } from '../src/targets/index.js';
import { note, warn } from './output.js';

/** Which table flags ask for. */
export interface CostsFlags {
  readonly costs?: string | undefined;
  readonly threads?: number | undefined;
}

/** Adds --costs. */
export function addCostsOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--costs <table>',
      "by what times are modelled: default, densec's own table, the same everywhere; or a file that densec calibrate wrote (default: this machine's, once densec calibrate has measured it, else densec's)",
    ),
  );
}

/**
 * The table of costs that flags ask for, or that this machine was measured to have. Which one it is, is told where it isn't
 * densec's own; so is why a table that is kept for this machine isn't used.
 * @throws RequestError for a table of another target; FailureError when the file can't be read
 */
export async function costsOf(
  { costs, threads = availableParallelism() }: CostsFlags,
  target: TargetName,
): Promise<Costs> {
  const own = targets[target].costs;
  if (costs === defaultCosts) return own;
  if (costs !== undefined) {
    if (target !== 'cpu') {
      throw new RequestError(
        `--costs ${costs} has the costs of a CPU, and the models are for ${target}; say --costs default, or leave it out`,
      );
    }
    return told((await readCalibration(costs)).costs);
  }
  // Only CPUs are measured.
  if (target !== 'cpu') return own;
  const { calibration, refused } = await findCalibration(threads);
  if (refused !== undefined) warn(refused);
  return calibration ? told(calibration.costs) : own;
}

function told(costs: Costs): Costs {
  note(`costs: ${costs.name}; --costs default takes densec's own table`);
  return costs;
}
