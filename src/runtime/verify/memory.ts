/** @file Check of memory: what was alive in a run, counted from its profile, is no more than the plan predicts. */

import { observedPeak } from '../../memory/check.js';
import { predictedPeak } from '../../memory/plan-record.js';
import type { Outcome } from './check.js';
import { inputBytes, type Observed, type Planned, tensorBytes } from './observed.js';

/** What is usual above the plan: sizes are rounded up, and kernels take scratch memory. */
const usual = { factor: 1.15, bytes: 12e6 } as const;

/** The runtime's arena hands out a free chunk whole if it is less than twice as large as what is asked for. */
const mostFactor = 2;

/** Whether the arena handed out no more than the plan allows: inputs and state, which the plan counts, may lie outside it. */
export function checkArena(planned: Planned, { arena, batchSize }: Observed): Outcome {
  if (!arena) {
    return { ok: true, detail: "not asked: the arena's statistics are read at the runtime's C API, on CPU and CUDA" };
  }
  const { peakBytes } = arena;
  const predicted = predictedPeak(planned.record, batchSize);
  const most = Math.round(mostFactor * predicted + usual.bytes);
  const detail = `${peakBytes.toLocaleString('en-US')} bytes handed out by the arena at the peak, ${predicted.toLocaleString('en-US')} planned`;
  if (peakBytes > most) return { ok: false, detail: `${detail}, which allows ${most.toLocaleString('en-US')}` };
  const isUsual = peakBytes <= usual.factor * predicted + usual.bytes;
  return { ok: true, detail: isUsual ? detail : `${detail}: large chunks were handed out for smaller tensors` };
}

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
