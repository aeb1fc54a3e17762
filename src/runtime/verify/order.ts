/** @file Checks of order: the model of the runtime's executor predicts it, and it is the planned one. */

import { executionOrder } from '../../memory/execution-order.js';
import { counted, type Outcome, some } from './check.js';
import type { Observed, Planned } from './observed.js';

/** Whether the file holds the nodes that the plan lists, and would be run in the planned order as it is. */
export function checkFile({ record, program }: Planned): Outcome {
  const order = executionOrder(program).map((index) => program.nodes[index]?.outputs[0] ?? '');
  const planned = new Set(record.order);
  const present = new Set(order);
  const missing = record.order.filter((name) => !present.has(name));
  const added = order.filter((name) => !planned.has(name));
  if (missing.length > 0 || added.length > 0) {
    const parts = [
      ...(missing.length > 0 ? [`the model lacks ${counted(missing.length, 'planned node')}: ${some(missing)}`] : []),
      ...(added.length > 0 ? [`it has ${counted(added.length, 'node')} that no plan names: ${some(added)}`] : []),
    ];
    return { ok: false, detail: parts.join('; ') };
  }
  const at = order.findIndex((name, position) => name !== record.order[position]);
  if (at < 0) return { ok: true, detail: `${counted(order.length, 'node')}, in the planned order` };
  return { ok: false, detail: `node ${at + 1} would be ${order[at]}, the plan has ${record.order[at]}` };
}

/** Whether the simulator predicts the order of every run from the optimized model. */
export function checkSimulator({ program, runs }: Observed): Outcome {
  const predicted = executionOrder(program).map((index) => program.nodes[index]?.name ?? '');
  for (const run of runs) {
    const at = predicted.findIndex((name, position) => name !== run[position]?.name);
    if (at >= 0) {
      return { ok: false, detail: `node ${at + 1} was ${run[at]?.name ?? 'none'}, predicted ${predicted[at]}` };
    }
    if (run.length !== predicted.length) {
      return { ok: false, detail: `${run.length} nodes ran, ${predicted.length} were predicted` };
    }
  }
  return { ok: true, detail: `${counted(predicted.length, 'node')} in the predicted order` };
}

/** Whether the planned nodes that are left ran in their planned order. */
export function checkOrder({ record, positions }: Planned, { executed }: Observed): Outcome {
  const survivors = executed.flatMap(({ outputs }) => {
    const known = outputs.flatMap((name) => positions.get(name) ?? []);
    return known.length > 0 ? [Math.max(...known)] : [];
  });
  const kept = longestIncreasing(survivors);
  const made = executed.length - survivors.length;
  const of = `${survivors.length} of ${counted(record.order.length, 'planned node')}${made > 0 ? ` and ${made} others` : ''}`;
  if (kept.size === survivors.length) return { ok: true, detail: `${of}, in the planned order` };
  const moved = survivors.flatMap((position, index) => {
    if (kept.has(index)) return [];
    const before = survivors[index - 1];
    return [`${record.order[position]} after ${before === undefined ? 'nothing' : record.order[before]}`];
  });
  return { ok: false, detail: `${moved.length} out of order among ${of}: ${some(moved)}` };
}

/** Indices of a longest subsequence that increases: what stays in place where the rest has moved. */
function longestIncreasing(values: readonly number[]): ReadonlySet<number> {
  // For each length, the index where the increasing run of that length ends lowest.
  const ends: number[] = [];
  const previous: (number | undefined)[] = [];
  for (const [index, value] of values.entries()) {
    let length = 0;
    let above = ends.length;
    while (length < above) {
      const middle = (length + above) >> 1;
      if ((values[ends[middle] as number] as number) < value) length = middle + 1;
      else above = middle;
    }
    previous.push(length > 0 ? ends[length - 1] : undefined);
    ends[length] = index;
  }
  const kept = new Set<number>();
  for (let index = ends.at(-1); index !== undefined; index = previous[index]) kept.add(index);
  return kept;
}
