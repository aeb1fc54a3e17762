/** @file Groups what many concatenations have in common, so that layers read a few large tensors instead of many small ones. */

import { type Graph, type GraphBuilder, type Node, type NodeOf, sizeOf, type Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/**
 * In a dense block every layer concatenates all features before it, so operands, and sums of gradients, grow
 * quadratically with the layers. Where concatenations along the channels begin with the same operands, about √n of those
 * at a time become a `group`: a tensor that takes their place in all later concatenations and in memory. Neighbours that
 * are small beside the network's largest concatenation are joined to a `part`. What is left of each concatenation are
 * a few operands of similar size; `distribute-concat` computes with each by itself, so their size is what a layer's
 * backward pass has to hold at a time.
 * @param parts into how many the largest concatenation is cut; smaller ones into fewer, in proportion to their bytes
 */
export function groupFeatures(parts: number): Pass {
  return { name: 'group-features', run: (graph) => grouped(graph, parts) };
}

function grouped(graph: Graph, partsOfLargest: number): Graph {
  const formed = new Set(graph.nodes.filter(isFormed).flatMap(({ outputs }) => outputs));
  const concats = graph.nodes
    .filter(isChannelConcat)
    .filter(({ inputs }) => !inputs.some((value) => formed.has(value)));
  const largest = Math.max(0, ...concats.map(({ outputs }) => elementsOf(outputs)));
  const families = familiesOf(concats);
  return rewriteNodes(graph, (node, inputs, builder) => {
    if (!isChannelConcat(node) || node.inputs.some((value) => formed.has(value))) return undefined;
    const operands = families.get(node)?.operands(node, inputs, builder) ?? inputs;
    const target = largest / partsOfLargest;
    const fitsOne = elementsOf(node.outputs) <= target;
    const parts = fitsOne ? joined(operands, builder) : joinSmall(operands, target, builder);
    if (parts.length === 1) return parts;
    return [builder.emit('concat', parts, { axis: 1 })];
  });
}

/** Most parts that one kernel of ours reads. */
const mostParts = 60;

/** Groups features only where a layer would read more of them than a kernel of ours takes. */
export function groupManyFeatures(parts: number): Pass {
  return {
    name: 'group-many-features',
    run: (graph) =>
      graph.nodes.some((node) => isChannelConcat(node) && node.inputs.length > mostParts)
        ? grouped(graph, parts)
        : graph,
  };
}

function isFormed(node: Node): boolean {
  return node.operator === 'concat' && node.attributes.as !== undefined;
}

function isChannelConcat(node: Node): node is NodeOf<'concat'> {
  const { operator, outputs } = node;
  return (
    operator === 'concat' && node.attributes.axis === 1 && !node.attributes.as && outputs[0]?.type.shape.length === 4
  );
}

/** Elements a sample. */
function elementsOf(values: readonly Value[]): number {
  return values.reduce((sum, { type }) => sum + sizeOf(type.shape).factor, 0);
}

/** Concatenations each of which begins with the operands of the one before. */
class Family {
  private readonly groups = new Map<number, Value>();

  constructor(private readonly longest: NodeOf<'concat'>) {}

  /** Operands of one group: about the root of all, so that groups and what is not yet in one stay equally few. */
  private get groupSize(): number {
    return Math.max(2, Math.round(Math.sqrt(this.longest.inputs.length)));
  }

  operands(node: NodeOf<'concat'>, inputs: readonly Value[], builder: GraphBuilder): readonly Value[] {
    const size = this.groupSize;
    // A group that only the last concatenation reads would be a copy for nothing.
    const grouped = node === this.longest ? this.groups.size : Math.floor(inputs.length / size);
    const groups = Array.from({ length: grouped }, (_, index) => {
      const known = this.groups.get(index);
      if (known) return known;
      const members = inputs.slice(index * size, (index + 1) * size);
      const group = builder.emit('concat', members, { axis: 1, as: 'group' });
      this.groups.set(index, group);
      return group;
    });
    return [...groups, ...inputs.slice(grouped * size)];
  }
}

function familiesOf(concats: readonly NodeOf<'concat'>[]): ReadonlyMap<Node, Family> {
  const families = new Map<Node, Family>();
  const byPrefix = [...concats].sort((a, b) => b.inputs.length - a.inputs.length);
  for (const longest of byPrefix) {
    if (families.has(longest)) continue;
    const members = byPrefix.filter((other) => !families.has(other) && beginsWith(longest, other));
    if (members.length < 2) continue;
    const family = new Family(longest);
    for (const member of members) families.set(member, family);
  }
  return families;
}

function beginsWith({ inputs }: Node, { inputs: prefix }: Node): boolean {
  return prefix.length <= inputs.length && prefix.every((value, index) => value === inputs[index]);
}

/** Joins neighbours of less than half of `target` as long as they stay below it together. */
function joinSmall(values: readonly Value[], target: number, builder: GraphBuilder): readonly Value[] {
  const runs: Value[][] = [];
  for (const value of values) {
    const last = runs.at(-1);
    const joins = last && elementsOf([value]) < target / 2 && elementsOf(last) < target / 2;
    if (joins && elementsOf([...last, value]) <= target) last.push(value);
    else runs.push([value]);
  }
  return runs.flatMap((run) => joined(run, builder));
}

function joined(values: readonly Value[], builder: GraphBuilder): readonly Value[] {
  return values.length === 1 ? values : [builder.emit('concat', values, { axis: 1, as: 'part' })];
}
