/** @file Numbers of buffers, by which the runtime tells what may share memory. */

import { type MemoryNode, overwritable } from './node.js';

/** What must be known of values. */
export interface ValueTypes<V> {
  /** Element type and shape as text; two values may share memory only where it is the same. */
  typeOf(value: V): string | undefined;
  /** Bytes a sample takes; 0 where the size doesn't depend on the batch. */
  bytesOf(value: V): number;
  /** Values that come from outside or go there: nobody may write over them. */
  readonly fixed: ReadonlySet<V>;
}

/**
 * A number for each value, the same for values in one buffer: a view has its operand's, a result written in place that of
 * the operand.
 *
 * The runtime plans buffers by shapes in which the batch size is a name. It writes in place only where names agree; but it
 * also holds a dead buffer until the next value of the same shape is made, be it at the other end of the step. With one
 * name for each buffer it does the one and never the other; where the other does no harm, `shareBuffers` says.
 * @param executed nodes in the order in which they run
 */
export function bufferNumbers<V>(executed: readonly MemoryNode<V>[], values: ValueTypes<V>): ReadonlyMap<V, number> {
  const numbers = new Map<V, number>();
  const lastReader = new Map<number, number>();
  let count = 0;
  // A buffer's last reader is known once it is known which values are views of it.
  for (const { effect, inputs, outputs } of executed) {
    const [source] = inputs;
    const viewed = source !== undefined && effect.view ? numbers.get(source) : undefined;
    for (const value of outputs) numbers.set(value, viewed ?? count++);
  }
  for (const [index, { inputs }] of executed.entries()) {
    for (const value of inputs) {
      const number = value === undefined ? undefined : numbers.get(value);
      if (number !== undefined) lastReader.set(number, index);
    }
  }
  const fixed = new Set([...values.fixed].flatMap((value) => numbers.get(value) ?? []));
  const taken = new Map<number, number>();
  const ownerOf = (number: number): number => taken.get(number) ?? number;
  for (const [index, { effect, inputs, outputs }] of executed.entries()) {
    for (const [output, result] of outputs.entries()) {
      const type = values.typeOf(result);
      const overwritten = overwritable(effect, output)
        .map((position) => inputs[position])
        .find((value) => {
          const number = value === undefined ? undefined : numbers.get(value);
          if (value === undefined || number === undefined || fixed.has(number)) return false;
          if (inputs.indexOf(value) !== inputs.lastIndexOf(value)) return false;
          return lastReader.get(number) === index && values.typeOf(value) === type;
        });
      if (overwritten === undefined) continue;
      taken.set(numbers.get(result) as number, ownerOf(numbers.get(overwritten) as number));
    }
  }
  return new Map([...numbers].map(([value, number]) => [value, ownerOf(number)]));
}
