/** @file Data parallel training: gradients and running statistics are summed over the processes of a run. */

import { GraphBuilder, type GraphOutput, InternalError, type Value } from '../ir/index.js';
import { processInputs } from '../step/interface.js';
import type { Pass } from './pass.js';

/**
 * ```
 * gradient.parameter.0 = %g            gradient.parameter.0 = allReduce(%g) {index=0}
 * observed.running.0 = %s        →     observed.running.0 = allReduce(mul(%s, %share)) {index=1}
 * ```
 * Gradients come scaled already, since the loss's gradient begins with the process's share of the batch; so a sum over the
 * processes is the gradient of the mean over all images, however these are dealt out. What the batch shows of a running
 * statistic is averaged, weighted by the shares. One node for each segment of state, as it comes.
 */
export const reduceAcrossProcesses: Pass = {
  name: 'reduce-across-processes',
  run(graph) {
    const share = graph.inputs.find(({ name }) => name === processInputs.share)?.value;
    if (!share) throw new InternalError(`the graph ${graph.name} was differentiated for one process`);
    const builder = new GraphBuilder(graph.name, graph.inputs);
    for (const node of graph.nodes) builder.append(node);
    builder.origin = { scope: 'processes', phase: 'update' };
    let index = graph.nodes.filter(({ operator }) => operator === 'allReduce').length;
    const sum = (value: Value): Value => builder.emit('allReduce', [value], { index: index++ });
    const outputs = graph.outputs.map((output): GraphOutput => {
      if (output.role === 'gradient') return { ...output, value: sum(output.value) };
      if (output.role !== 'observation') return output;
      return { ...output, value: sum(builder.emit('mul', [output.value, share], {})) };
    });
    return builder.finish(outputs);
  },
};

/** The process's share of the batch, a float32 scalar. */
export function shareInput(builder: GraphBuilder): Value {
  const known = builder.inputs.find(({ name }) => name === processInputs.share);
  return known?.value ?? builder.input({ dtype: 'float32', shape: [] }, { name: processInputs.share, role: 'scalar' });
}
