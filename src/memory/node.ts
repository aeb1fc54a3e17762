/** @file A node as the memory model sees it: what it reads and computes, and whose memory its results lie in. */

/** Whose memory a node's outputs may lie in. */
export interface Effect {
  /** Whether the first output is the first operand's memory under another shape. */
  readonly view?: boolean;
  /** Outputs that may be written over an operand which dies there and is of the output's type. */
  readonly inPlace?: readonly InPlace[];
}

/** An output that may take over an operand's memory. */
export type InPlace = readonly [operand: number, output: number];

/** A node with what stands for its values: the values of a graph, or their names in a model. */
export interface MemoryNode<V> {
  /** By position; undefined where an operand is absent or a constant. */
  readonly inputs: readonly (V | undefined)[];
  readonly outputs: readonly V[];
  readonly effect: Effect;
}

/** Operands over which a node may write an output, by position. */
export function overwritable({ inPlace = [] }: Effect, output: number): readonly number[] {
  return inPlace.flatMap(([operand, result]) => (result === output ? [operand] : []));
}
