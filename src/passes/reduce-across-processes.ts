/** @file Data parallel training: gradients and running statistics are summed over the processes of a run. */

import { GraphBuilder, type GraphOutput, InternalError, type Node } from '../ir/index.js';
import { imagesOf, shareOf, sumOverProcesses } from './across-processes.js';
import type { Pass } from './pass.js';

/**
 * ```
 * gradient.parameter.0 = %g            gradient.parameter.0 = allReduce(%g)
 * observed.running.0 = %s        →     observed.running.0 = allReduce(mul(%s, %share))
 * ```
 * Gradients come scaled already, since the loss's gradient begins with the process's share of the batch; so a sum over the
 * processes is the gradient of the mean over all images, however these are dealt out. What the batch shows of a running
 * statistic is averaged, weighted by the shares; where batch norm normalizes by all images, it is the same for all already.
 * One node for each segment of state, as it comes.
 */
export const reduceAcrossProcesses: Pass = {
  name: 'reduce-across-processes',
  run(graph) {
    const share = shareOf(graph);
    if (!share) throw new InternalError(`the graph ${graph.name} was differentiated for one process`);
    const builder = new GraphBuilder(graph.name, graph.inputs);
    for (const node of graph.nodes) builder.append(node);
    builder.origin = { scope: 'processes', phase: 'update' };
    const outputs = graph.outputs.map((output): GraphOutput => {
      if (output.role === 'gradient') return { ...output, value: sumOverProcesses(builder, output.value) };
      if (output.role !== 'observation' || imagesOf(graph)) return output;
      return { ...output, value: sumOverProcesses(builder, builder.emit('mul', [output.value, share], {})) };
    });
    return builder.finish(outputs);
  },
};

/** Numbers the nodes in which processes meet, in the graph's order: the order in which all of them come there. */
export const numberCollectives: Pass = {
  name: 'number-collectives',
  run(graph) {
    let index = 0;
    const nodes = graph.nodes.map(
      (node): Node => (node.operator === 'allReduce' ? { ...node, attributes: { index: index++ } } : node),
    );
    return { ...graph, nodes };
  },
};
