/** @file Nodes for tests of the memory model, written as `out1 out2 = Operator(in1, in2)`. */

import type { Effect, MemoryNode } from '../../src/memory/node.js';

/** A node with the operator that it was written with. */
export interface WrittenNode extends MemoryNode<string> {
  readonly operator: string;
}

/** What ONNX's operators do with their operands' memory on the CPU; any other gives results memory of its own. */
const effects: Readonly<Record<string, Effect>> = {
  Reshape: { view: true },
  Identity: { view: true },
  Relu: { inPlace: [[0, 0]] },
  HardSigmoid: { inPlace: [[0, 0]] },
  FusedConv: { inPlace: [[3, 0]] },
  // A gradient in two parts, each of which may be written over the sum that it is added to.
  AddGradients: {
    inPlace: [
      [1, 0],
      [2, 1],
    ],
  },
};

function effectOf(operator: string): Effect {
  return effects[operator] ?? {};
}

export function memoryNode(operator: string, inputs: readonly string[], outputs: readonly string[]): WrittenNode {
  return { operator, inputs: inputs.map((name) => name || undefined), outputs, effect: effectOf(operator) };
}

export function written(line: string): WrittenNode {
  const [, left = '', operator = '', operands = ''] = /^(.*) = (\w+)\((.*)\)$/.exec(line) ?? [];
  return memoryNode(operator, operands.split(', '), left.split(' '));
}
