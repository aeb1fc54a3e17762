/** @file The order in which the runtime's sequential executor runs a program. */

/** What order depends on: who reads whose outputs, and indices, which are positions in the file. */
export interface OrderedNodes<V> {
  readonly nodes: readonly { readonly inputs: readonly (V | undefined)[]; readonly outputs: readonly V[] }[];
}

/**
 * Indices of the nodes in the order they run.
 *
 * The executor searches depth first from the nodes that no other node reads: they are pushed on a stack in ascending
 * index, as are the producers of each node that is popped, so the producer with the highest index is expanded first. A
 * node runs once all its producers have.
 */
export function executionOrder<V>({ nodes }: OrderedNodes<V>): readonly number[] {
  const producer = new Map<V, number>();
  for (const [index, node] of nodes.entries()) for (const output of node.outputs) producer.set(output, index);
  const producersOf = nodes.map((node) => {
    const found = new Set<number>();
    for (const input of node.inputs) {
      const index = input === undefined ? undefined : producer.get(input);
      if (index !== undefined) found.add(index);
    }
    return [...found].sort((a, b) => a - b);
  });
  const read = new Set(producersOf.flat());

  const order: number[] = [];
  const visited = new Uint8Array(nodes.length);
  // A complement marks a node whose producers have all been pushed above it, so it runs when popped.
  const stack = nodes.flatMap((_, index) => (read.has(index) ? [] : [index]));
  while (stack.length > 0) {
    const top = stack.pop() as number;
    if (top < 0) {
      order.push(~top);
      continue;
    }
    if (visited[top]) continue;
    visited[top] = 1;
    stack.push(~top);
    for (const index of producersOf[top] ?? []) if (!visited[index]) stack.push(index);
  }
  return order;
}
