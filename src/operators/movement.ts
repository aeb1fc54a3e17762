/** @file Operators that only move elements: joining tensors along an axis and cutting one. */

import { elementCount, RequestError } from '../ir/index.js';
import { axisOf, type Extents, expectExtents, ints, operand, show, tensor } from './checks.js';
import type { Attributes, HostTensor, OwnOperator } from './definition.js';

/** Elements that lie one after the other in a part and in the whole that it is joined to or cut from. */
interface Run {
  readonly part: Float32Array;
  /** Where they begin in the part, and in the whole. */
  readonly own: number;
  readonly at: number;
  readonly length: number;
}

function* runs(whole: Extents, parts: readonly HostTensor[], attributes: Attributes): Generator<Run> {
  const axis = axisOf(attributes, whole.length);
  const row = elementCount(whole.slice(axis));
  let column = 0;
  for (const { shape, data } of parts) {
    const length = elementCount(shape.slice(axis));
    for (let own = 0, at = column; own < data.length; own += length, at += row) yield { part: data, own, at, length };
    column += length;
  }
}

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
    for (const { part, own, at, length } of runs(y.shape, inputs, attributes)) {
      y.data.set(part.subarray(own, own + length), at);
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
    for (const { part, own, at, length } of runs(x.shape, outputs, attributes)) {
      part.set(x.data.subarray(at, at + length), own);
    }
  },
};
