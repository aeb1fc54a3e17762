/** @file A step's course in slices: as many as a picture can show, whatever the number of nodes. */

import { memoryKinds, type StepMemory, type StepNode } from '../../../memory/step-memory.js';

/** Consecutive nodes of one phase, or a single long one. */
export interface Slice {
  /** Positions of the first node, and of the one after the last. */
  readonly from: number;
  readonly to: number;
  /** Modelled milliseconds since the step began. */
  readonly start: number;
  readonly end: number;
  /** Position of the node at which the most is alive: the slice is drawn as high. */
  readonly at: number;
  /** What is alive there, by `memoryKinds`. */
  readonly bytes: readonly number[];
}

/** Where the picture's time begins and ends, in pixels. */
export interface TimeScale {
  readonly left: number;
  readonly right: number;
  /** Modelled milliseconds of the step. */
  readonly total: number;
}

/** The pixel of a modelled time. */
export function xAt({ left, right, total }: TimeScale, time: number): number {
  return left + ((right - left) * time) / total;
}

/** The slices of a step: no shorter than a share `1 / count` of its modelled time, except where a phase ends. */
export function slicesOf(memory: StepMemory, count: number): readonly Slice[] {
  const { nodes, timeline } = memory;
  const starts = startsOf(nodes);
  const total = starts[nodes.length] as number;
  const alive = aliveByKind(memory);
  const slices: Slice[] = [];
  let from = 0;
  while (from < nodes.length) {
    const start = starts[from] as number;
    let to = from + 1;
    while (to < nodes.length && joins(nodes, from, to) && (starts[to + 1] as number) - start <= total / count) to++;
    let at = from;
    for (let position = from; position < to; position++) {
      if ((timeline[position] as number) > (timeline[at] as number)) at = position;
    }
    slices.push({ from, to, start, end: starts[to] as number, at, bytes: alive.map((bytes) => bytes[at] as number) });
    from = to;
  }
  return slices;
}

/** Modelled milliseconds at which each node begins, and behind them when the step ends. */
export function startsOf(nodes: readonly StepNode[]): Float64Array {
  const starts = new Float64Array(nodes.length + 1);
  for (const [position, { microseconds }] of nodes.entries()) {
    starts[position + 1] = (starts[position] as number) + microseconds / 1000;
  }
  return starts;
}

/** Updates are short and stand between nodes of the backward pass; the border that counts is that of the forward pass. */
function joins(nodes: readonly StepNode[], from: number, to: number): boolean {
  return (nodes[from]?.phase === 'forward') === (nodes[to]?.phase === 'forward');
}

/** Live bytes of each kind while each node runs. */
function aliveByKind({ buffers, nodes }: StepMemory): readonly Float64Array[] {
  return memoryKinds.map((kind) => {
    const changes = new Float64Array(nodes.length + 1);
    for (const { from, to, bytes } of buffers.filter((buffer) => buffer.kind === kind)) {
      changes[from] = (changes[from] as number) + bytes;
      changes[to + 1] = (changes[to + 1] as number) - bytes;
    }
    let live = 0;
    return changes.subarray(0, nodes.length).map((change) => {
      live += change;
      return live;
    });
  });
}
