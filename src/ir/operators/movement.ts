/** @file Operators that move elements, make them or tell their number. */

import {
  batch,
  type Dim,
  formatShape,
  normalizeAxes,
  sameShape,
  sameSize,
  staticDim,
  type TensorType,
} from '../shape.js';
import { type Definitions, float, sameAsFirst } from './definition.js';

type Movement =
  | 'constant'
  | 'reshape'
  | 'after'
  | 'copy'
  | 'head'
  | 'expand'
  | 'transpose'
  | 'concat'
  | 'split'
  | 'slice'
  | 'reverse'
  | 'pad'
  | 'scatterAdd'
  | 'shape'
  | 'sizeOf'
  | 'range';

export const movement = {
  constant: { operands: [], infer: (_, { value }) => [{ dtype: value.dtype, shape: value.shape }] },
  after: { operands: ['x', 'signals...'], view: true, composite: true, infer: sameAsFirst },
  copy: { operands: ['x'], view: true, infer: sameAsFirst },
  head: {
    operands: ['x', 'start', 'end'],
    infer(inputs) {
      inputs.dtype(1, 'int64');
      inputs.dtype(2, 'int64');
      const { dtype, shape } = inputs.at(0);
      return [{ dtype, shape: [`0*${batch}`, ...shape.slice(1)] }];
    },
  },
  reshape: {
    operands: ['x', 'extents?'],
    view: true,
    cheap: true,
    infer(inputs, { shape }) {
      inputs.require(
        sameSize(inputs.shape(0), shape),
        `the shape ${formatShape(shape)} holds another number of elements`,
      );
      return [{ dtype: inputs.at(0).dtype, shape }];
    },
  },
  expand: {
    operands: ['x', 'extents?'],
    cheap: true,
    infer(inputs, { shape }) {
      const from = inputs.shape(0);
      const offset = shape.length - from.length;
      const fits = offset >= 0 && from.every((dim, axis) => dim === 1 || dim === shape[axis + offset]);
      inputs.require(fits, `can't be repeated to ${formatShape(shape)}; only axes of extent 1 repeat`);
      return [{ dtype: inputs.at(0).dtype, shape }];
    },
  },
  transpose: {
    operands: ['x'],
    cheap: true,
    infer(inputs, { permutation }) {
      const { dtype, shape } = inputs.at(0);
      const sorted = [...permutation].sort((a, b) => a - b);
      inputs.require(
        sorted.length === shape.length && sorted.every((axis, index) => axis === index),
        `[${permutation.join(', ')}] is not a permutation of its axes`,
      );
      return [{ dtype, shape: permutation.map((axis) => shape[axis] as Dim) }];
    },
  },
  concat: {
    operands: ['parts...'],
    cheap: true,
    infer(inputs, { axis }): readonly TensorType[] {
      const first = inputs.at(0);
      let total = 0;
      for (const [index, { dtype, shape }] of inputs.types.entries()) {
        const agrees =
          shape.length === first.shape.length && shape.every((dim, i) => i === axis || dim === first.shape[i]);
        inputs.require(dtype === first.dtype && agrees, `operand ${index} must match the first except on axis ${axis}`);
        total += staticDim(shape, axis, `concat: operand ${index}`);
      }
      return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => (i === axis ? total : dim)) }];
    },
  },
  split: {
    operands: ['x'],
    cheap: true,
    infer(inputs, { axis, sizes }) {
      const { dtype, shape } = inputs.at(0);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      inputs.require(shape[axis] === total, `axis ${axis} must be ${total}, the sum of the parts`);
      return sizes.map((size) => ({ dtype, shape: shape.map((dim, i) => (i === axis ? size : dim)) }));
    },
  },
  slice: {
    operands: ['x'],
    cheap: true,
    infer(inputs, { axes, starts, ends, steps }) {
      const { dtype, shape } = inputs.at(0);
      const extents = [...shape];
      for (const [index, axis] of axes.entries()) {
        const start = starts[index] ?? 0;
        const end = ends[index] ?? 0;
        const size = staticDim(shape, axis, 'slice: the operand');
        inputs.require((steps[index] ?? 1) >= 1, `the step ${steps[index]} along axis ${axis} must be at least 1`);
        inputs.require(0 <= start && start <= end && end <= size, `${start} to ${end} is outside axis ${axis}`);
        extents[axis] = Math.ceil((end - start) / (steps[index] ?? 1));
      }
      return [{ dtype, shape: extents }];
    },
  },
  reverse: {
    operands: ['x'],
    cheap: true,
    infer(inputs, { axes }) {
      normalizeAxes(axes, inputs.shape(0).length, 'reverse');
      return sameAsFirst(inputs);
    },
  },
  pad: {
    operands: ['x'],
    cheap: true,
    infer(inputs, { pads }) {
      const { dtype, shape } = inputs.at(0);
      inputs.require(pads.length === 2 * shape.length, `needs ${2 * shape.length} padding counts, not ${pads.length}`);
      return [
        {
          dtype,
          shape: shape.map((dim, axis) => {
            const extra = (pads[axis] ?? 0) + (pads[axis + shape.length] ?? 0);
            return extra === 0 ? dim : staticDim(shape, axis, 'pad: the operand') + extra;
          }),
        },
      ];
    },
  },
  scatterAdd: {
    operands: ['into', 'updates', 'indices'],
    infer(inputs) {
      inputs.ranked(0, 1);
      inputs.dtype(2, 'int64');
      inputs.require(sameShape(inputs.ranked(1, 1), inputs.shape(2)), 'updates and indices must have one shape');
      return [inputs.at(0)];
    },
  },
  shape: {
    operands: ['x'],
    infer(inputs, { start, end }) {
      inputs.require(0 <= start && start < end && end <= inputs.shape(0).length, `has no axes ${start} to ${end - 1}`);
      return [{ dtype: 'int64', shape: [end - start] }];
    },
  },
  sizeOf: { operands: [], composite: true, infer: () => [float([])] },
  range: {
    operands: ['limit'],
    infer(inputs) {
      inputs.dtype(0, 'int64');
      inputs.require(inputs.shape(0).length === 0, 'the limit must be a scalar');
      return [{ dtype: 'int64', shape: [batch] }];
    },
  },
} satisfies Definitions<Movement>;
