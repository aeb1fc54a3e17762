/** @file Gradients of reductions, products, convolutions and pooling. */

import { elementCount, type GraphBuilder, isStatic, normalizeAxes, type Shape, type Value } from '../../ir/index.js';
import { type GradientRule, sumTo } from './rule.js';

export const reduceSum: GradientRule<'reduceSum'> = {
  saves: {},
  backward: (node) => [spread(node.builder, node.gradient(), node.inputType(0).shape, node.attributes.axes)],
};

export const reduceMean: GradientRule<'reduceMean'> = {
  saves: {},
  backward(node) {
    const { builder } = node;
    const { shape } = node.inputType(0);
    const axes = normalizeAxes(node.attributes.axes, shape.length, 'reduceMean');
    const count = elements(
      builder,
      axes.map((axis) => shape[axis] ?? 1),
    );
    return [spread(builder, node.gradient(), shape, axes, count)];
  },
};

export const matMul: GradientRule<'matMul'> = {
  saves: { inputs: [0, 1] },
  backward(node) {
    const { builder } = node;
    const { transposeA, transposeB } = node.attributes;
    const [a, b, gradient] = [node.input(0), node.input(1), node.gradient()];
    const product = (left: Value, right: Value, transposeLeft: boolean, transposeRight: boolean): Value =>
      builder.emit('matMul', [left, right], { transposeA: transposeLeft, transposeB: transposeRight });
    const atA = transposeA ? product(b, gradient, transposeB, true) : product(gradient, b, false, !transposeB);
    const atB = transposeB ? product(gradient, a, true, transposeA) : product(a, gradient, !transposeA, false);
    return [sumTo(builder, atA, a.type.shape), sumTo(builder, atB, b.type.shape)];
  },
};

export const conv2d: GradientRule<'conv2d'> = {
  saves: { inputs: [0, 1] },
  backward(node) {
    const { builder, attributes } = node;
    const gradient = node.gradient();
    const [, , height, width] = node.inputType(1).shape as readonly number[];
    const kernel = [height ?? 1, width ?? 1] as const;
    // The weight's first: what is recomputed for it then waits for all before, and the input's follows.
    const atWeight = builder.emit('conv2dWeightGrad', [node.input(0), gradient], { ...attributes, kernel });
    const atInput = builder.emit('conv2dInputGrad', [gradient, node.input(1)], {
      ...attributes,
      inputShape: node.inputType(0).shape,
    });
    if (node.inputCount === 2) return [atInput, atWeight];
    return [atInput, atWeight, builder.emit('reduceSum', [gradient], { axes: [0, 2, 3], keepDims: false })];
  },
};

export const conv2dAdd: GradientRule<'conv2dAdd'> = {
  saves: { inputs: [1, 2] },
  backward(node) {
    const { builder, attributes } = node;
    const gradient = node.gradient();
    const [, , height, width] = node.inputType(2).shape as readonly number[];
    const inputShape = node.inputType(1).shape;
    const kernel = [height ?? 1, width ?? 1] as const;
    const atWeight = builder.emit('conv2dWeightGrad', [node.input(1), gradient], { ...attributes, kernel });
    const atInput = builder.emit('conv2dInputGrad', [gradient, node.input(2)], { ...attributes, inputShape });
    return [gradient, atInput, atWeight];
  },
};

export const maxPool2d: GradientRule<'maxPool2d'> = {
  saves: { outputs: [1] },
  backward: (node) => [
    node.builder.emit('maxPool2dGrad', [node.gradient(), node.output(1)], { inputShape: node.inputType(0).shape }),
  ],
};

export const averagePool2d: GradientRule<'averagePool2d'> = {
  saves: {},
  backward: (node) => [
    node.builder.emit('averagePool2dGrad', [node.gradient()], {
      ...node.attributes,
      inputShape: node.inputType(0).shape,
    }),
  ],
};

/** A reduction's gradient repeated along the axes that were reduced, each repetition its share of it. */
function spread(builder: GraphBuilder, gradient: Value, shape: Shape, axes: readonly number[], shares?: Value): Value {
  const reduced = new Set(normalizeAxes(axes, shape.length, 'reduction'));
  const kept = shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim));
  const reshaped = builder.emit('reshape', [gradient], { shape: kept });
  const share = shares ? builder.emit('div', [reshaped, shares], {}) : reshaped;
  return builder.emit('expand', [share], { shape });
}

/** The number of elements of a shape as a scalar: a constant where it is known now. */
function elements(builder: GraphBuilder, shape: Shape): Value {
  return isStatic(shape) ? builder.scalar(elementCount(shape)) : builder.emit('sizeOf', [], { shape });
}
