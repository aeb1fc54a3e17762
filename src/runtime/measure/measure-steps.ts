/** @file Measures training steps in this process; run it in one of its own, whose high-water mark is then theirs. */

import { keptSlots } from '../../passes/optimizers/index.js';
import { openBundle } from '../bundle/bundle.js';
import { checkBatch, resultNames, stateUpdates, trainingFeeds } from '../model/model.js';
import { packTraining, readState } from '../model/state.js';
import { deviceOptionsOf } from '../session/devices.js';
import { openSession } from '../session/open-session.js';
import { watchGrowth } from './process-memory.js';
import type { StepsMeasurement, StepsRequest } from './protocol.js';
import { randomBatch } from './random-batch.js';

const learningRate = 0.05;

/** Loads the model, allocates state and batch, then times the steps and watches the process grow. */
export async function measureSteps(request: StepsRequest): Promise<StepsMeasurement> {
  const { batchSize, steps, seed, device, threads, session: choice, profilePrefix } = request;
  const bundle = await openBundle(request.bundle);
  const { manifest } = bundle;
  const batch = randomBatch(manifest, batchSize, seed);
  checkBatch(batch, bundle, true, `--batch-size ${batchSize}`);
  const state = packTraining(await readState(bundle.initial, bundle), manifest.state, keptSlots(manifest.optimizer));
  const updates = stateUpdates(bundle, state.keys());

  const loading = performance.now();
  const session = await openSession({
    model: bundle.training,
    device,
    threads,
    ...choice,
    ...deviceOptionsOf(request),
    ...(profilePrefix !== undefined && { profilePrefix }),
  });
  const sessionMs = performance.now() - loading;
  try {
    session.setState([...state]);
    // What reading files left behind would otherwise be freed, or reused, in mid-measurement.
    globalThis.gc?.();
    const growth = watchGrowth();
    const stepMs: number[] = [];
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      const began = performance.now();
      const feeds = trainingFeeds(bundle, batch, { learningRate, step, seed });
      const results = await session.run({ feeds, results: resultNames, updates });
      stepMs.push(performance.now() - began);
      losses.push(Number(results[0]?.[1].data[0]));
    }
    const peakGrowthBytes = growth?.() ?? null;
    if (profilePrefix !== undefined) session.endProfiling();
    return { stepMs, sessionMs, peakGrowthBytes, losses, arena: session.arena(), runtime: session.facts };
  } finally {
    await session.close();
  }
}
