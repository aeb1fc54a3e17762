/** @file Which state may be written over while a model runs: what nobody reads any more when its next value is written. */

import { executionOrder } from '../../../memory/execution-order.js';
import { type Program, viewOperators } from '../../../onnx/index.js';
import type { RunRequest } from '../protocol.js';

/** Operators whose kernels read an element of an operand of the result's shape before they write that of the result. */
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div']);

/**
 * The updates whose next value may lie in the memory of the current one: the node that writes it runs after all others
 * that read the current one, and reads it element by element itself, if at all.
 * @param program run in its execution order, so not one that the runtime rewrites
 * @param sameShape whether two values have one shape, since an operand that is repeated is read more than once
 */
export function updatedInPlace(
  program: Program,
  updates: RunRequest['updates'],
  sameShape: (a: string, b: string) => boolean,
): ReadonlySet<string> {
  const order = executionOrder(program).flatMap((index) => program.nodes[index] ?? []);
  /** The state that a value shows, as itself or as a view. */
  const shown = new Map<string, string>(updates.map(({ input }) => [input, input]));
  const lastReader = new Map<string, number>();
  const writtenAt = new Map<string, number>();
  for (const [position, { operator, inputs, outputs }] of order.entries()) {
    for (const name of inputs) {
      const state = shown.get(name ?? '');
      if (state !== undefined) lastReader.set(state, position);
    }
    const source = shown.get(inputs[0] ?? '');
    if (source !== undefined && viewOperators.has(operator)) for (const name of outputs) shown.set(name, source);
    for (const name of outputs) writtenAt.set(name, position);
  }
  return new Set(
    updates.flatMap(({ input, output }) => {
      const written = writtenAt.get(output);
      const read = lastReader.get(input) ?? -1;
      if (written === undefined || read > written) return [];
      if (read < written) return [input];
      const writer = order[written];
      const isSafe =
        writer && elementwise.has(writer.operator) && writer.inputs.includes(input) && sameShape(input, output);
      return isSafe ? [input] : [];
    }),
  );
}
