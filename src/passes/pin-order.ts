/** @file Pins the order of the backward pass: what one step of it leaves to do is done before the next one begins. */

import { type GraphBuilder, isStatic, type Node, type Value } from '../ir/index.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/**
 * The runtime runs depth first, so it would follow the gradient down to the first layer and leave weight gradients,
 * reductions and sums of gradients for later, keeping alive all they read. Where recomputation begins, it is made to wait
 * (`after`) for everything the backward pass has computed so far and nothing has read yet. Gradients
 * themselves needn't wait: nodes are placed (`src/memory/place.ts`) so that weight gradients run where they are planned.
 */
export const pinOrder: Pass = {
  name: 'pin-order',
  run(graph) {
    const pins = new Pins();
    return rewriteNodes(graph, (node, inputs, builder) => {
      const { phase } = node.origin;
      if (phase !== 'backward' && phase !== 'recompute') return undefined;
      if (node.operator === 'after') return [pins.pinned(inputs as readonly [Value, Value], builder)];
      pins.note(node, inputs);
      return undefined;
    });
  },
};

class Pins {
  /** What the backward pass has computed and nothing has read or waited for yet. */
  private readonly unread = new Set<Value>();
  /** Gradients at which something waits already: all that is recomputed for one of them belongs together. */
  private readonly entered = new Set<Value>();
  /** What the values of the backward pass are made of, and when. */
  private readonly made = new Map<Value, { readonly inputs: readonly Value[]; readonly time: number }>();

  /** What recomputation reads for `x` where it begins, at a gradient. */
  pinned([x, gradient]: readonly [Value, Value], builder: GraphBuilder): Value {
    const signals = this.signals(x, gradient);
    // A copy waits for something in any case, or it would be merged with what it is a copy of.
    const operands = [x, ...(signals.length > 0 ? signals : [gradient])];
    const waiting = builder.emit('after', operands, {});
    this.remember(operands, [waiting]);
    return waiting;
  }

  /** Keeps account of what a node reads and computes. */
  note(node: Node, inputs: readonly Value[]): void {
    this.remember(inputs, node.outputs);
    // Arithmetic of short vectors holds back nothing of size, nor is what it reads done with before it is waited for.
    if (inputs.every(({ type }) => isStatic(type.shape))) return;
    for (const value of inputs) this.unread.delete(value);
    if (node.origin.phase !== 'backward') return;
    for (const value of node.outputs) if (value.type.shape.length > 0) this.unread.add(value);
  }

  /** What `x` has to wait for at a gradient: that and, the first time, all that is unread, but nothing implied by these. */
  private signals(x: Value, gradient: Value): readonly Value[] {
    const all = new Set([gradient]);
    if (!this.entered.has(gradient)) {
      this.entered.add(gradient);
      for (const value of this.unread) all.add(value);
      this.unread.clear();
    }
    all.delete(x);
    const earliest = Math.min(...[...all].map((signal) => this.made.get(signal)?.time ?? 0));
    const implied = new Set<Value>();
    const open = [x, ...all];
    for (let value = open.pop(); value; value = open.pop()) {
      for (const input of this.made.get(value)?.inputs ?? []) {
        if (implied.has(input) || (this.made.get(input)?.time ?? -1) < earliest) continue;
        implied.add(input);
        open.push(input);
      }
    }
    return [...all].filter((signal) => !implied.has(signal));
  }

  private remember(inputs: readonly Value[], outputs: readonly Value[]): void {
    for (const value of outputs) this.made.set(value, { inputs, time: this.made.size });
  }
}
