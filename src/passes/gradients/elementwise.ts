/** @file Gradients of the operators that work position by position. */

import type { GraphBuilder, Value } from '../../ir/index.js';
import { type BackwardNode, type GradientRule, sumTo } from './rule.js';

const toOperand = (node: BackwardNode<'add' | 'sub' | 'mul' | 'div'>, operand: 0 | 1, gradient: Value): Value =>
  sumTo(node.builder, gradient, node.inputType(operand).shape);

const times = (builder: GraphBuilder, a: Value, b: Value): Value => builder.emit('mul', [a, b], {});

export const add: GradientRule<'add'> = {
  saves: {},
  backward: (node) => [toOperand(node, 0, node.gradient()), toOperand(node, 1, node.gradient())],
};

export const sub: GradientRule<'sub'> = {
  saves: {},
  backward: (node) => [
    toOperand(node, 0, node.gradient()),
    node.builder.emit('neg', [toOperand(node, 1, node.gradient())], {}),
  ],
};

export const mul: GradientRule<'mul'> = {
  saves: { inputs: [0, 1] },
  backward: (node) => [
    toOperand(node, 0, times(node.builder, node.gradient(), node.input(1))),
    toOperand(node, 1, times(node.builder, node.gradient(), node.input(0))),
  ],
};

/** d(a / b): 1 / b at a, −(a / b) / b at b. */
export const div: GradientRule<'div'> = {
  saves: { inputs: [1], outputs: [0] },
  backward(node) {
    const { builder } = node;
    const atA = builder.emit('div', [node.gradient(), node.input(1)], {});
    const atB = builder.emit('neg', [times(builder, atA, node.output())], {});
    return [toOperand(node, 0, atA), toOperand(node, 1, atB)];
  },
};

export const neg: GradientRule<'neg'> = {
  saves: {},
  backward: (node) => [node.builder.emit('neg', [node.gradient()], {})],
};

export const exp: GradientRule<'exp'> = {
  saves: { outputs: [0] },
  backward: (node) => [times(node.builder, node.gradient(), node.output())],
};

export const log: GradientRule<'log'> = {
  saves: { inputs: [0] },
  backward: (node) => [node.builder.emit('div', [node.gradient(), node.input(0)], {})],
};

/** d√x = 1 / (2·√x). */
export const sqrt: GradientRule<'sqrt'> = {
  saves: { outputs: [0] },
  backward(node) {
    const half = times(node.builder, node.gradient(), node.builder.scalar(0.5));
    return [node.builder.emit('div', [half, node.output()], {})];
  },
};

/** d(1 / x) = −1 / x². */
export const reciprocal: GradientRule<'reciprocal'> = {
  saves: { outputs: [0] },
  backward(node) {
    const square = times(node.builder, node.output(), node.output());
    return [node.builder.emit('neg', [times(node.builder, node.gradient(), square)], {})];
  },
};

/** The mask comes from the output: it is positive exactly where the input is. */
export const relu: GradientRule<'relu'> = {
  saves: { outputs: [0] },
  backward: (node) => [node.builder.emit('reluGrad', [node.gradient(), node.output()], {})],
};
