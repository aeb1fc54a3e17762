/** @file What a bundle keeps of its memory plan, so that anyone can hold the model and the runtime against it. */

import { type Graph, InternalError, type Value } from '../ir/index.js';
import { resultOutputs } from '../step/interface.js';
import { type Schedule, scheduledLiveness } from './schedule.js';

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

/** Live bytes as a function of the batch size. */
export interface PeakLine {
  readonly fixed: number;
  readonly perSample: number;
}

/** Two batch sizes at which no two tensors have the same size by accident. */
const probes = [1009, 2003] as const;

/** The record of a training graph's schedule. @throws InternalError when its backward pass doesn't depend on the logits */
export function recordPlan(scheduled: Schedule): PlanRecord {
  const { graph, names, order } = scheduled;
  const [one, other] = probes.map((size) => scheduledLiveness(scheduled, size).timeline) as [number[], number[]];
  const gradients = descendantsOf(graph, resultOutputs.logits);
  const backward = order.findIndex(
    ({ node, outputs }) => node.origin.phase === 'backward' && gradients.has(outputs[0] as Value),
  );
  if (backward < 0) throw new InternalError(`the graph ${graph.name} has no backward pass that depends on its logits`);
  return {
    order: order.map(({ outputs }) => names.get(outputs[0] as Value) ?? ''),
    recompute: order.flatMap(({ node }, position) => (node.origin.phase === 'recompute' ? [position] : [])),
    backward,
    livePeak: upperEnvelope(linesThrough(one, other)),
    runningShare: Object.fromEntries(
      graph.inputs.flatMap((input) => (input.role === 'running' ? [[input.name, input.momentum]] : [])),
    ),
  };
}

/** Predicted live bytes at the peak of a step. */
export function predictedPeak({ livePeak }: Pick<PlanRecord, 'livePeak'>, batchSize: number): number {
  return Math.max(...livePeak.map(({ fixed, perSample }) => fixed + perSample * batchSize));
}

function descendantsOf(graph: Graph, output: string): ReadonlySet<Value> {
  const reached = new Set(graph.outputs.flatMap(({ name, value }) => (name === output ? [value] : [])));
  for (const { inputs, outputs } of graph.nodes) {
    if (inputs.some((value) => reached.has(value))) for (const value of outputs) reached.add(value);
  }
  return reached;
}

/** Live bytes grow linearly with the batch at every node, as shapes do. */
function linesThrough(one: readonly number[], other: readonly number[]): readonly PeakLine[] {
  return one.map((bytes, position) => {
    const perSample = ((other[position] ?? 0) - bytes) / (probes[1] - probes[0]);
    return { fixed: bytes - perSample * probes[0], perSample };
  });
}

/** Of many lines, those that are the highest for some batch size from 1 on, by ascending slope. */
function upperEnvelope(lines: readonly PeakLine[]): readonly PeakLine[] {
  const at = ({ fixed, perSample }: PeakLine, size: number): number => fixed + perSample * size;
  const envelope: PeakLine[] = [];
  let size = 1;
  let current = highest(lines, (line) => at(line, size));
  while (current) {
    const { fixed, perSample } = current;
    envelope.push(current);
    const steeper = lines.filter((line) => line.perSample > perSample);
    const crossing = (line: PeakLine): number => (fixed - line.fixed) / (line.perSample - perSample);
    const next = Math.min(...steeper.map(crossing));
    size = Math.max(size, next);
    current = highest(
      steeper.filter((line) => crossing(line) <= next),
      ({ perSample: slope }) => slope,
    );
  }
  return envelope;
}

function highest(lines: readonly PeakLine[], score: (line: PeakLine) => number): PeakLine | undefined {
  return lines.reduce<PeakLine | undefined>((best, line) => {
    if (!best || score(line) > score(best)) return line;
    return score(line) === score(best) && line.perSample > best.perSample ? line : best;
  }, undefined);
}
