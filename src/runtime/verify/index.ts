/** @file Verification of a bundle: its plan survives whatever the runtime does to the model. */

import { initialize } from '../../builders/initialize.js';
import { taskOf } from '../../builders/losses/index.js';
import { FailureError } from '../../ir/index.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import { noiseBatch } from '../data/noise.js';
import { checkBatch } from '../model/model.js';
import { readState } from '../model/state.js';
import type { SessionOptions } from '../session/session.js';
import { type Check, counted, type Outcome } from './check.js';
import { checkArena, checkPeak } from './memory.js';
import { checkAgainst, checkComparable, checkRunning } from './numbers.js';
import { type Observed, type ObserveOptions, observe, type Planned, readPlanned } from './observed.js';
import { checkFile, checkOrder, checkSimulator } from './order.js';
import { checkLate, checkRecomputed, checkStatistics } from './recompute.js';

export type { Check } from './check.js';

/** What to verify. */
export interface VerifyOptions extends SessionOptions {
  /** Images a step; 4, or the least the network takes, where nothing is said. */
  readonly batchSize?: number;
  /** A bundle of the same network that must take the same step. */
  readonly against?: Bundle;
  /** Optimizers of the runtime to leave out, to find the one that undoes a plan; none where nothing is said. */
  readonly disabledOptimizers?: readonly string[];
}

/** The levels at which a plan must hold: others load our models with their own options. */
const verifiedLevels = ['disabled', 'basic', 'extended', 'all'] as const;

/** The checks of a plan at each level. */
const levelChecks: readonly (readonly [string, (planned: Planned, observed: Observed) => Outcome])[] = [
  ['simulator', (_, observed) => checkSimulator(observed)],
  ['planned order', checkOrder],
  ['recomputation', checkRecomputed],
  ['recomputed late', checkLate],
  ['live peak', checkPeak],
];

/**
 * Verifies a bundle check by check, each given as soon as it is known. Steps are taken from the initial state on a random
 * batch, at each level of the runtime's optimizer and with its memory pattern off and on.
 * @throws FailureError when the bundle has no plan or the runtime can't run it; RequestError when the batch size or the
 * other bundle doesn't fit it
 */
export async function* verify(bundle: Bundle, options: VerifyOptions = {}): AsyncGenerator<Check> {
  const { batchSize = Math.max(4, bundle.manifest.leastBatchSize), against, ...session } = options;
  const planned = await readPlanned(bundle);
  if (against) checkComparable(bundle, against);
  const state = await readState(bundle.initial, bundle);
  const batch = randomBatch(bundle, batchSize);
  const step = { ...session, state, batch };

  yield { name: 'file', ...checkFile(planned) };
  const asItIs = { level: 'disabled', memoryPattern: false } as const;
  const [small, large] = [
    await observe(bundle, { ...step, ...asItIs }),
    await observe(bundle, { ...step, ...asItIs, batch: randomBatch(bundle, 2 * batchSize) }),
  ];
  yield { name: 'batch statistics', ...checkStatistics(planned, small, large) };
  yield { name: 'arena', ...checkArena(planned, small) };
  for (const level of verifiedLevels) yield* verifyLevel(bundle, planned, { ...step, level });
  yield { name: 'running statistics', ...(await checkRunning(bundle, planned, step)) };
  if (against) yield* await checkAgainst(bundle, against, step);
}

/** The checks of one level. That the runtime refuses a model which it runs as it is counts as a difference. */
async function* verifyLevel(
  bundle: Bundle,
  planned: Planned,
  step: Omit<ObserveOptions, 'memoryPattern'>,
): AsyncGenerator<Check> {
  const name = `runs, ${step.level}`;
  let [off, on]: [Observed?, Observed?] = [];
  try {
    off = await observe(bundle, { ...step, memoryPattern: false });
    on = await observe(bundle, { ...step, memoryPattern: true });
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    yield { name, ok: false, detail: error.message };
    return;
  }
  yield {
    name,
    ok: true,
    detail: `${counted(off.executed.length, 'node')} of ${planned.program.nodes.length} in the file`,
  };
  for (const [check, judge] of levelChecks) yield { name: `${check}, ${step.level}`, ...both(planned, off, on, judge) };
}

/** A check with the runtime's memory pattern off and on: the first outcome that isn't well, or the plain one. */
function both(
  planned: Planned,
  off: Observed,
  on: Observed,
  check: (planned: Planned, observed: Observed) => Outcome,
): Outcome {
  const outcome = check(planned, off);
  if (!outcome.ok) return outcome;
  const { ok, detail } = check(planned, on);
  return ok ? outcome : { ok, detail: `${detail} (with the memory pattern on)` };
}

/** A batch of normal images and random labels, always the same for a size. */
function randomBatch(bundle: Bundle, size: number): Batch {
  const { inputShape, classes, loss } = bundle.manifest;
  const images = initialize({ kind: 'normal', deviation: 1 }, [size, ...inputShape], 0, 'images');
  const task = taskOf(loss);
  const count = task === 'classes' ? size : size * classes;
  const picks = initialize({ kind: 'uniform', bound: 1 }, [count], 0, 'labels').data.values();
  const random = (): number => ((picks.next().value ?? 0) + 1) / 2;
  const batch = noiseBatch(task, inputShape, images.data as Float32Array, size, classes, random);
  checkBatch(batch, bundle, true, `--batch-size ${size}`);
  return batch;
}
