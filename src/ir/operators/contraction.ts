/** @file Reductions, products, convolutions and pooling. */

import {
  broadcastShapes,
  type Dim,
  formatShape,
  formatType,
  normalizeAxes,
  type Shape,
  sameType,
  type TensorType,
} from '../shape.js';
import type { Convolution, OperatorAttributes, Pair } from './attributes.js';
import { type Definitions, float, type Operands, type OperatorDefinition, windowExtents } from './definition.js';

type Contraction =
  | 'reduceSum'
  | 'reduceMean'
  | 'reduceMax'
  | 'argMax'
  | 'matMul'
  | 'conv2d'
  | 'conv2dAdd'
  | 'fusedConv2d'
  | 'convTranspose2d'
  | 'conv2dInputGrad'
  | 'conv2dWeightGrad'
  | 'im2col'
  | 'maxPool2d'
  | 'maxPool2dGrad'
  | 'averagePool2d'
  | 'averagePool2dGrad';

function reduction(name: string, operands = ['x']): OperatorDefinition<OperatorAttributes['reduceSum']> {
  return {
    operands,
    infer(inputs, { axes, keepDims }) {
      const { dtype, shape } = inputs.at(0);
      if (inputs.types.length > 1) inputs.dtype(1, 'int64');
      inputs.require(axes.length > 0, 'needs at least one axis');
      const reduced = new Set(normalizeAxes(axes, shape.length, name));
      const kept = shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim));
      return [{ dtype, shape: keepDims ? kept : shape.filter((_, axis) => !reduced.has(axis)) }];
    },
  };
}

function checkGroups(inputs: Operands, channels: number, filters: number, perGroup: Dim, groups: number): void {
  inputs.require(
    channels % groups === 0 && filters % groups === 0,
    `${groups} groups must divide ${channels} and ${filters} channels`,
  );
  inputs.require(perGroup === channels / groups, `the weight must have ${channels / groups} input channels`);
}

/** The type that a convolution of the operands `x` and `x + 1` gives. */
function convolved(inputs: Operands, x: number, { stride, pads, groups }: Convolution): TensorType {
  const { n, c, h, w } = inputs.image(x);
  const weight = inputs.image(x + 1);
  checkGroups(inputs, c, weight.n as number, weight.c, groups);
  return float([n, weight.n, ...windowExtents([h, w], [weight.h, weight.w], stride, pads, inputs)]);
}

function checkBias(inputs: Operands, index: number, { shape }: TensorType): void {
  inputs.require(inputs.ranked(index, 1)[0] === shape[1], `the bias must have ${shape[1]} elements`);
}

function checkSum(inputs: Operands, index: number, type: TensorType): void {
  inputs.require(sameType(inputs.at(index), type), `what is added to must be ${formatType(type)}, as the result`);
}

/** The type of a pooled image. */
function pooled(inputs: Operands, window: { kernel: Pair; stride: Pair; pads: Convolution['pads'] }): TensorType {
  const { n, c, h, w } = inputs.image(0);
  return float([n, c, ...windowExtents([h, w], window.kernel, window.stride, window.pads, inputs)]);
}

function outputOfShape(inputs: Operands, { inputShape }: { readonly inputShape: Shape }): readonly TensorType[] {
  inputs.require(inputShape.length === 4, `the input's shape ${formatShape(inputShape)} must have 4 axes`);
  return [float(inputShape)];
}

