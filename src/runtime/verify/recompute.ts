/** @file Checks of recomputation: it is done, in the backward pass, and never of batch statistics. */

import type { ProgramNode } from '../../onnx/index.js';
import { counted, type Outcome, some } from './check.js';
import { inputBytes, type Observed, type Planned, tensorBytes } from './observed.js';

type Producers = ReadonlyMap<string, ProgramNode>;

/**
 * Whether each node that the plan recomputes ran, by itself or fused into what reads it. The optimizer may instead have
 * merged it with its original of the forward pass: then some node reads a value of the other side of that border.
 */
export function checkRecomputed(planned: Planned, observed: Observed): Outcome {
  const names = planned.record.recompute.map((position) => planned.record.order[position] ?? '');
  if (names.length === 0) return { ok: true, detail: 'the plan recomputes nothing' };
  const read = new Set(planned.program.nodes.flatMap(({ inputs }) => inputs));
  const idle = names.filter((name) => !planned.producers.get(name)?.outputs.some((output) => read.has(output)));
  if (idle.length > 0) {
    return {
      ok: false,
      detail: `nothing reads ${counted(idle.length, 'recomputed node')} of the model: ${some(idle)}`,
    };
  }
  const reads = observed.program.nodes.flatMap((node) => readsOf(planned, observed, node));
  const merged = reads.flatMap((each) => mergedReads(planned, observed, each));
  if (merged.length > 0) {
    return { ok: false, detail: `recomputation is merged with the forward pass: ${some(merged)}` };
  }
  const absorbed = new Set(reads.flatMap(({ wanted }) => [...wanted]));
  const gone = names.filter((name) => !observed.producers.has(name));
  const lost = gone.filter((name) => !absorbed.has(name));
  if (lost.length > 0)
    return { ok: false, detail: `${counted(lost.length, 'recomputed node')} did not run: ${some(lost)}` };
  const fused = gone.length > 0 ? `, ${gone.length} of them fused into what reads them` : '';
  return { ok: true, detail: `${counted(names.length, 'recomputed node')} ran${fused}` };
}

/** What a node of the optimized model should read and reads. */
interface Reads {
  readonly node: ProgramNode;
  /** The node as it was in the file. */
  readonly original: ProgramNode;
  /** Operands by the file, with what those that are gone were computed from. */
  readonly wanted: ReadonlySet<string>;
  /** Operands in the optimized model; for those that the optimizer made, what they are made from. */
  readonly found: ReadonlySet<string>;
}

function readsOf({ producers, inputs }: Planned, observed: Observed, node: ProgramNode): Reads[] {
  const name = node.outputs.find((output) => producers.has(output));
  const original = producers.get(name ?? '');
  if (!original) return [];
  const wanted = walk(original.inputs, producers, (value) => observed.producers.has(value) || inputs.has(value));
  const found = walk(node.inputs, observed.producers, (value) => producers.has(value) || inputs.has(value));
  return [{ node, original, wanted, found }];
}

/** What a node reads across the border between recomputation and the rest in place of an operand that is gone. */
function mergedReads(planned: Planned, observed: Observed, { node, original, wanted, found }: Reads): string[] {
  const { producers, inputs, recomputed } = planned;
  const isKnown = (value: string): boolean => producers.has(value) || inputs.has(value);
  const others = [...found].filter((value) => isKnown(value) && !wanted.has(value));
  if (others.length === 0) return [];
  // A fused node may read what its recomputed operands are computed from.
  const sources = walk(
    original.inputs,
    producers,
    (value) => inputs.has(value) || (observed.producers.has(value) && !recomputed.has(value)),
  );
  const gone = [...wanted].filter((value) => !observed.producers.has(value) && !inputs.has(value));
  return others.flatMap((value) => {
    const instead = gone.find((operand) => recomputed.has(operand) !== recomputed.has(value));
    return sources.has(value) || instead === undefined ? [] : [`${node.outputs[0]} reads ${value}, not ${instead}`];
  });
}

/** Values and what they are computed from, back to those at which `isEnd`, which are included. */
function walk(values: readonly string[], producers: Producers, isEnd: (value: string) => boolean): Set<string> {
  const reached = new Set<string>();
  const pending = [...values];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (reached.has(value)) continue;
    reached.add(value);
    if (!isEnd(value)) pending.push(...(producers.get(value)?.inputs ?? []));
  }
  return reached;
}

/** Whether everything recomputed ran after the backward pass had begun: after its first node that the logits reach. */
export function checkLate({ record, positions, recomputed }: Planned, { executed }: Observed): Outcome {
  if (record.recompute.length === 0) return { ok: true, detail: 'the plan recomputes nothing' };
  const ran = new Map(executed.flatMap(({ outputs }, index) => outputs.map((name) => [name, index] as const)));
  // Where the optimizer has fused the first node into a later one, that is the first.
  const first = record.order.slice(record.backward).find((name) => ran.has(name) && !recomputed.has(name));
  const begun = ran.get(first ?? '') ?? executed.length;
  const early = executed
    .slice(0, begun)
    .flatMap(({ outputs }) => outputs.filter((name) => recomputed.has(name) && positions.has(name)));
  if (early.length === 0) return { ok: true, detail: `all after ${first}, node ${begun + 1}` };
  return { ok: false, detail: `${counted(early.length, 'value')} recomputed before ${first}: ${some(early)}` };
}

/**
 * Whether no recomputed node takes a statistic of the batch: makes floats whose number doesn't depend on the batch
 * size from floats whose number does. Seen by the sizes of two batches.
 */
export function checkStatistics(planned: Planned, small: Observed, large: Observed): Outcome {
  const [less, more] = [small, large].map((observed) => floatBytes(planned, observed)) as [Sizes, Sizes];
  const grows = (name: string): boolean => less.has(name) && less.get(name) !== more.get(name);
  const statistics = small.executed.flatMap(({ inputs, outputs }) => {
    if (!inputs.some(grows)) return [];
    return outputs.filter((name) => planned.recomputed.has(name) && less.has(name) && !grows(name));
  });
  if (statistics.length === 0) return { ok: true, detail: 'no batch statistic is recomputed' };
  return { ok: false, detail: `${counted(statistics.length, 'batch statistic')} recomputed: ${some(statistics)}` };
}

type Sizes = ReadonlyMap<string, number>;

/** Bytes of all float tensors of a run. */
function floatBytes(planned: Planned, { executed, batchSize }: Observed): Sizes {
  const inputs = [...inputBytes(planned, batchSize)].filter(([name]) => planned.inputs.get(name)?.dtype === 'float32');
  const computed = executed.flatMap(({ outputs, tensors }) =>
    outputs.flatMap((name, index): [string, number][] => {
      const tensor = tensors[index];
      return tensor?.type === 'float' ? [[name, tensorBytes(tensor)]] : [];
    }),
  );
  return new Map([...inputs, ...computed]);
}
