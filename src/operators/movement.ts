/** @file Operators that only move elements: joining tensors along an axis and cutting one. */

import { elementCount, RequestError } from '../ir/index.js';
import { axisOf, expectExtents, ints, operand, show, tensor } from './checks.js';
import type { OwnOperator } from './definition.js';

/** Tensors joined along an axis. */
export const concat: OwnOperator = {
  name: 'Concat',
  operands: ['x...'],
  outputs: ['y'],
  attributes: { axis: 'int' },
  inPlace: [],
  shapes(inputs, attributes) {
    const first = operand(inputs, 0, 'x');
    const axis = axisOf(attributes, first.length);
    let extent = 0;
    for (const [index, part] of inputs.entries()) {
      const own = part[axis] ?? 0;
      expectExtents(part, first.with(axis, own), `x_${index}`);
      extent += own;
    }
    return [first.with(axis, extent)];
  },
  reference(inputs, outputs, attributes) {
    const y = tensor(outputs, 0);
    const axis = axisOf(attributes, y.shape.length);
    const row = elementCount(y.shape.slice(axis));
    let column = 0;
    for (const { shape, data } of inputs) {
      const length = elementCount(shape.slice(axis));
      for (let from = 0, to = column; from < data.length; from += length, to += row) {
        y.data.set(data.subarray(from, from + length), to);
      }
      column += length;
    }
  },
};

/** A tensor cut along an axis. */
export const split: OwnOperator = {
  name: 'Split',
  operands: ['x'],
  outputs: ['y...'],
  attributes: { axis: 'int', sizes: 'ints' },
  inPlace: [],
  shapes(inputs, attributes) {
    const x = operand(inputs, 0, 'x');
    const axis = axisOf(attributes, x.length);
    const sizes = ints(attributes, 'sizes', undefined);
    const sum = sizes.reduce((total, size) => total + size, 0);
    if (sum !== x[axis]) {
      throw new RequestError(
        `the attribute sizes is ${show(sizes)}, together ${sum}; the axis ${axis} of x, ${show(x)}, has ${x[axis]} elements`,
      );
    }
    return sizes.map((size) => x.with(axis, size));
  },
  reference(inputs, outputs, attributes) {
    const x = tensor(inputs, 0);
    const axis = axisOf(attributes, x.shape.length);
    const row = elementCount(x.shape.slice(axis));
    let column = 0;
    for (const { shape, data } of outputs) {
      const length = elementCount(shape.slice(axis));
      for (let to = 0, from = column; to < data.length; to += length, from += row) {
        data.set(x.data.subarray(from, from + length), to);
      }
      column += length;
    }
  },
};
