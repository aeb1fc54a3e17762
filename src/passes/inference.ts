/** @file What is deployed: the logits alone, computed from the images alone, with the weights inside. */

import {
  type Graph,
  GraphBuilder,
  type GraphOutput,
  InternalError,
  RequestError,
  type TensorData,
  type Value,
} from '../ir/index.js';
import { resultOutputs } from '../step/interface.js';
import type { Task } from '../step/tasks.js';
import { removeDeadCode } from './clean.js';
import { sigmoid } from './lowering/index.js';
import type { Pass } from './pass.js';
import { Rewriter } from './rewrite.js';

/**
 * Replaces loss and errors by what the task asks of the logits: softmax, a sigmoid of each, or the numbers themselves;
 * inputs that nothing reads any more, as the labels, are gone.
 */
export function inferenceOutputs(task: Task): Pass {
  return {
    name: 'inference-outputs',
    run(graph) {
      const logits = graph.outputs.find(({ name }) => name === resultOutputs.logits);
      if (!logits) throw new InternalError(`the graph ${graph.name} has no logits`);
      const builder = new GraphBuilder(graph.name, graph.inputs);
      for (const node of graph.nodes) builder.append(node);
      return withoutUnreadInputs(removeDeadCode.run(builder.finish(deployed[task](builder, logits))));
    },
  };
}

/** What an exported model gives. */
const deployed: Readonly<Record<Task, (builder: GraphBuilder, logits: GraphOutput) => readonly GraphOutput[]>> = {
  classes: (builder, logits) => withProbabilities(builder, logits, softmax),
  labels: (builder, logits) => withProbabilities(builder, logits, sigmoid),
  values: (_, { value }) => [{ name: resultOutputs.predictions, role: 'result', value }],
};

function withProbabilities(
  builder: GraphBuilder,
  logits: GraphOutput,
  probability: (builder: GraphBuilder, logits: Value) => Value,
): readonly GraphOutput[] {
  const value = builder.within({ scope: resultOutputs.probabilities, phase: 'forward' }, () =>
    probability(builder, logits.value),
  );
  return [logits, { name: resultOutputs.probabilities, role: 'result', value }];
}

/**
 * Gives outputs that further nodes read a node of their own: tools that put conversions before outputs, as those that
 * make float16 models, change what these nodes read otherwise.
 */
export const ownOutputs: Pass = {
  name: 'own-outputs',
  run(graph) {
    const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
    if (!graph.outputs.some(({ value }) => read.has(value))) return graph;
    const builder = new GraphBuilder(graph.name, graph.inputs);
    for (const node of graph.nodes) builder.append(node);
    const outputs = graph.outputs.map((output): GraphOutput => {
      if (!read.has(output.value)) return output;
      return {
        ...output,
        value: builder.within({ scope: output.name }, () => builder.emit('copy', [output.value], {})),
      };
    });
    return builder.finish(outputs);
  },
};

/**
 * Makes a forward graph's state constant and its dropout the identity.
 * @param state parameters and running statistics by name; all that the graph reads must be there
 */
export function bindState(state: ReadonlyMap<string, TensorData>): Pass {
  return {
    name: 'bind-state',
    run(graph) {
      const rewriter = new Rewriter(graph);
      for (const { name, role, value } of graph.inputs) {
        if (role !== 'parameter' && role !== 'running') continue;
        const tensor = state.get(name);
        if (!tensor) {
          throw new RequestError(
            `the state lacks ${name}; give all parameters and running statistics of ${graph.name}`,
          );
        }
        checkShape(name, tensor, value);
        rewriter.replace(value, rewriter.builder.emit('constant', [], { value: tensor }));
      }
      rewriter.apply((node, inputs) => (node.operator === 'dropout' ? inputs : undefined));
      return withoutUnreadInputs(rewriter.builder.finish(rewriter.outputs()));
    },
  };
}

function checkShape(name: string, { dtype, shape }: TensorData, { type }: Value): void {
  if (dtype === type.dtype && shape.join() === type.shape.join()) return;
  throw new RequestError(
    `the state's ${name} is ${dtype} [${shape.join(', ')}], the network has ${type.dtype} [${type.shape.join(', ')}]; give the weights of this network`,
  );
}

/** exp(x − max) / Σ exp(x − max) along axis 1. */
function softmax(builder: GraphBuilder, logits: Value): Value {
  const largest = builder.emit('reduceMax', [logits], { axes: [1], keepDims: true });
  const powers = builder.emit('exp', [builder.emit('sub', [logits, largest], {})], {});
  return builder.emit('div', [powers, builder.emit('reduceSum', [powers], { axes: [1], keepDims: true })], {});
}

function withoutUnreadInputs(graph: Graph): Graph {
  const read = new Set([...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ value }) => value)]);
  return { ...graph, inputs: graph.inputs.filter(({ value }) => read.has(value)) };
}
