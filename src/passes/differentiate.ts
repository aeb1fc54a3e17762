/** @file Reverse-mode differentiation: the gradient of the loss at every parameter. */

import {
  findOutput,
  type Graph,
  GraphBuilder,
  type GraphOutput,
  InternalError,
  type Node,
  type NodeOf,
  type OperatorName,
  RequestError,
  type Value,
} from '../ir/index.js';
import { outputName, resultOutputs } from '../step/interface.js';
import { shareInput } from './across-processes.js';
import { BackwardNode, type GradientRule, gradientRules } from './gradients/index.js';
import type { Pass } from './pass.js';

/**
 * Appends the backward pass of the result `loss` and adds one output `gradient.<name>` for each parameter that isn't
 * frozen. Gradients that meet at a value are added up as they arrive.
 */
export const differentiate: Pass = {
  name: 'differentiate',
  run: (graph) => derive(graph, (builder) => builder.scalar(1)),
};

/**
 * The same for a process that has a share of each batch: the gradient of the loss begins with that share, so that gradients
 * add up over the processes to those of the mean over all images.
 */
export const differentiateShare: Pass = {
  name: 'differentiate-share',
  run: (graph) => derive(graph, shareInput),
};

/** @param atLoss the gradient at the loss */
function derive(graph: Graph, atLoss: (builder: GraphBuilder) => Value): Graph {
  const loss = findOutput(graph, resultOutputs.loss).value;
  const parameters = graph.inputs.filter((input) => input.role === 'parameter' && !input.frozen);
  const active = dependents(
    graph,
    parameters.map(({ value }) => value),
  );
  const builder = new GraphBuilder(graph.name, graph.inputs);
  for (const node of graph.nodes) builder.append(node);

  const gradients = new Map<Value, Value>();
  builder.origin = { scope: 'loss', phase: 'backward' };
  gradients.set(loss, atLoss(builder));
  for (const node of [...graph.nodes].reverse()) {
    const arriving = node.outputs.map((value) => gradients.get(value));
    if (arriving.every((gradient) => gradient === undefined)) continue;
    builder.origin = { ...node.origin, phase: 'backward' };
    const atInputs = backward(node, arriving, builder);
    for (const [index, value] of node.inputs.entries()) {
      const gradient = atInputs[index];
      if (!gradient || !active.has(value)) continue;
      const sum = gradients.get(value);
      gradients.set(value, sum ? builder.emit('add', [sum, gradient], {}) : gradient);
    }
  }

  const outputs = parameters.map(({ name, value }): GraphOutput => {
    const gradient = gradients.get(value);
    if (!gradient) throw new InternalError(`the loss doesn't depend on ${name}, which isn't frozen`);
    return { name: outputName('gradient', name), role: 'gradient', of: name, value: gradient };
  });
  return builder.finish([...graph.outputs, ...outputs]);
}

function backward(
  node: Node,
  arriving: readonly (Value | undefined)[],
  builder: GraphBuilder,
): readonly (Value | undefined)[] {
  const rule = gradientRules[node.operator] as GradientRule<OperatorName> | { readonly none: string };
  if ('none' in rule) {
    throw new RequestError(
      `the loss depends on ${node.origin.scope || 'the network'} through ${node.operator}, which has no gradient: ${rule.none}`,
    );
  }
  return rule.backward(new BackwardNode(node as NodeOf<OperatorName>, rule.saves, arriving, builder));
}

/** The given values and all that depends on them. */
function dependents(graph: Graph, roots: readonly Value[]): ReadonlySet<Value> {
  const found = new Set(roots);
  for (const node of graph.nodes) {
    if (node.inputs.some((value) => found.has(value))) for (const value of node.outputs) found.add(value);
  }
  return found;
}
