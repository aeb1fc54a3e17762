/** @file What a bundle keeps of its memory plan, so that anyone can hold the model and the runtime against it. */

import { type Graph, InternalError, type Value } from '../ir/index.js';
import { resultOutputs } from '../step/interface.js';
import { type PeakLine, peakAt } from './peak-lines.js';
import type { Schedule } from './schedule.js';

/** A plan by the names of values, which the runtime's optimizer keeps where it gives nodes other names and indices. */
export interface PlanRecord {
  /** First outputs of the training model's nodes, in the order in which they are to run. */
  readonly order: readonly string[];
  /** Positions in `order` of what computes again what the forward pass did. */
  readonly recompute: readonly number[];
  /** Position in `order` of the first node of the backward pass that depends on the logits. */
  readonly backward: number;
  /** Live bytes at the peak: the largest of `fixed + perSample · batch size`. */
  readonly livePeak: readonly PeakLine[];
  /** The share of each new observation in running statistics, by the segments that hold them. */
  readonly runningShare: Readonly<Record<string, number>>;
}

/** The record of a training graph's schedule. @throws InternalError when its backward pass doesn't depend on the logits */
export function recordPlan(scheduled: Schedule): PlanRecord {
  const { graph, names, order } = scheduled;
  const gradients = descendantsOf(graph, resultOutputs.logits);
  const backward = order.findIndex(
    ({ node, outputs }) => node.origin.phase === 'backward' && gradients.has(outputs[0] as Value),
  );
  if (backward < 0) throw new InternalError(`the graph ${graph.name} has no backward pass that depends on its logits`);
  return {
    order: order.map(({ outputs }) => names.get(outputs[0] as Value) ?? ''),
    recompute: order.flatMap(({ node }, position) => (node.origin.phase === 'recompute' ? [position] : [])),
    backward,
    livePeak: scheduled.livePeak,
    runningShare: Object.fromEntries(
      graph.inputs.flatMap((input) => (input.role === 'running' ? [[input.name, input.momentum]] : [])),
    ),
  };
}

/** Predicted live bytes at the peak of a step. */
export function predictedPeak({ livePeak }: Pick<PlanRecord, 'livePeak'>, batchSize: number): number {
  return peakAt(livePeak, batchSize);
}

function descendantsOf(graph: Graph, output: string): ReadonlySet<Value> {
  const reached = new Set(graph.outputs.flatMap(({ name, value }) => (name === output ? [value] : [])));
  for (const { inputs, outputs } of graph.nodes) {
    if (inputs.some((value) => reached.has(value))) for (const value of outputs) reached.add(value);
  }
  return reached;
}
