/**
 * @file Lowering of dropout's masks: a counter-based generator in wrapping uint32 arithmetic, which gives the same
 * bits on every provider. Definition, reference values and tests of its quality: docs/decisions.md.
 */

import { floatTensor, type GraphBuilder, type TensorData, type Value } from '../../ir/index.js';
import { type LoweringContext, type LoweringRule, operand, product, reshaped } from './rule.js';

const rounds = [0x7feb352d, 0x846ca68b, 0xc2b2ae35] as const;
const rowStride = 0x9e3779b1;
const layerStride = 0x85ebca6b;
const elementOffsets = [0x243f6a88, 0x85a308d3] as const;

/**
 * Each element's hash is x·(x + a₂) with x = (a₁ + b₁)² + b₂, where a₁ and a₂ come from (layer, step, seed, sample)
 * and b₁ and b₂ from the element's place in its sample. It is kept when the hash is at least rate·2³².
 */
export const dropoutMask: LoweringRule<'dropoutMask'> = (node, inputs, context) => {
  const { builder } = context;
  const { rate, key, shape } = node.attributes;
  const extents = shape.slice(1) as readonly number[];
  const keys = rowKeys(operand(inputs, 0), operand(inputs, 1), inputs[2], context);
  const count = keys.type.shape[1] as number;
  // One split for all layers: of slices the runtime would make one, a new node that runs before what was planned.
  const columns = builder.emitAll('split', [keys], { axis: 1, sizes: Array<number>(count).fill(1) });
  const rowKey = (index: number): Value =>
    reshaped(builder, operand(columns, index), [shape[0] as string, ...extents.map(() => 1)]);
  const elementKey = (index: 0 | 1): Value => builder.constant(elementKeys(extents, elementOffsets[index]));

  const sum = builder.emit('add', [rowKey(2 * key), elementKey(0)], {});
  const x = builder.emit('add', [product(builder, sum, sum), elementKey(1)], {});
  const hash = product(builder, x, builder.emit('add', [x, rowKey(2 * key + 1)], {}));
  // The least rate that 32 bits can tell from 0 is taken for anything below it.
  const threshold = Math.max(0, Math.floor(rate * 2 ** 32) - 1);
  const kept = builder.emit('greater', [hash, unsigned(builder, threshold)], {});
  const scale = builder.constant(floatTensor([], [1 / (1 - rate)]));
  return [product(builder, builder.emit('cast', [kept], { to: 'float32' }), scale)];
};

/** Two keys for each sample and dropout layer, (N, 2·layers); the same value for all layers, so it is computed once. */
function rowKeys(
  step: Value,
  seed: Value,
  first: Value | undefined,
  { builder, graph, batchSize }: LoweringContext,
): Value {
  const layers = graph.nodes.reduce(
    (most, node) => (node.operator === 'dropoutMask' ? Math.max(most, node.attributes.key + 1) : most),
    0,
  );
  const counter = product(builder, builder.emit('cast', [step], { to: 'uint32' }), unsigned(builder, rowStride));
  const start = mix(builder, builder.emit('add', [counter, builder.emit('cast', [seed], { to: 'uint32' })], {}));
  const places = builder.emit('range', [reshaped(builder, batchSize(), [])], {});
  const range = first ? builder.emit('add', [places, first], {}) : places;
  const rows = product(builder, builder.emit('cast', [range], { to: 'uint32' }), unsigned(builder, rowStride));
  const samples = mix(builder, builder.emit('add', [rows, start], {}));
  const offsets = Uint32Array.from({ length: 2 * layers }, (_, index) => Math.imul(index + 1, layerStride));
  const perLayer = builder.constant({ dtype: 'uint32', shape: [1, 2 * layers], data: offsets });
  const column = reshaped(builder, samples, [samples.type.shape[0] as string, 1]);
  return mix(builder, builder.emit('add', [column, perLayer], {}));
}

/** Keys of the elements of a sample, [1, …extents]. */
function elementKeys(extents: readonly number[], offset: number): TensorData {
  const count = extents.reduce((total, extent) => total * extent, 1);
  const data = Uint32Array.from({ length: count }, (_, index) => {
    let x = Math.imul(index, rowStride) + offset;
    for (const factor of rounds) {
      x = Math.imul(x, factor) >>> 0;
      x += x >>> 16;
    }
    return x;
  });
  return { dtype: 'uint32', shape: [1, ...extents], data };
}

/** Three rounds of x ← x·A, x ← x + ⌊x / 2¹⁶⌋. */
function mix(builder: GraphBuilder, value: Value): Value {
  let x = value;
  for (const factor of rounds) {
    x = product(builder, x, unsigned(builder, factor));
    x = builder.emit('add', [x, builder.emit('div', [x, unsigned(builder, 2 ** 16)], {})], {});
  }
  return x;
}

function unsigned(builder: GraphBuilder, value: number): Value {
  return builder.constant({ dtype: 'uint32', shape: [], data: Uint32Array.of(value) });
}
