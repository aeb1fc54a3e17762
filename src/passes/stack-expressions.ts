/** @file Computes equal expressions of the backward pass on many short vectors at once. */

import { elementCount, type GraphBuilder, InternalError, type Node, traitsOf, type Value } from '../ir/index.js';
import { removeDeadCode } from './clean.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/** How many equal expressions make it worth to concatenate what they read and to split what they give. */
const least = 3;

/**
 * Every layer's backward pass scales by numbers that the forward pass leaves, such as 1 / (−M·(σ² + ε)) of each channel. What
 * needs nothing else is computed when the first of it is wanted, for all layers: their vectors are concatenated, and what
 * comes of them is split.
 */
export const stackExpressions: Pass = {
  name: 'stack-expressions',
  run(graph) {
    const found = new Expressions(graph.nodes, new Set(graph.inputs.map(({ value }) => value)));
    const groups = [...found.groups()].filter((group) => group.length >= least);
    const groupOf = new Map(groups.flatMap((group) => group.map(({ result }) => [result, group] as const)));
    const results = new Map<Value, Value>();
    const rewritten = rewriteNodes(graph, (node, _, builder) => {
      const [output] = node.outputs as readonly [Value];
      const group = groupOf.get(output);
      if (!group) return undefined;
      if (!results.has(output)) emit(builder, group, results);
      return [results.get(output) as Value];
    });
    return removeDeadCode.run(rewritten);
  },
};

/** A vector computed from others, elementwise, and from scalars. */
interface Expression {
  readonly result: Value;
  /** In the order in which they run, the result's last. */
  readonly nodes: readonly Node[];
  /** The vectors that it reads, each once, in the order in which it first does. */
  readonly leaves: readonly Value[];
  /** The same for expressions that differ in their vectors only. */
  readonly key: string;
}

class Expressions {
  /** What is there before the backward pass begins. */
  private readonly early: Set<Value>;
  private readonly nodes = new Map<Value, Node>();
  private readonly wanted = new Set<Value>();
  private readonly numbers = new Map<Value, number>();

  constructor(nodes: readonly Node[], inputs: ReadonlySet<Value>) {
    this.early = new Set(inputs);
    for (const node of nodes) {
      const isEarly = node.inputs.every((value) => this.early.has(value));
      if (node.origin.phase === 'forward' || (isEarly && node.outputs.every(isScalar))) {
        for (const value of node.outputs) this.early.add(value);
      } else if (this.isCandidate(node)) {
        this.nodes.set(node.outputs[0] as Value, node);
        continue;
      }
      for (const value of node.inputs) if (this.nodes.has(value)) this.wanted.add(value);
    }
  }

  /** Expressions of one kind each. */
  groups(): Iterable<readonly Expression[]> {
    const groups = new Map<string, Expression[]>();
    for (const value of this.wanted) {
      const expression = this.expressionOf(value);
      const group = groups.get(expression.key);
      if (group) group.push(expression);
      else groups.set(expression.key, [expression]);
    }
    return groups.values();
  }

  private isCandidate({ operator, origin, inputs, outputs }: Node): boolean {
    const [{ type }] = outputs as readonly [Value];
    const isVector = type.dtype === 'float32' && type.shape.length === 1 && type.shape.every((dim) => Number(dim) > 1);
    return (
      origin.phase === 'backward' &&
      traitsOf(operator).elementwise === true &&
      isVector &&
      inputs.every((value) => this.early.has(value) || this.nodes.has(value)) &&
      inputs.every((value) => isScalar(value) || value.type.shape.join() === type.shape.join())
    );
  }

  private expressionOf(result: Value): Expression {
    const nodes: Node[] = [];
    const leaves: Value[] = [];
    const describe = (value: Value): string => {
      const node = this.nodes.get(value);
      if (node) {
        const operands = node.inputs.map(describe).join();
        if (!nodes.includes(node)) nodes.push(node);
        return `${node.operator}${JSON.stringify(node.attributes)}(${operands})`;
      }
      if (isScalar(value)) return `#${this.numberOf(value)}`;
      if (!leaves.includes(value)) leaves.push(value);
      return `$${leaves.indexOf(value)}`;
    };
    const key = describe(result);
    return { result, nodes, leaves, key };
  }

  private numberOf(value: Value): number {
    const number = this.numbers.get(value) ?? this.numbers.size;
    this.numbers.set(value, number);
    return number;
  }
}

/** Computes a group of expressions and notes what stands for the result of each. */
function emit(builder: GraphBuilder, group: readonly Expression[], results: Map<Value, Value>): void {
  const [first] = group;
  if (!first) throw new InternalError('a group of expressions is empty');
  const stacked = new Map<Value, Value>();
  for (const [index, leaf] of first.leaves.entries()) {
    const vectors = group.map(({ leaves }) => leaves[index] as Value);
    stacked.set(leaf, builder.emit('concat', vectors, { axis: 0 }));
  }
  for (const node of first.nodes) {
    const inputs = node.inputs.map((value) => stacked.get(value) ?? value);
    const [output] = builder.emitAll(node.operator, inputs, node.attributes as never);
    stacked.set(node.outputs[0] as Value, output as Value);
  }
  const sizes = group.map(({ result }) => elementCount(result.type.shape as readonly number[]));
  const parts = builder.emitAll('split', [stacked.get(first.result) as Value], { axis: 0, sizes });
  for (const [index, { result }] of group.entries()) results.set(result, parts[index] as Value);
}

function isScalar({ type }: Value): boolean {
  return type.shape.every((dim) => dim === 1);
}
