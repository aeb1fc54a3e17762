/** @file What views of the IR become in ONNX, which sessions and profiles know by name. */

import { expect, it } from 'vitest';
import { GraphBuilder, type OperatorName, traitsOf } from '../../src/ir/index.js';
import { decodeModel, encodeGraph, viewOperators } from '../../src/onnx/index.js';
import { onnxWriters } from '../../src/onnx/operators.js';

it('are the operators that give their operand’s memory', () => {
  const names = Object.keys(onnxWriters) as OperatorName[];
  const views = names.filter((name) => traitsOf(name).view && onnxWriters[name] !== 'composite');
  expect(views.sort()).toEqual(['copy', 'reshape']);
  const builder = new GraphBuilder('views');
  const x = builder.input({ dtype: 'float32', shape: ['N', 4] }, { name: 'x', role: 'batch' });
  const value = builder.emit('copy', [builder.emit('reshape', [x], { shape: ['N', 2, 2] })], {});
  const model = decodeModel(encodeGraph(builder.finish([{ name: 'y', role: 'result', value }])), 'the model');
  expect(new Set(model.graph?.node?.map(({ opType }) => opType))).toEqual(viewOperators);
});
