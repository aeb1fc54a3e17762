/** @file Names of batch axes, by which the runtime tells what may share a buffer. */

import { inPlaceOperands, isView } from './aliasing.js';

/** A node that runs. */
export interface RunNode {
  /** ONNX's operator. */
  readonly operator: string;
  /** Names by position, empty where an operand is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** What must be known of a graph's values. */
export interface NamedValues {
  /** Element type and shape of a value as text; two values may share memory only where it is the same. */
  typeOf(name: string): string | undefined;
  /** Bytes a sample takes; 0 where the size doesn't depend on the batch. */
  bytesOf(name: string): number;
  /** Values that come from outside or go there: nobody may write over them. */
  readonly fixed: ReadonlySet<string>;
}

/**
 * A number for each value, the same for values in one buffer: a view has its operand's, an activation that of an
 * operand which it may be written over.
 *
 * The runtime plans buffers by shapes in which the batch size is a name. It writes in place only where names agree; but it
 * also holds a dead buffer until the next value of the same shape is made, be it at the other end of the step. With one
 * name for each buffer it does the one and never the other; where the other does no harm, `shareBuffers` says.
 * @param executed nodes in the order in which they run
 */
export function bufferNumbers(executed: readonly RunNode[], values: NamedValues): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  const lastReader = new Map<number, number>();
  let count = 0;
  // A buffer's last reader is known once it is known which values are views of it.
  for (const { operator, inputs, outputs } of executed) {
    const [source] = inputs;
    const viewed = source !== undefined && isView(operator) ? numbers.get(source) : undefined;
    for (const name of outputs) numbers.set(name, viewed ?? count++);
  }
  for (const [index, { inputs }] of executed.entries()) {
    for (const name of inputs) {
      const number = numbers.get(name);
      if (number !== undefined) lastReader.set(number, index);
    }
  }
  const fixed = new Set([...values.fixed].flatMap((name) => numbers.get(name) ?? []));
  const taken = new Map<number, number>();
  const ownerOf = (number: number): number => taken.get(number) ?? number;
  for (const [index, { operator, inputs, outputs }] of executed.entries()) {
    for (const [output, result] of outputs.entries()) {
      const type = values.typeOf(result);
      const overwritten = inPlaceOperands(operator, output)
        .map((position) => inputs[position] ?? '')
        .find((name) => {
          const number = numbers.get(name);
          if (number === undefined || fixed.has(number) || inputs.filter((other) => other === name).length > 1)
            return false;
          return lastReader.get(number) === index && values.typeOf(name) === type;
        });
      if (overwritten === undefined) continue;
      taken.set(numbers.get(result) as number, ownerOf(numbers.get(overwritten) as number));
    }
  }
  return new Map([...numbers].map(([name, number]) => [name, ownerOf(number)]));
}
