/** @file Averages before it mixes channels: a 1×1 convolution and an average pool commute. */

import type { Node, NodeOf, Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { countReaders, rewriteNodes } from './rewrite.js';

/**
 * Rewrites `averagePool2d(conv2d(x, w))` as `conv2d(averagePool2d(x), w)` where the convolution is 1×1 (no stride, no
 * padding, one group) and the windows are not padded: both are linear, one over positions, the other over channels. For
 * 2×2 windows the convolution and its two gradients then cost a quarter; pooling handles the convolution's operands
 * instead of its results.
 */
export const poolFirst: Pass = {
  name: 'pool-first',
  run(graph) {
    const readers = countReaders(graph);
    const convolutions = new Map<Value, NodeOf<'conv2d'>>();
    for (const node of graph.nodes) {
      const [value] = node.outputs;
      if (value && readers.get(value) === 1 && mixesChannelsOnly(node)) convolutions.set(value, node);
    }
    const postponed = new Map<Value, readonly Value[]>();
    const pooled = new Set(
      graph.nodes.filter((node) => node.operator === 'averagePool2d' && unpadded(node)).flatMap(({ inputs }) => inputs),
    );
    return rewriteNodes(graph, (node, inputs, builder) => {
      const [output] = node.outputs as readonly [Value];
      if (convolutions.has(output) && pooled.has(output)) {
        postponed.set(output, inputs);
        return [output];
      }
      const [source] = node.inputs;
      const convolution = source && convolutions.get(source);
      if (node.operator !== 'averagePool2d' || !convolution || !postponed.has(source)) return undefined;
      const [x, ...weights] = postponed.get(source) as [Value, ...Value[]];
      const average = builder.emit('averagePool2d', [x], node.attributes);
      return [
        builder.within({ scope: convolution.origin.scope }, () =>
          builder.emit('conv2d', [average, ...weights], convolution.attributes),
        ),
      ];
    });
  },
};

/** Whether a node is a convolution that looks at one position at a time. */
export function mixesChannelsOnly(node: Node): node is NodeOf<'conv2d'> {
  if (node.operator !== 'conv2d') return false;
  const { stride, pads, groups } = node.attributes;
  const [, , height, width] = node.inputs[1]?.type.shape ?? [];
  return height === 1 && width === 1 && groups === 1 && stride.every((s) => s === 1) && pads.every((pad) => pad === 0);
}

function unpadded(node: NodeOf<'averagePool2d'>): boolean {
  return node.attributes.pads.every((pad) => pad === 0);
}
