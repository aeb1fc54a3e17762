/** @file Predicted live peaks over depths and policies: compiles and plans, runs nothing. */

import { densenet } from '../src/builders/index.js';
import { compile } from '../src/compile.js';
import { planMemory } from '../src/memory/plan.js';
import type { RematName } from '../src/passes/solvers/index.js';

/** The policies, from the one that keeps everything to the one that keeps least. */
export const policies: readonly RematName[] = ['none', 'efficient', 'max'];

/** The peak of one network. */
export interface LivePeak {
  readonly depth: number;
  readonly remat: RematName;
  /** Predicted live bytes at the peak. */
  readonly bytes: number;
  /** Nodes of the training model. */
  readonly nodes: number;
  /** Seconds to compile and plan; a measurement, unlike the others. */
  readonly seconds: number;
}

/**
 * Predicts the peaks of DenseNet-BC (growth rate 12, 32×32) at several depths, for each policy.
 * @param onPeak told of each as it comes
 * @throws RequestError for a depth that there is none of
 */
export function livePeaks(
  depths: readonly number[],
  batchSize: number,
  onPeak: (peak: LivePeak) => void = () => undefined,
): LivePeak[] {
  return depths.flatMap((depth) =>
    policies.map((remat) => {
      const began = performance.now();
      const { schedules } = compile(densenet({ depth }), { remat });
      const { peakBytes, order } = planMemory(schedules.training, batchSize);
      const seconds = (performance.now() - began) / 1000;
      const peak = { depth, remat, bytes: peakBytes, nodes: order.length, seconds };
      onPeak(peak);
      return peak;
    }),
  );
}
