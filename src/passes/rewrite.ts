/** @file The frame of local rewrites: each node is kept or replaced by what a rule emits. */

import { type Graph, GraphBuilder, type GraphOutput, InternalError, type Node, type Value } from '../ir/index.js';

/**
 * Values to stand for a node's outputs, or undefined to keep the node.
 * `inputs` are the node's operands after the rewriting so far; new nodes go to `builder`, with the node's origin.
 */
export type RewriteRule = (node: Node, inputs: readonly Value[], builder: GraphBuilder) => readonly Value[] | undefined;

/** The state of a rewriting: the graph being built and what became of the old graph's values. */
export class Rewriter {
  readonly builder: GraphBuilder;
  private readonly replaced = new Map<Value, Value>();

  constructor(private readonly graph: Graph) {
    this.builder = new GraphBuilder(graph.name, graph.inputs);
  }

  /** What stands for a value of the old graph. */
  current(value: Value): Value {
    return this.replaced.get(value) ?? value;
  }

  /** Lets one value stand for another from here on. */
  replace(before: Value, after: Value): void {
    if (before !== after) this.replaced.set(before, after);
  }

  /** Takes over every node in order, or what the rule gives for it. */
  apply(rule: RewriteRule): void {
    for (const node of this.graph.nodes) {
      const inputs = this.currentInputs(node);
      this.builder.origin = node.origin;
      const values = rule(node, inputs, this.builder);
      if (values) {
        if (values.length !== node.outputs.length) {
          throw new InternalError(`${values.length} values replace the ${node.outputs.length} of ${node.operator}`);
        }
        for (const [index, output] of node.outputs.entries()) this.replace(output, values[index] as Value);
      } else {
        this.builder.append(inputs === node.inputs ? node : { ...node, inputs });
      }
    }
  }

  private currentInputs({ inputs }: Node): readonly Value[] {
    for (const value of inputs) if (this.replaced.has(value)) return inputs.map((each) => this.current(each));
    return inputs;
  }

  /** The old graph's outputs as they are now. */
  outputs(): readonly GraphOutput[] {
    return this.graph.outputs.map((output) => ({ ...output, value: this.current(output.value) }));
  }
}

/** How often each value is read, by nodes and as an output. */
export function countReaders({ nodes, outputs }: Graph): ReadonlyMap<Value, number> {
  const readers = new Map<Value, number>();
  const count = (value: Value): void => void readers.set(value, (readers.get(value) ?? 0) + 1);
  for (const { inputs } of nodes) for (const value of inputs) count(value);
  for (const { value } of outputs) count(value);
  return readers;
}

/** Rewrites a graph node by node. */
export function rewriteNodes(graph: Graph, rule: RewriteRule): Graph {
  const rewriter = new Rewriter(graph);
  rewriter.apply(rule);
  return rewriter.builder.finish(rewriter.outputs());
}
