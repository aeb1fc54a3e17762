/**
 * @file One run in a process of its own: trains and evaluates a bundle on noise and prints by how much the process grew.
 *
 *     node --expose-gc dist/bench/forecast-run.js BUNDLE BATCH_SIZE THREADS
 */

import { FailureError } from '../src/ir/index.js';
import { openBundle } from '../src/runtime/bundle/bundle.js';
import { watchGrowth } from '../src/runtime/measure/process-memory.js';
import { randomBatch } from '../src/runtime/measure/random-batch.js';
import { EvaluationModel, TrainingModel } from '../src/runtime/model/model.js';
import { readState } from '../src/runtime/model/state.js';

/** Bytes that a process grew by at most. */
export interface RunGrowth {
  /** In the steps, above its size just before. */
  readonly training: number;
  /** In steps and evaluations, above its size before either model was loaded. */
  readonly all: number;
}

const [directory = '', batchSize = '', threads = ''] = process.argv.slice(2);
const bundle = await openBundle(directory);
const batch = randomBatch(bundle.manifest, Number(batchSize), 0);
const state = await readState(bundle.initial, bundle);
const options = { threads: Number(threads) };

const begin = size();
const training = await TrainingModel.open(bundle, state, options);
const loaded = size() - begin;
const steps = watched();
for (let step = 0; step < 3; step++) await training.step(batch, { learningRate: 0.05, step, seed: 0 });
const trainingGrowth = steps();

const trained = size() - begin;
const evaluations = watched();
const evaluation = await EvaluationModel.open(bundle, state, options);
for (let time = 0; time < 2; time++) await evaluation.evaluate(batch);
const growth: RunGrowth = {
  training: trainingGrowth,
  all: Math.max(loaded + trainingGrowth, trained + evaluations()),
};
process.stdout.write(`${JSON.stringify(growth)}\n`);
await Promise.all([training.close(), evaluation.close()]);

/** Bytes of this process, without what is garbage. */
function size(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}

function watched(): () => number {
  const growth = watchGrowth();
  if (!growth) throw new FailureError('this system keeps no high-water mark of a process that can be reset; use Linux');
  return growth;
}
