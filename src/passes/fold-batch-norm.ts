/**
 * @file Folds batch norms whose operands are constants. With running statistics a batch norm is an affine map of each
 * channel: a convolution before it takes it in, and costs no more; elsewhere it becomes one operator.
 */

import {
  elementCount,
  type FloatTensor,
  floatTensor,
  type GraphBuilder,
  InternalError,
  type Node,
  type NodeOf,
  type TensorData,
  type Value,
} from '../ir/index.js';
import { removeDeadCode } from './clean.js';
import type { Pass } from './pass.js';
import { rewriteNodes } from './rewrite.js';

/** y = scale · x + shift, channel by channel, in float64: it is rounded once, with what it is folded into. */
interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** Leaves no `batchNorm` in a graph whose state was bound (`bindState`). */
export const foldBatchNorm: Pass = {
  name: 'fold-batch-norm',
  run(graph) {
    const constants = new Map<Value, TensorData>();
    const readers = new Map<Value, number>();
    const countReader = (value: Value): unknown => readers.set(value, (readers.get(value) ?? 0) + 1);
    for (const node of graph.nodes) {
      if (node.operator === 'constant') constants.set(node.outputs[0] as Value, node.attributes.value);
      node.inputs.forEach(countReader);
    }
    for (const { value } of graph.outputs) countReader(value);
    const constant = (value: Value | undefined): FloatTensor | undefined => {
      const tensor = value && constants.get(value);
      return tensor?.dtype === 'float32' ? tensor : undefined;
    };

    const folded = rewriteNodes(graph, (node, inputs, builder) => {
      if (node.operator !== 'batchNorm') return undefined;
      const affine = affineOf(node, inputs.slice(1).map(constant));
      const [x] = inputs as [Value];
      const before = builder.nodes.findLast(({ outputs }) => (outputs as readonly Value[]).includes(x));
      const alone = readers.get(node.inputs[0] as Value) === 1;
      const weight = alone && before?.operator === 'conv2d' ? constant(before.inputs[1]) : undefined;
      if (!weight || before?.operator !== 'conv2d') return [applyAffine(builder, x, affine)];
      return [foldIntoConvolution(builder, before, weight, constant(before.inputs[2]), affine)];
    });
    return removeDeadCode.run(folded);
  },
};

function affineOf({ attributes, origin }: NodeOf<'batchNorm'>, operands: readonly (FloatTensor | undefined)[]): Affine {
  const [scale, shift, mean, variance] = operands.map((operand) => {
    if (!operand) throw new InternalError(`the batch norm ${origin.scope} has operands that are no constants`);
    return Float64Array.from(operand.data);
  }) as [Float64Array, Float64Array, Float64Array, Float64Array];
  const factor = scale.map((value, channel) => value / Math.sqrt((variance[channel] as number) + attributes.epsilon));
  const offset = shift.map((value, channel) => value - (mean[channel] as number) * (factor[channel] as number));
  return { scale: factor, shift: offset };
}

/** Scales the filters and gives the convolution a bias. */
function foldIntoConvolution(
  builder: GraphBuilder,
  convolution: Node & NodeOf<'conv2d'>,
  weight: FloatTensor,
  bias: FloatTensor | undefined,
  { scale, shift }: Affine,
): Value {
  const perFilter = elementCount(weight.shape.slice(1));
  const scaled = weight.data.map((value, index) => value * (scale[Math.floor(index / perFilter)] as number));
  const shifted = shift.map((value, filter) => value + (bias?.data[filter] ?? 0) * (scale[filter] as number));
  const operands = [floatTensor(weight.shape, scaled), floatTensor([shift.length], shifted)];
  const [x] = convolution.inputs as readonly [Value];
  const constants = operands.map((tensor) => builder.constant(tensor));
  return builder.emit('conv2d', [x, ...constants], convolution.attributes);
}

/** A depthwise 1×1 convolution for images: the runtime fuses it with the ReLU after it, which it can't for Mul and Add. */
function applyAffine(builder: GraphBuilder, x: Value, { scale, shift }: Affine): Value {
  const channels = scale.length;
  const rank = x.type.shape.length;
  if (rank === 4) {
    const operands = [floatTensor([channels, 1, 1, 1], scale), floatTensor([channels], shift)];
    const constants = operands.map((tensor) => builder.constant(tensor));
    return builder.emit('conv2d', [x, ...constants], { stride: [1, 1], pads: [0, 0, 0, 0], groups: channels });
  }
  const vector = (data: Float64Array): Value =>
    builder.constant(floatTensor([channels, ...Array<number>(rank - 2).fill(1)], data));
  return builder.emit('add', [builder.emit('mul', [x, vector(scale)], {}), vector(shift)], {});
}
