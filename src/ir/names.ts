/** @file Unique names of a graph's values, by which models, plans and reports speak of them. */

import { InternalError } from './errors.js';
import type { Graph, Node, Value } from './graph.js';
import { traitsOf } from './operators/index.js';

/** Gives out names, each once. */
export class Names {
  private readonly taken: Set<string>;
  private readonly counts = new Map<string, number>();

  /** @param given names that are given already */
  constructor(
    private readonly graph: string,
    given: Iterable<string> = [],
  ) {
    this.taken = new Set(given);
  }

  /** Takes a name as it is. @throws InternalError when it is given already */
  take(name: string): string {
    if (this.taken.has(name)) throw new InternalError(`two values of ${this.graph} would be named ${name}`);
    this.taken.add(name);
    return name;
  }

  /** A name that begins with `base`, a number behind it where that is given already. */
  unique(base: string): string {
    let count = this.counts.get(base) ?? 0;
    let name = count === 0 ? base : `${base}.${count}`;
    while (this.taken.has(name)) name = `${base}.${++count}`;
    this.counts.set(base, count + 1);
    return this.take(name);
  }
}

/**
 * Names for a graph's values, constants excepted: inputs and outputs have their own, any other is called by phase, layer and operator. Outputs
 * that nothing reads and that may be left out have none.
 */
export function nameValues(graph: Graph): ReadonlyMap<Value, string> {
  const names = new Names(graph.name);
  const of = new Map<Value, string>();
  for (const { name, value } of graph.inputs) of.set(value, names.take(name));
  for (const { name } of graph.outputs) names.take(name);
  for (const { name, value } of graph.outputs) if (!of.has(value)) of.set(value, name);
  const used = usedValues(graph);
  for (const node of graph.nodes) {
    if (node.operator === 'constant') continue;
    for (const value of presentOutputs(node, used)) {
      if (!of.has(value)) of.set(value, names.unique(baseOf(node)));
    }
  }
  return of;
}

/** Values that nodes read or that are outputs. */
export function usedValues({ nodes, outputs }: Graph): ReadonlySet<Value> {
  const used = new Set(outputs.map(({ value }) => value));
  for (const { inputs } of nodes) for (const value of inputs) used.add(value);
  return used;
}

/** The values of a graph's constants. */
export function constantValues({ nodes }: Graph): ReadonlySet<Value> {
  return new Set(nodes.flatMap(({ operator, outputs }) => (operator === 'constant' ? outputs : [])));
}

/** A node's outputs without those at the end that nothing reads, where its operator lets them be left out. */
export function presentOutputs({ operator, outputs }: Node, used: ReadonlySet<Value>): readonly Value[] {
  if (!traitsOf(operator).optionalOutputs) return outputs;
  return outputs.slice(0, Math.max(1, outputs.findLastIndex((value) => used.has(value)) + 1));
}

function baseOf({ operator, origin: { scope, phase } }: Node): string {
  const place = phase === 'forward' ? scope : [phase, scope].filter(Boolean).join('/');
  return [place, operator].filter(Boolean).join('/');
}
