/** @file Operators that work position by position. */

import { broadcastShapes, type TensorType } from '../shape.js';
import type { None, OperatorName } from './attributes.js';
import { type Definitions, float, type Operands, type OperatorDefinition, sameAsFirst } from './definition.js';

function binary(name: OperatorName, dtype?: 'bool'): OperatorDefinition<None> {
  return {
    operands: ['a', 'b'],
    elementwise: true,
    cheap: true,
    infer(inputs): readonly TensorType[] {
      inputs.require(inputs.at(0).dtype === inputs.at(1).dtype, 'both operands must have one element type');
      const shape = broadcastShapes(inputs.shape(0), inputs.shape(1), name);
      return [{ dtype: dtype ?? inputs.at(0).dtype, shape }];
    },
  };
}

const unary: OperatorDefinition<None> = {
  operands: ['x'],
  elementwise: true,
  cheap: true,
  infer(inputs: Operands) {
    inputs.dtype(0, 'float32');
    return sameAsFirst(inputs);
  },
};

type Elementwise =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'equal'
  | 'greater'
  | 'minimum'
  | 'clip'
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'relu'
  | 'hardSigmoid'
  | 'cast'
  | 'where'
  | 'reluGrad'
  | 'dropout'
  | 'dropoutMask';

export const elementwise = {
  add: binary('add'),
  sub: binary('sub'),
  mul: binary('mul'),
  div: binary('div'),
  equal: binary('equal', 'bool'),
  greater: binary('greater', 'bool'),
  minimum: {
    operands: ['parts...'],
    elementwise: true,
    cheap: true,
    infer(inputs) {
      const { dtype } = inputs.at(0);
      inputs.require(
        inputs.types.every((type) => type.dtype === dtype),
        'all operands must have one element type',
      );
      const shapes = inputs.types.map((type) => type.shape);
      return [{ dtype, shape: shapes.reduce((a, b) => broadcastShapes(a, b, 'minimum')) }];
    },
  },
  clip: {
    operands: ['x', 'least', 'most'],
    elementwise: true,
    cheap: true,
    inPlace: () => [[0, 0]],
    infer(inputs) {
      for (const operand of [0, 1, 2]) inputs.dtype(operand, 'float32');
      inputs.require(inputs.shape(1).length === 0 && inputs.shape(2).length === 0, 'the limits must be scalars');
      return sameAsFirst(inputs);
    },
  },
  neg: unary,
  exp: unary,
  log: unary,
  sqrt: unary,
  reciprocal: unary,
  relu: { ...unary, inPlace: () => [[0, 0]] },
  hardSigmoid: { ...unary, inPlace: () => [[0, 0]] },
  cast: {
    operands: ['x'],
    elementwise: true,
    cheap: true,
    infer: (inputs, { to }) => [{ dtype: to, shape: inputs.shape(0) }],
  },
  where: {
    operands: ['condition', 'a', 'b'],
    elementwise: true,
    cheap: true,
    infer(inputs) {
      inputs.dtype(0, 'bool');
      const { dtype } = inputs.at(1);
      inputs.require(inputs.at(2).dtype === dtype, 'the second and third operands must have one element type');
      const both = broadcastShapes(inputs.shape(1), inputs.shape(2), 'where');
      return [{ dtype, shape: broadcastShapes(inputs.shape(0), both, 'where') }];
    },
  },
  reluGrad: {
    operands: ['outputGradient', 'output'],
    elementwise: true,
    cheap: true,
    composite: true,
    inPlace: () => [[0, 0]],
    infer: (inputs) => [float(broadcastShapes(inputs.shape(0), inputs.shape(1), 'reluGrad'))],
  },
  dropout: { operands: ['x'], elementwise: true, random: true, composite: true, infer: sameAsFirst },
  dropoutMask: {
    operands: ['step', 'seed', 'firstSample?'],
    random: true,
    composite: true,
    infer(inputs, { shape }) {
      for (const operand of inputs.types.keys()) {
        inputs.dtype(operand, 'int64');
        inputs.require(inputs.shape(operand).length === 0, 'step and seed must be scalars');
      }
      return [float(shape)];
    },
  },
} satisfies Definitions<Elementwise>;