export const contraction = {
  reduceSum: reduction('reduceSum', ['x', 'axes?']),
  reduceMean: reduction('reduceMean'),
  reduceMax: reduction('reduceMax'),
  argMax: {
    operands: ['x'],
    infer(inputs, { axis }) {
      const [reduced] = normalizeAxes([axis], inputs.shape(0).length, 'argMax');
      return [{ dtype: 'int64', shape: inputs.shape(0).filter((_, i) => i !== reduced) }];
    },
  },
  matMul: {
    operands: ['a', 'b'],
    infer(inputs, { transposeA, transposeB }) {
      const matrix = (index: number, transposed: boolean): { outer: Shape; rows: Dim; columns: Dim } => {
        const shape = inputs.shape(index);
        const [rows, columns] = shape.slice(-2);
        if (shape.length < 2 || rows === undefined || columns === undefined)
          throw inputs.error(`operand ${index} must be a matrix`);
        return { outer: shape.slice(0, -2), rows: transposed ? columns : rows, columns: transposed ? rows : columns };
      };
      for (const operand of [0, 1]) inputs.dtype(operand, 'float32');
      const a = matrix(0, transposeA);
      const b = matrix(1, transposeB);
      inputs.require(a.columns === b.rows, `the inner extents ${a.columns} and ${b.rows} must be equal`);
      return [float([...broadcastShapes(a.outer, b.outer, 'matMul'), a.rows, b.columns])];
    },
  },
  conv2d: {
    operands: ['x', 'weight', 'bias?'],
    infer(inputs, attributes) {
      const type = convolved(inputs, 0, attributes);
      if (inputs.types.length > 2) checkBias(inputs, 2, type);
      return [type];
    },
  },
  conv2dAdd: {
    operands: ['sum', 'x', 'weight'],
    composite: true,
    infer(inputs, attributes) {
      const type = convolved(inputs, 1, attributes);
      checkSum(inputs, 0, type);
      return [type];
    },
  },
  fusedConv2d: {
    operands: ['x', 'weight', 'bias?', 'sum?'],
    inPlace: (operands, { adds }) => (adds ? [[operands - 1, 0]] : []),
    infer(inputs, attributes) {
      const type = convolved(inputs, 0, attributes);
      const last = inputs.types.length - 1;
      if (attributes.adds) checkSum(inputs, last, type);
      if (last - (attributes.adds ? 1 : 0) > 1) checkBias(inputs, 2, type);
      return [type];
    },
  },
  convTranspose2d: {
    operands: ['x', 'weight'],
    infer(inputs, { stride, pads, groups, outputPadding }) {
      const { n, c, h, w } = inputs.image(0);
      const weight = inputs.image(1);
      inputs.require(weight.n === c, `the weight must have ${c} input channels`);
      const extent = (axis: 0 | 1): number =>
        ([h, w][axis] as number) * stride[axis] -
        stride[axis] +
        outputPadding[axis] +
        ([weight.h, weight.w][axis] as number) -
        pads[axis] -
        (pads[axis + 2] as number);
      return [float([n, weight.c * groups, extent(0), extent(1)])];
    },
  },
  conv2dInputGrad: { operands: ['outputGradient', 'weight'], composite: true, infer: outputOfShape },
  conv2dWeightGrad: {
    operands: ['x', 'outputGradient'],
    composite: true,
    infer(inputs, { kernel, groups }) {
      return [float([inputs.image(1).c, inputs.image(0).c / groups, ...kernel])];
    },
  },
  im2col: {
    operands: ['x'],
    composite: true,
    infer(inputs, window) {
      const { n, c, h, w } = inputs.image(0);
      const extents = windowExtents([h, w], window.kernel, window.stride, window.pads, inputs);
      return [float([n, c * window.kernel[0] * window.kernel[1], ...extents])];
    },
  },
  maxPool2d: {
    operands: ['x'],
    optionalOutputs: true,
    infer(inputs, window) {
      const type = pooled(inputs, window);
      return [type, { dtype: 'int64', shape: type.shape }];
    },
  },
  maxPool2dGrad: { operands: ['outputGradient', 'indices'], composite: true, infer: outputOfShape },
  averagePool2d: { operands: ['x'], cheap: true, infer: (inputs, window) => [pooled(inputs, window)] },
  averagePool2dGrad: { operands: ['outputGradient'], composite: true, infer: outputOfShape },
} satisfies Definitions<Contraction>;
