/** @file Lets a recomputed convolution subtract the mean of its channels: as its bias, without a pass over memory. */

import type { Node, NodeOf, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { countReaders, rewriteNodes } from './rewrite.js';

/**
 * Rewrites `conv2d(x, w) − μ` as `conv2d(x, w, −μ)`. In the forward pass statistics are taken in between; the backward
 * pass has them already. Kernels add the bias last, so results are the same to the bit, and so are the masks that follow.
 * @param intoSums also where the convolution is one of several that are summed: for targets whose convolutions take the sum
 * along and add the bias after it
 */
export const foldCenter = (intoSums: boolean): Pass => ({
  name: 'fold-center',
  run(graph) {
    const readers = countReaders(graph);
    const producers = new Map<Value, Node>();
    /** Convolutions that take a mean along, by what they give; and what they give in the end. */
    const biases = new Map<NodeOf<'conv2d'>, Value>();
    const dropped = new Set<Node>();
    for (const node of graph.nodes) {
      for (const value of node.outputs) producers.set(value, node);
      const mean = meanOf(node, producers);
      const convolution = mean && convolutionOf(node.inputs[0] as Value, intoSums, producers, readers);
      if (!mean || !convolution) continue;
      biases.set(convolution, mean);
      dropped.add(node);
    }
    return rewriteNodes(graph, (node, inputs, builder) => {
      if (dropped.has(node)) return [inputs[0] as Value];
      const mean = node.operator === 'conv2d' ? biases.get(node) : undefined;
      if (node.operator !== 'conv2d' || !mean) return undefined;
      const bias = builder.within({ phase: 'backward' }, () => builder.emit('neg', [mean], {}));
      return [builder.emit('conv2d', [...inputs, bias], node.attributes)];
    });
  },
});

/** The vector that a recomputed node subtracts from its operand's channels. */
function meanOf(node: Node, producers: ReadonlyMap<Value, Node>): Value | undefined {
  if (node.operator !== 'sub' || node.origin.phase !== 'recompute') return undefined;
  const [x, subtracted] = node.inputs as readonly [Value, Value];
  const reshape = producers.get(subtracted);
  const [mean] = reshape?.operator === 'reshape' ? reshape.inputs : [];
  const [channels] = mean?.type.shape ?? [];
  const isMean = mean?.type.shape.length === 1 && subtracted.type.shape.join() === [1, channels, 1, 1].join();
  return isMean && x.type.shape[1] === channels ? mean : undefined;
}

/**
 * The convolution without a bias that gives a value, or the summand that is added last, and that nothing else reads: of
 * two convolutions the first, which `fuse-convolutions` lets take the other's result along.
 */
function convolutionOf(
  value: Value,
  intoSums: boolean,
  producers: ReadonlyMap<Value, Node>,
  readers: ReadonlyMap<Value, number>,
): NodeOf<'conv2d'> | undefined {
  const node = producers.get(value);
  if (!node || readers.get(value) !== 1) return undefined;
  if (node.operator === 'conv2d') return node.inputs.length === 2 ? node : undefined;
  if (node.operator !== 'add' || !intoSums) return undefined;
  const [first, second] = node.inputs as readonly [Value, Value];
  const summand = producers.get(first)?.operator === 'conv2d' ? first : second;
  return producers.get(summand)?.operator === 'conv2d'
    ? convolutionOf(summand, intoSums, producers, readers)
    : undefined;
}
