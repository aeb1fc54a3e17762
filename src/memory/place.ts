/** @file Places nodes in the file so that the runtime, which goes its own way through a graph, goes the planned one. */

import type { OrderedNodes } from './execution-order.js';

/** A node to be placed. */
export type PlannedNode<V> = OrderedNodes<V>['nodes'][number] & {
  /** Whether it reads and computes nothing that takes room: when it runs matters only where all else is equal. */
  readonly small?: boolean;
};

/**
 * The runtime ignores the order of the file: it searches depth first from what nobody reads, and of several producers
 * expands the one with the highest index first. So this goes the same way once, taking at each node the branch that keeps
 * to the plan the longest, and notes which branches were open: the one that was taken must come after the others in the
 * file, which stays topologically sorted. What is computed as soon as possible or only when it must, order tokens (`after`)
 * decide.
 * @param planned nodes in the order in which they are to run
 */
export function placeNodes<V, T extends PlannedNode<V> = PlannedNode<V>>(planned: readonly T[]): T[] {
  const producersOf = producers(planned);
  const before = planned.map((): number[] => []);
  for (const [index, found] of producersOf.entries()) for (const producer of found) before[producer]?.push(index);
  const small = planned.map((node) => node.small === true);
  const { executed, preferences } = searchByPlan(producersOf, small);
  const later = planned.map((): number[] => []);
  for (const [first, second] of preferences) later[first]?.push(second);
  return sorted(before, later, executed).map((index) => planned[index] as T);
}

/** The producers of each node, in planned order. */
function producers<V>(planned: OrderedNodes<V>['nodes']): readonly (readonly number[])[] {
  const producer = new Map<V, number>();
  for (const [index, { outputs }] of planned.entries()) for (const value of outputs) producer.set(value, index);
  return planned.map(({ inputs }) => {
    const found = new Set(inputs.flatMap((value) => (value === undefined ? [] : (producer.get(value) ?? []))));
    return [...found].sort((a, b) => a - b);
  });
}

/** Pairs of nodes of which the first must come before the second in the file, though neither needs the other. */
type Preference = readonly [first: number, second: number];

/** The depth-first search that keeps to the plan: when each node runs, and what that asks of the file. */
function searchByPlan(
  producersOf: readonly (readonly number[])[],
  small: readonly boolean[],
): {
  readonly executed: readonly number[];
  readonly preferences: readonly Preference[];
} {
  const read = new Set(producersOf.flat());
  const executed = new Array<number>(producersOf.length).fill(-1);
  const todo = new Todo(producersOf, small);
  const preferences: Preference[] = [];
  let time = 0;
  const leaves = [...producersOf.keys()].filter((index) => !read.has(index));
  // Each frame is a node whose producers are being visited, -1 above all leaves.
  const frames: { node: number; branches: readonly number[]; taken: number }[] = [
    { node: -1, branches: leaves, taken: -1 },
  ];
  for (let frame = frames.at(-1); frame; frame = frames.at(-1)) {
    frame.branches = frame.branches.filter((branch) => todo.has(branch));
    const [first, ...others] = frame.branches;
    if (first === undefined) {
      frames.pop();
      if (frame.node >= 0) executed[frame.node] = time++;
      continue;
    }
    const branch = others.reduce((best, other) => (todo.isBefore(other, best) ? other : best), first);
    todo.remove(branch);
    if (frame.taken >= 0) preferences.push([branch, frame.taken]);
    frame.taken = branch;
    frames.push({ node: branch, branches: producersOf[branch] ?? [], taken: -1 });
  }
  return { executed, preferences };
}

/** The nodes that have not been visited, and what each of them needs. */
class Todo {
  /** Bits of a node and of all it depends on, by planned position; one row a node. */
  private readonly needs: Uint32Array;
  private readonly unvisited: Uint32Array;
  /** Of those, the ones that aren't small. */
  private readonly unvisitedLarge: Uint32Array;
  private readonly words: number;

