/**
 * @file The live peak of a run that was observed, by another method than the prediction (`liveness.ts`) and from other
 * data: buffers are intervals of time with the sizes that the runtime reported, and the peak is where most overlap.
 */

/** A node that ran, with what the runtime reported of it. */
export interface ObservedNode {
  /** ONNX's operator. */
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Bytes of each output. */
  readonly outputBytes: readonly number[];
}

/** A run: nodes in the order they ran, and what the caller brought and took. */
export interface ObservedRun {
  readonly nodes: readonly ObservedNode[];
  /** Bytes of the inputs by name; they live throughout. */
  readonly inputs: ReadonlyMap<string, number>;
  readonly outputs: ReadonlySet<string>;
}

/** Operators whose output shares its first operand's buffer. */
const sharesFirst = /^(Reshape|Squeeze|Unsqueeze|Flatten|Identity)$/;

/** Operands, by position, over which the runtime lets operators write when these die there and have the output's size. */
const overwritten: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^(Relu|Sigmoid|HardSigmoid|Clip)$/, [0]],
  // A convolution that adds its fourth operand; our affine map of one part.
  [/^(FusedConv|AffineRelu)$/, [3]],
  [/^(CenterGrad|ReluGrad)$/, [0]],
];

/** A buffer: alive from the node at `birth` to that at `death`, both included. */
interface Interval {
  readonly bytes: number;
  readonly birth: number;
  death: number;
  /** Whether the caller owns it, who may want it as it is. */
  readonly outside: boolean;
}

/** Bytes alive at the peak of a run. */
export function observedPeak({ nodes, inputs, outputs }: ObservedRun): number {
  const lastRead = new Map<string, number>();
  for (const [position, node] of nodes.entries()) for (const name of node.inputs) lastRead.set(name, position);
  const end = nodes.length;
  const buffers = new Map<string, Interval>();
  for (const [name, bytes] of inputs) buffers.set(name, { bytes, birth: 0, death: end, outside: true });
  const intervals = [...buffers.values()];

  for (const [position, node] of nodes.entries()) {
    for (const [index, name] of node.outputs.entries()) {
      const bytes = node.outputBytes[index] ?? 0;
      const outside = outputs.has(name);
      const death = outside ? end : Math.max(position, lastRead.get(name) ?? position);
      const shared = sharedBuffer(node, index, bytes, position, outside, buffers);
      if (shared) {
        shared.death = Math.max(shared.death, death);
        buffers.set(name, shared);
        continue;
      }
      const interval = { bytes, birth: position, death, outside };
      buffers.set(name, interval);
      intervals.push(interval);
    }
  }
  return highestOverlap(intervals, end);
}

/** The buffer of an operand that an output lies in, if it gets none of its own. */
function sharedBuffer(
  { operator, inputs }: ObservedNode,
  output: number,
  bytes: number,
  position: number,
  outside: boolean,
  buffers: ReadonlyMap<string, Interval>,
): Interval | undefined {
  if (sharesFirst.test(operator)) {
    const source = buffers.get(inputs[0] ?? '');
    // What the caller will take is copied out of it.
    return source?.bytes === bytes && !outside ? source : undefined;
  }
  return overwritable(operator, output)
    .map((operand) => buffers.get(inputs[operand] ?? ''))
    .find((buffer) => buffer && !buffer.outside && buffer.death === position && buffer.bytes === bytes);
}

/** Operands over which an output may be written. */
function overwritable(operator: string, output: number): readonly number[] {
  // Its outputs from the third on belong to pairs of operands from the fifth on, each written over the first of its pair.
  if (operator === 'AffineReluGrad') return output >= 2 ? [2 * output] : [];
  return output === 0 ? (overwritten.find(([operators]) => operators.test(operator))?.[1] ?? []) : [];
}

function highestOverlap(intervals: readonly Interval[], end: number): number {
  const change = new Float64Array(end + 2);
  for (const { bytes, birth, death } of intervals) {
    change[birth] = (change[birth] ?? 0) + bytes;
    change[death + 1] = (change[death + 1] ?? 0) - bytes;
  }
  let live = 0;
  let peak = 0;
  for (const bytes of change) {
    live += bytes;
    peak = Math.max(peak, live);
  }
  return peak;
}
