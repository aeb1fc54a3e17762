/** @file Training or evaluation: what batch norm and dropout, free of a mode in the DSL, become. */

import { type Graph, type GraphBuilder, type GraphOutput, InternalError, type Node, type Value } from '../ir/index.js';
import { dropoutInputs, outputName, processInputs } from '../step/interface.js';
import { channelCount, normalizeByAll } from './across-processes.js';
import type { Pass } from './pass.js';
import { Rewriter, rewriteNodes } from './rewrite.js';

/**
 * Batch norm normalizes by the batch's statistics and gives them as observations of its running ones (the variance
 * unbiased, M / (M − 1) for M elements a channel, as PyTorch); dropout multiplies by a mask made from the inputs
 * `step` and `seed`.
 */
export const trainingMode: Pass = { name: 'training-mode', run: (graph) => inTraining(graph, dropoutInputs) };

/** The same for a process that has a share of each batch: masks are those of the images' places in the whole batch. */
export const sharedTrainingMode: Pass = {
  name: 'shared-training-mode',
  run: (graph) => inTraining(graph, sharedScalars),
};

/** The same where batch norm normalizes by the images of all processes. */
export const syncedTrainingMode: Pass = {
  name: 'synced-training-mode',
  run: (graph) => inTraining(graph, sharedScalars, true),
};

const sharedScalars = { ...dropoutInputs, first: processInputs.first };

/** @param scalars the names of the inputs that masks are made from */
function inTraining(graph: Graph, scalars: Readonly<Record<string, string>>, byAll = false): Graph {
  const rewriter = new Rewriter(graph);
  const observations: GraphOutput[] = [];
  if (byAll) normalizeByAll(rewriter.builder);
  const maskInputs = graph.nodes.some(({ operator }) => operator === 'dropout')
    ? addMaskInputs(rewriter.builder, Object.values(scalars))
    : [];
  rewriter.apply((node, inputs, builder) => {
    if (node.operator === 'dropout') {
      const [x] = inputs as [Value];
      const mask = builder.emit('dropoutMask', maskInputs, { ...node.attributes, shape: x.type.shape });
      return [builder.emit('mul', [x, mask], {})];
    }
    if (node.operator !== 'batchNorm') return undefined;
    const [x, scale, shift] = inputs as [Value, Value, Value];
    const [mean, variance] = builder.emitAll('batchStatistics', [x], {}) as [Value, Value];
    observations.push(observation(graph, node, 3, mean), observation(graph, node, 4, unbiased(builder, variance, x)));
    return [normalized(builder, x, [mean, variance, scale, shift], node.attributes.epsilon)];
  });
  return rewriter.builder.finish([...rewriter.outputs(), ...observations]);
}

/** Batch norm normalizes by its running statistics, dropout does nothing; counters are gone. */
export const evaluationMode: Pass = {
  name: 'evaluation-mode',
  run(graph) {
    const evaluated = rewriteNodes(graph, (node, inputs, builder) => {
      if (node.operator === 'dropout') return inputs;
      if (node.operator !== 'batchNorm') return undefined;
      const [x, scale, shift, mean, variance] = inputs as [Value, Value, Value, Value, Value];
      return [builder.emit('normalize', [x, mean, variance, scale, shift], { epsilon: node.attributes.epsilon })];
    });
    return { ...evaluated, inputs: evaluated.inputs.filter(({ role }) => role !== 'counter') };
  },
};

/**
 * The least batch size that every batch norm can take statistics of: 2 where some channel has one element a sample
 * (as PyTorch, which refuses a single element), else 1.
 */
export function leastBatchSize(graph: Graph): number {
  const alone = graph.nodes.some(({ operator, inputs }) => {
    const shape = inputs[0]?.type.shape ?? [];
    return operator === 'batchNorm' && shape.slice(2).every((dim) => dim === 1);
  });
  return alone ? 2 : 1;
}

/**
 * (x − μ)·γ/√(σ² + ε) + β, as an affine map of what is centered: the centered x is something that several
 * layers can share, and no sum over it cancels, however far the mean is from 0.
 */
function normalized(
  builder: GraphBuilder,
  x: Value,
  [mean, variance, gamma, beta]: readonly [Value, Value, Value, Value],
  epsilon: number,
): Value {
  const [scale] = builder.emitAll('normalizer', [variance, gamma], { epsilon }) as [Value, Value];
  return builder.emit('affine', [builder.emit('center', [x, mean, variance], { epsilon }), scale, beta], {});
}

function addMaskInputs(builder: GraphBuilder, names: readonly string[]): Value[] {
  return names.map((name) => builder.input({ dtype: 'int64', shape: [] }, { name, role: 'scalar' }));
}

function observation(graph: Graph, node: Node, operand: number, value: Value): GraphOutput {
  const running = graph.inputs.find((input) => input.value === node.inputs[operand]);
  if (!running) throw new InternalError(`the running statistics of ${node.origin.scope} are no input`);
  return { name: outputName('observation', running.name), role: 'observation', of: running.name, value };
}

function unbiased(builder: GraphBuilder, variance: Value, x: Value): Value {
  return builder.within({ phase: 'update' }, () => {
    const count = channelCount(builder, x);
    const correction = builder.emit('div', [count, builder.emit('sub', [count, builder.scalar(1)], {})], {});
    return builder.emit('mul', [variance, correction], {});
  });
}
