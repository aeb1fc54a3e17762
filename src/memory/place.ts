/** @file Places nodes in the file so that the runtime, which goes its own way through a graph, goes the planned one. */

import type { OrderedNodes } from './execution-order.js';

/**
 * The runtime ignores the order of the file: it searches depth first from what nobody reads, and of several producers
 * expands the one with the highest index first. So of nodes that don't depend on each other, that which is to run first
 * must come last in the file, which stays topologically sorted. Where the plan leaves the runtime a choice of branches it
 * takes the planned one; what it computes as soon as possible or only when it must, order tokens (`after`) decide.
 * @param planned nodes in the order in which they are to run
 */
export function placeNodes<T extends OrderedNodes['nodes'][number]>(planned: readonly T[]): T[] {
  const producer = new Map<string, number>();
  for (const [index, { outputs }] of planned.entries()) for (const name of outputs) producer.set(name, index);
  const readers = planned.map((): number[] => []);
  const missing = planned.map(({ inputs }, index) => {
    const producers = new Set(inputs.flatMap((name) => producer.get(name) ?? []));
    for (const other of producers) readers[other]?.push(index);
    return producers.size;
  });
  const ready = new MaxHeap();
  for (const [index, count] of missing.entries()) if (count === 0) ready.push(index);
  const placed: T[] = [];
  for (let index = ready.pop(); index !== undefined; index = ready.pop()) {
    placed.push(planned[index] as T);
    for (const reader of readers[index] ?? []) {
      missing[reader] = (missing[reader] ?? 0) - 1;
      if (missing[reader] === 0) ready.push(reader);
    }
  }
  return placed;
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
