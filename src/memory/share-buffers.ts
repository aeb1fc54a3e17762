/** @file Which dead buffers later values may take over, without more being alive at the peak. */

import type { ValueTypes } from './buffers.js';
import type { MemoryNode } from './node.js';

/** A buffer from the node that first writes it to the last one that reads it. */
interface Interval {
  readonly number: number;
  readonly type: string;
  /** Bytes a sample. */
  readonly bytes: number;
  readonly birth: number;
  death: number;
}

/** Buffers of up to this share of the peak may be held for as long as there is room. */
const smallShare = 1 / 64;

/**
 * Larger ones are held over so many nodes at most. Returned in between, they would be merged with their neighbours or given
 * to something smaller, and the next one of the size would take fresh memory: the arena prefers the chunk that fits best
 * and splits it only if it is twice as large. Held for longer, they keep others from the room.
 */
const longestHold = 8;

/**
 * Numbers of buffers, of which some stand for several one after the other.
 *
 * A buffer that is to be used again is held in between, so this is done only where what is alive then, and held already,
 * leaves room below the peak. It makes no less be alive. But it leaves less to the arena, which fragments; and for each
 * value the runtime looks through all dead buffers that nobody has taken over, which for thousands of them takes most of the
 * time that loading a model takes.
 * @param executed nodes in the order in which they run
 * @param numbers buffers of values, from `bufferNumbers`
 */
export function shareBuffers<V>(
  executed: readonly MemoryNode<V>[],
  numbers: ReadonlyMap<V, number>,
  values: ValueTypes<V>,
): ReadonlyMap<V, number> {
  const intervals = intervalsOf(executed, numbers, values);
  const alive = new Float64Array(executed.length);
  for (const { birth, death, bytes } of intervals)
    for (let at = birth; at <= death; at++) alive[at] = (alive[at] as number) + bytes;
  const peak = alive.reduce((most, bytes) => Math.max(most, bytes), 0);

  const shared = new Map<number, number>();
  const dead = new Map<string, Interval[]>();
  const pending = [...intervals].sort((a, b) => a.death - b.death);
  let next = 0;
  for (const interval of intervals) {
    for (let ended = pending[next]; ended && ended.death < interval.birth; ended = pending[++next]) {
      const list = dead.get(ended.type);
      if (list) list.push(ended);
      else dead.set(ended.type, [ended]);
    }
    const candidate = dead.get(interval.type)?.pop();
    if (!candidate) continue;
    const isLarge = interval.bytes > peak * smallShare;
    if ((isLarge && interval.birth - candidate.death > longestHold) || !fits(alive, candidate, interval, peak))
      continue;
    for (let at = candidate.death + 1; at < interval.birth; at++) alive[at] = (alive[at] as number) + interval.bytes;
    shared.set(interval.number, shared.get(candidate.number) ?? candidate.number);
  }
  return new Map([...numbers].map(([value, number]) => [value, shared.get(number) ?? number]));
}

/** Whether a dead buffer can be held until the next one begins. */
function fits(alive: Float64Array, { death }: Interval, { birth, bytes }: Interval, peak: number): boolean {
  for (let at = death + 1; at < birth; at++) if ((alive[at] as number) + bytes > peak) return false;
  return true;
}

/** Intervals of buffers whose size depends on the batch, in order of their births; those of inputs and outputs are left out. */
function intervalsOf<V>(
  executed: readonly MemoryNode<V>[],
  numbers: ReadonlyMap<V, number>,
  values: ValueTypes<V>,
): readonly Interval[] {
  const fixed = new Set([...values.fixed].flatMap((value) => numbers.get(value) ?? []));
  const intervals = new Map<number, Interval>();
  for (const [index, { inputs, outputs }] of executed.entries()) {
    for (const value of [...inputs, ...outputs]) {
      if (value === undefined) continue;
      const number = numbers.get(value);
      const type = values.typeOf(value);
      const bytes = values.bytesOf(value);
      if (number === undefined || type === undefined || bytes === 0 || fixed.has(number)) continue;
      const known = intervals.get(number);
      if (known) known.death = index;
      else intervals.set(number, { number, type, bytes, birth: index, death: index });
    }
  }
  return [...intervals.values()];
}
