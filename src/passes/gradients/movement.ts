/** @file Gradients of the operators that move elements. */

import { floatTensor, type GraphBuilder, RequestError, type TensorType, type Value } from '../../ir/index.js';
import { type GradientRule, sumTo } from './rule.js';

export const reshape: GradientRule<'reshape'> = {
  saves: {},
  backward: (node) => [node.builder.emit('reshape', [node.gradient()], { shape: node.inputType(0).shape })],
};

export const expand: GradientRule<'expand'> = {
  saves: {},
  backward: (node) => [sumTo(node.builder, node.gradient(), node.inputType(0).shape)],
};

export const transpose: GradientRule<'transpose'> = {
  saves: {},
  backward(node) {
    const { permutation } = node.attributes;
    const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
    return [node.builder.emit('transpose', [node.gradient()], { permutation: inverse })];
  },
};

export const concat: GradientRule<'concat'> = {
  saves: {},
  backward(node) {
    const { axis } = node.attributes;
    const sizes = Array.from({ length: node.inputCount }, (_, part) => node.inputType(part).shape[axis] as number);
    return node.builder.emitAll('split', [node.gradient()], { axis, sizes });
  },
};

export const split: GradientRule<'split'> = {
  saves: {},
  backward(node) {
    const parts = node.outputTypes().map((type, part) => node.gradientOrNone(part) ?? zeros(node.builder, type));
    return [node.builder.emit('concat', parts, { axis: node.attributes.axis })];
  },
};

export const slice: GradientRule<'slice'> = {
  saves: {},
  backward(node) {
    const { axes, starts, ends, steps } = node.attributes;
    if (steps.some((step) => step !== 1)) throw new RequestError('slice has a gradient only where its steps are 1');
    const { shape } = node.inputType(0);
    const pads = Array<number>(2 * shape.length).fill(0);
    for (const [index, axis] of axes.entries()) {
      pads[axis] = starts[index] ?? 0;
      pads[axis + shape.length] = (shape[axis] as number) - (ends[index] ?? 0);
    }
    return [node.builder.emit('pad', [node.gradient()], { pads })];
  },
};

export const reverse: GradientRule<'reverse'> = {
  saves: {},
  backward: (node) => [node.builder.emit('reverse', [node.gradient()], node.attributes)],
};

export const pad: GradientRule<'pad'> = {
  saves: {},
  backward(node) {
    const { shape } = node.inputType(0);
    const { pads } = node.attributes;
    const axes = shape.flatMap((_, axis) => (pads[axis] || pads[axis + shape.length] ? [axis] : []));
    const starts = axes.map((axis) => pads[axis] ?? 0);
    const ends = axes.map((axis, index) => (starts[index] ?? 0) + (shape[axis] as number));
    return [node.builder.emit('slice', [node.gradient()], { axes, starts, ends, steps: axes.map(() => 1) })];
  },
};

function zeros(builder: GraphBuilder, { shape }: TensorType): Value {
  const zero = builder.constant(floatTensor(Array<number>(shape.length).fill(1), [0]));
  return builder.emit('expand', [zero], { shape });
}