  constructor(producersOf: readonly (readonly number[])[], small: readonly boolean[]) {
    this.words = (producersOf.length + 31) >>> 5;
    this.needs = new Uint32Array(producersOf.length * this.words);
    this.unvisited = new Uint32Array(this.words).fill(0xffffffff);
    this.unvisitedLarge = new Uint32Array(this.words).fill(0xffffffff);
    for (const [index, isSmall] of small.entries()) if (isSmall) clear(this.unvisitedLarge, index);
    for (const [index, producers] of producersOf.entries()) {
      const row = this.row(index);
      for (const producer of producers) {
        const other = this.row(producer);
        for (let word = 0; word <= producer >>> 5; word++) row[word] = (row[word] as number) | (other[word] as number);
      }
      row[index >>> 5] = (row[index >>> 5] as number) | (1 << (index & 31));
    }
  }

  has(index: number): boolean {
    return ((this.unvisited[index >>> 5] as number) & (1 << (index & 31))) !== 0;
  }

  remove(index: number): void {
    clear(this.unvisited, index);
    clear(this.unvisitedLarge, index);
  }

  /** Whether the first planned node that only one of two needs is needed by `a`: a large node, or a small one if none is. */
  isBefore(a: number, b: number): boolean {
    return this.compare(a, b, this.unvisitedLarge) ?? this.compare(a, b, this.unvisited) ?? false;
  }

  private compare(a: number, b: number, among: Uint32Array): boolean | undefined {
    const [left, right] = [this.row(a), this.row(b)];
    for (let word = 0; word < this.words; word++) {
      const differs = ((left[word] as number) ^ (right[word] as number)) & (among[word] as number);
      if (differs !== 0) return ((left[word] as number) & differs & -differs) !== 0;
    }
    return undefined;
  }

  private row(index: number): Uint32Array {
    return this.needs.subarray(index * this.words, (index + 1) * this.words);
  }
}

function clear(bits: Uint32Array, index: number): void {
  bits[index >>> 5] = (bits[index >>> 5] as number) & ~(1 << (index & 31));
}

/**
 * A topological order that honours preferences unless they contradict each other; of nodes that are ready, the one that
 * runs last comes first.
 */
function sorted(
  readers: readonly (readonly number[])[],
  preferred: readonly (readonly number[])[],
  executed: readonly number[],
): readonly number[] {
  const needed = countArrows(readers);
  const wanted = countArrows(preferred);
  const byTime = [...executed.keys()].sort((a, b) => (executed[a] as number) - (executed[b] as number));
  const ready = new MaxHeap();
  const placed = new Uint8Array(readers.length);
  const result: number[] = [];
  const offer = (index: number): void => {
    if (needed[index] === 0 && wanted[index] === 0 && !placed[index]) ready.push(executed[index] as number);
  };
  const place = (index: number): void => {
    placed[index] = 1;
    result.push(index);
    for (const [counts, arrows] of [
      [needed, readers],
      [wanted, preferred],
    ] as const) {
      for (const target of arrows[index] ?? []) {
        counts[target] = (counts[target] ?? 0) - 1;
        offer(target);
      }
    }
  };
  for (const index of readers.keys()) offer(index);
  while (result.length < readers.length) {
    const time = ready.pop();
    const next = time === undefined ? byTime.findLast((index) => !placed[index] && needed[index] === 0) : byTime[time];
    if (next !== undefined && !placed[next]) place(next);
  }
  return result;
}

/** How many arrows lead to each node. */
function countArrows(arrows: readonly (readonly number[])[]): number[] {
  const counts = arrows.map(() => 0);
  for (const targets of arrows) for (const target of targets) counts[target] = (counts[target] ?? 0) + 1;
  return counts;
}

/** Numbers, of which the largest comes out first. */
class MaxHeap {
  private readonly items: number[] = [];

  push(item: number): void {
    const { items } = this;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((items[parent] as number) >= item) break;
      items[at] = items[parent] as number;
      at = parent;
    }
    items[at] = item;
  }

  pop(): number | undefined {
    const { items } = this;
    const [top] = items;
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      if (child + 1 < items.length && (items[child + 1] as number) > (items[child] as number)) child++;
      if ((items[child] as number) <= last) break;
      items[at] = items[child] as number;
      at = child;
    }
    items[at] = last;
    return top;
  }
}
