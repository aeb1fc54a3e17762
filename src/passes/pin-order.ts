/** @file Pins the order of the backward pass: what one layer's gradients leave to do is done before the next layer's. */

import { batch, type Node, type Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { Rewriter } from './rewrite.js';

/**
 * The runtime runs depth first, so it would follow the gradient down to the first layer and leave weight gradients,
 * reductions and sums of gradients for later, keeping alive all they read. Before the backward pass of a convolution or
 * matrix product, the gradient that enters it is made to wait (`after`) for everything the backward pass has computed
 * so far and nothing has read yet. Recomputation waits for that gradient, so it comes no earlier.
 *
 * From each pin on, batch axes have another name. The runtime holds a dead buffer for a later value of surely the same
 * shape; with one name throughout, it would hold the forward pass's buffers until recomputation takes them over.
 */
export const pinOrder: Pass = {
  name: 'pin-order',
  run(graph) {
    const rewriter = new Rewriter(graph);
    const unread = new Set<Value>();
    const pinned = new Set<Value>();
    let pins = 0;
    rewriter.apply((node, inputs, builder) => {
      if (node.origin.phase !== 'backward' && node.origin.phase !== 'recompute') return undefined;
      if (node.operator === 'after') {
        for (const value of inputs) unread.delete(value);
        return [builder.emit('after', inputs, { batchName: batchName(pins) })];
      }
      const entering = enteringGradient(node);
      const gradient = entering === undefined ? undefined : inputs[entering];
      let operands = inputs;
      if (gradient && !pinned.has(gradient)) {
        unread.delete(gradient);
        if (unread.size > 0) {
          const waiting = builder.emit('after', [gradient, ...unread], { batchName: batchName(++pins) });
          rewriter.replace((node.inputs as readonly Value[])[entering as number] as Value, waiting);
          pinned.add(waiting);
          unread.clear();
          operands = inputs.map((value) => (value === gradient ? waiting : value));
        } else pinned.add(gradient);
      }
      for (const value of operands) unread.delete(value);
      for (const value of node.outputs) unread.add(value);
      if (operands === inputs) return undefined;
      builder.append({ ...node, inputs: operands });
      return node.outputs;
    });
    return rewriter.builder.finish(rewriter.outputs());
  },
};

/** A name for the batch axis of all that follows a pin. */
function batchName(pin: number): string {
  return `${batch}_${pin}`;
}

/** Which operand of a convolution's or product's backward pass is the gradient at its output. */
function enteringGradient({ operator }: Node): number | undefined {
  if (operator === 'conv2dInputGrad') return 0;
  if (operator === 'conv2dWeightGrad') return 1;
  return undefined;
}
