/** @file Check of memory: what was alive in a run, counted from its profile, is no more than the plan predicts. */

import { observedPeak } from '../../memory/check.js';
import { predictedPeak } from '../../memory/plan-record.js';
import type { Outcome } from './check.js';
import { inputBytes, type Observed, type Planned, tensorBytes } from './observed.js';

/** Whether the live peak of a run is at most the predicted one. */
export function checkPeak(planned: Planned, { executed, batchSize }: Observed): Outcome {
  const predicted = predictedPeak(planned.record, batchSize);
  const peak = observedPeak({
    nodes: executed.map((node) => ({ ...node, outputBytes: node.tensors.map(tensorBytes) })),
    inputs: inputBytes(planned, batchSize),
    outputs: new Set(planned.program.outputs),
  });
  const detail = `${peak.toLocaleString('en-US')} bytes alive at the peak, ${predicted.toLocaleString('en-US')} predicted for batches of ${batchSize}`;
  return { ok: peak <= predicted, detail };
}
