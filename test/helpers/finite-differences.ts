/**
 * @file Checks derived gradients g against differences of the loss L in float64: along a random direction v,
 * D(h) = (L(p + h·v) − L(p − h·v)) / 2h must tend to ⟨g, v⟩. (4·D(h/2) − D(h)) / 3 is used: its error falls with h⁴.
 */

import type { Graph, Node, Value } from '../../src/ir/index.js';
import { at, type NdArray } from './evaluate/array.js';
import { evaluate, evaluateValues, type Feeds } from './evaluate.js';
import { type RandomSource, randomSource } from './random.js';

/** The disagreement at one parameter. */
export interface GradientError {
  readonly parameter: string;
  /** ⟨g, v⟩ */
  readonly derived: number;
  /** The difference quotient. */
  readonly measured: number;
  /** |derived − measured| relative to |g|, with a floor for rounding. */
  readonly error: number;
}

export interface GradientCheck {
  /** A graph with the result `loss`. */
  readonly forward: Graph;
  /** The same graph after `differentiate`. */
  readonly differentiated: Graph;
  readonly feeds: Feeds;
  readonly batchSize: number;
  /** Seeds the directions. */
  readonly seed?: string;
}

/** h: small for inputs of the order of 1, with rounding errors of about 1e-16 / h = 1e-11. */
const longestStep = 1e-5;

/** The largest error that a right gradient may show; constants such as epsilon are float32 in its graph. */
export const gradientTolerance = 1e-6;

/** The disagreement at each parameter, each along two random directions of its own. */
export function gradientErrors(check: GradientCheck): readonly GradientError[] {
  const { forward, differentiated, feeds, batchSize } = check;
  const gradients = evaluate(differentiated, feeds, batchSize);
  const lossOnly = pruneToLoss(forward);
  const random = randomSource(check.seed ?? 'directions');
  return differentiated.outputs.flatMap((output) => {
    if (output.role !== 'gradient') return [];
    const gradient = gradients.get(output.name) as NdArray;
    return [0, 1].map(() => directionalError(check, lossOnly, output.of, gradient, random));
  });
}

function directionalError(
  { feeds, batchSize }: GradientCheck,
  graph: Graph,
  parameter: string,
  gradient: NdArray,
  random: RandomSource,
): GradientError {
  const center = feeds.get(parameter) as NdArray;
  let found: GradientError | undefined;
  // Where the loss is bent sharply (batch norm after batch norm over two values), shorter steps come closer to a right
  // gradient, to a wrong one they don't.
  for (let attempt = 0; attempt < 8; attempt++) {
    const step = longestStep / 2 ** attempt;
    // Every element moves by 0.5 … 1.5 steps, so that none escapes the check.
    const direction = center.data.map(() => (random() < 0.5 ? -1 : 1) * (0.5 + random()));
    const probes = [step, -step, step / 2, -step / 2].map((h): Probe => {
      const data = center.data.map((value, index) => value + h * at(direction, index));
      const values = evaluateValues(graph, new Map([...feeds, [parameter, { ...center, data }]]), batchSize);
      return { loss: lossOf(graph, values), branches: branches(graph, values) };
    });
    const [above, below, nearAbove, nearBelow] = probes.map(({ loss }) => loss) as [number, number, number, number];
    const measured = (4 * (nearAbove - nearBelow)) / (3 * step) - (above - below) / (6 * step);
    const derived = gradient.data.reduce((sum, value, index) => sum + value * at(direction, index), 0);
    const norm = Math.sqrt(gradient.data.reduce((sum, value) => sum + value ** 2, 0));
    const floor = 0.01 * (1 + Math.abs(above));
    const error = Math.abs(derived - measured) / Math.max(norm, floor);
    // Where the loss has a kink between the points, there is no derivative to measure. Not every crossing is a kink:
    // the larger of two elements that are always equal changes by rounding alone.
    const crosses = probes.some((probe) => probe.branches !== probes[0]?.branches);
    if (!crosses || error < gradientTolerance) found = { parameter, derived, measured, error };
    if (error < gradientTolerance) break;
  }
  if (found) return found;
  throw new Error(`every direction from ${parameter} crosses a kink; choose other inputs`);
}

interface Probe {
  readonly loss: number;
  readonly branches: string;
}

/** Which side of its kinks each ReLU and max pool is on. */
export function branches(graph: Graph, values: ReadonlyMap<Value, NdArray>): string {
  return graph.nodes
    .flatMap((node) => {
      if (node.operator === 'relu') return [values.get(node.outputs[0] as Value)?.data.map((y) => (y > 0 ? 1 : 0))];
      if (node.operator === 'maxPool2d') return [values.get(node.outputs[1] as Value)?.data];
      return [];
    })
    .join('|');
}

function lossOf(graph: Graph, values: ReadonlyMap<Value, NdArray>): number {
  const loss = graph.outputs.find(({ name }) => name === 'loss');
  return at((loss && values.get(loss.value))?.data ?? [], 0);
}

/** The part of a graph that the loss depends on. */
function pruneToLoss(graph: Graph): Graph {
  const outputs = graph.outputs.filter(({ name }) => name === 'loss');
  const needed = new Set(outputs.map(({ value }) => value));
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((value) => needed.has(value))) continue;
    nodes.unshift(node);
    for (const value of node.inputs) needed.add(value);
  }
  return { ...graph, nodes, outputs };
}
