/** @file Batch norm's operators against definitions and differences in float64, and in place. */

import { describe, expect, test } from 'vitest';
import { type Attributes, type HostTensor, ownOperators } from '../../src/operators/index.js';
import { Call } from '../helpers/evaluate/kernel.js';
import { normalization } from '../helpers/evaluate/normalization.js';
import { randomSource } from '../helpers/random.js';
import { array, compute, derivatives, hostTensor, randomTensor, relativeError, row } from './tensors.js';

const dtypes = { inputs: [], outputs: [] };
const shapes = [
  { shape: [3, 4, 2, 5] },
  { shape: [1, 3, 4, 4] },
  { shape: [4, 1, 3, 3] },
  { shape: [2, 5, 1, 1] },
  { shape: [6, 2] },
];

/** Channel and value by element, for definitions. */
function channelOf(shape: readonly number[]): (index: number) => number {
  const area = shape.slice(2).reduce((product, extent) => product * extent, 1);
  return (index) => Math.floor(index / area) % (shape[1] as number);
}

function statistics(shape: readonly number[], x: Float64Array): { mean: Float64Array; variance: Float64Array } {
  const [mean, variance] = normalization.batchStatistics(
    new Call<'batchStatistics'>([{ shape, data: x }], undefined as never, [], dtypes, 1),
  );
  return { mean: mean ?? new Float64Array(), variance: variance ?? new Float64Array() };
}

describe.each(shapes)('of $shape', ({ shape }) => {
  const random = randomSource(`normalization ${shape}`);
  const channels = shape[1] as number;
  const channel = channelOf(shape);

  test('statistics', () => {
    const x = randomTensor(shape, random);
    const [mean, variance] = compute('BatchStatistics', [x]);
    const expected = statistics(shape, array(x).data);
    expect(relativeError(mean?.data ?? [], expected.mean)).toBeLessThan(1e-7);
    expect(relativeError(variance?.data ?? [], expected.variance)).toBeLessThan(1e-7);
  });

  test('centering gradient, by differences of batch norm', () => {
    const epsilon = 1e-2;
    const x = randomTensor(shape, random);
    const gamma = randomTensor([channels], random, 'positive');
    const dy = randomTensor(shape, random);
    const loss = (values: Float64Array): number => {
      const { mean, variance } = statistics(shape, values);
      return values.reduce((sum, value, index) => {
        const c = channel(index);
        const normalized = (value - (mean[c] as number)) / Math.sqrt((variance[c] as number) + epsilon);
        return sum + (gamma.data[c] as number) * normalized * (dy.data[index] as number);
      }, 0);
    };
    const [mean, variance] = compute('BatchStatistics', [x]) as [HostTensor, HostTensor];
    const [scale] = compute('Normalizer', [variance, gamma], { epsilon }) as [HostTensor];
    const g = hostTensor(
      shape,
      dy.data.map((value, index) => value * (scale.data[channel(index)] as number)),
    );
    const [dx] = compute('CenterGrad', [g, x, mean, variance], { epsilon });
    const largest = Math.max(...g.data.map(Math.abs));
    expect(relativeError(dx?.data ?? [], derivatives(loss, x.data), largest)).toBeLessThan(3e-6);
  });
});

test('statistics keep their digits far from zero', () => {
  const random = randomSource('far from zero');
  const x = randomTensor([8, 2, 8, 8], random);
  const moved = hostTensor(
    x.shape,
    x.data.map((value) => value + 1000),
  );
  const [, variance] = compute('BatchStatistics', [moved]);
  expect(relativeError(variance?.data ?? [], statistics(x.shape, array(moved).data).variance)).toBeLessThan(1e-7);
});

test('statistics of nothing are refused', () => {
  expect(() => row('BatchStatistics').shapes([[0, 3, 2, 2]], {})).toThrow('need an element');
});

test('normalizer', () => {
  const random = randomSource('normalizer');
  const [variance, gamma] = [randomTensor([7], random, 'positive'), randomTensor([7], random)];
  const epsilon = 1e-5;
  const call = new Call<'normalizer'>([array(variance), array(gamma)], { epsilon }, [], dtypes, 1);
  const expected = normalization.normalizer(call);
  for (const [index, { data }] of compute('Normalizer', [variance, gamma], { epsilon }).entries()) {
    expect(relativeError(data, expected[index] ?? [])).toBeLessThan(1e-7);
  }
  expect(() => row('Normalizer').shapes([[7], [6]], { epsilon })).toThrow('gamma has the shape [6]');
});

/** Parts with so many channels each, and one vector a name over all of them. */
function parts(name: string, channels: readonly number[], [samples, ...area]: readonly [number, ...number[]]) {
  const random = randomSource(name);
  const all = channels.reduce((sum, count) => sum + count, 0);
  return {
    random,
    all,
    x: channels.map((count) => randomTensor([samples, count, ...area], random, 'away from zero')),
    scale: randomTensor([all], random, 'away from zero'),
    shift: randomTensor([all], random),
    mean: randomTensor([all], random),
  };
}

/** act(scale · (x − mean) + shift) in float64, over what Concat makes of the parts. */
function affine(whole: Float64Array, shape: readonly number[], vectors: readonly ArrayLike<number>[], relu: boolean) {
  const channel = channelOf(shape);
  const [scale, shift, mean] = vectors as [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
  return whole.map((value, index) => {
    const c = channel(index);
    const y = (scale[c] as number) * (value - (mean[c] as number)) + (shift[c] as number);
    return relu ? Math.max(0, y) : y;
  });
}

describe.each([
  { channels: [3], rest: [2, 3, 4] },
  { channels: [1, 4, 2], rest: [3, 2, 2] },
  { channels: [1, 1], rest: [1, 1, 1] },
] as const)('parts of $channels channels', ({ channels, rest }) => {
  const { x, scale, shift, mean, all, random } = parts(`parts ${channels}`, channels, rest);
  const shape = [rest[0], all, ...rest.slice(1)];
  const whole = compute('Concat', x, { axis: 1 })[0] as HostTensor;

  test.each([0, 1])('affine map, relu %i', (relu) => {
    const [z] = compute('AffineRelu', [scale, shift, mean, ...x], { relu });
    const expected = affine(array(whole).data, shape, [scale.data, shift.data, mean.data], relu === 1);
    expect(z?.shape).toEqual(shape);
    expect(relativeError(z?.data ?? [], expected)).toBeLessThan(1e-7);
  });

  test.each([0, 1])('its gradients by differences, relu %i', (relu) => {
    const dz = randomTensor(shape, random);
    const sums = x.map((part) => randomTensor(part.shape, random));
    const accumulates = x.map((_, index) => (index + 1) % 2);
    const operands = x.flatMap((part, index) => [accumulates[index] ? (sums[index] as HostTensor) : part, part]);
    const attributes: Attributes = { relu, accumulates };
    const [dscale, dshift, ...gradients] = compute('AffineReluGrad', [dz, scale, shift, mean, ...operands], attributes);
    const loss = (values: Float64Array, vectors: readonly ArrayLike<number>[]): number =>
      affine(values, shape, vectors, relu === 1).reduce((sum, z, index) => sum + z * (dz.data[index] as number), 0);
    const wide = array(whole).data;
    const fixed = [scale.data, shift.data, mean.data];
    const step = 1e-5;
    const byScale = derivatives((v) => loss(wide, [v, shift.data, mean.data]), scale.data, step);
    const byShift = derivatives((v) => loss(wide, [scale.data, v, mean.data]), shift.data, step);
    const byX = hostTensor(
      shape,
      derivatives((v) => loss(v, fixed), wide, step),
    );
    expect(relativeError(dscale?.data ?? [], byScale, 0.1)).toBeLessThan(1e-6);
    expect(relativeError(dshift?.data ?? [], byShift, 0.1)).toBeLessThan(1e-6);
    const pieces = compute('Split', [byX], { axis: 1, sizes: channels });
    for (const [index, gradient] of gradients.entries()) {
      const own = (pieces[index] as HostTensor).data;
      const expected = accumulates[index]
        ? own.map((g, at) => g + ((sums[index] as HostTensor).data[at] as number))
        : own;
      expect(relativeError(gradient.data, expected, 0.1)).toBeLessThan(1e-6);
    }
  });
});

test('affine maps refuse parts and vectors that do not fit', () => {
  const shapesOf = (inputs: number[][], attributes: Attributes = { relu: 1 }) =>
    row('AffineRelu').shapes(inputs, attributes);
  expect(() => shapesOf([[3], [3], [3]])).toThrow('there are no parts');
  expect(() => shapesOf([[3], [3], [3], [2, 1, 4, 4], [2, 2, 4, 5]])).toThrow('part 1 has the shape [2, 2, 4, 5]');
  expect(() => shapesOf([[3], [4], [3], [2, 3, 4, 4]])).toThrow(
    'shift has the shape [4]; the other operands ask for [3]',
  );
  expect(() => shapesOf([[3], [3], [3], [2, 3, 4, 4]], { relu: 2 })).toThrow('relu is 2; it must be 0 or 1');
  const image = [2, 3, 4, 4];
  const grad = (accumulates: number[]) =>
    row('AffineReluGrad').shapes([image, [3], [3], [3], image, image], { relu: 1, accumulates });
  expect(grad([1])).toEqual([[3], [3], image]);
  expect(() => grad([1, 0])).toThrow('2 parts by the attribute accumulates, but 2 operands');
  expect(() => grad([2])).toThrow('each must be 0 or 1');
});

test('ReLU gradient', () => {
  const dy = hostTensor([5], [1, 2, 3, 4, 5]);
  expect([...(compute('ReluGrad', [dy, hostTensor([5], [1, 0, -1, 2, -0])])[0]?.data ?? [])]).toEqual([1, 0, 0, 4, 0]);
});

describe('in place, the same bits', () => {
  const random = randomSource('in place');
  const image = [2, 3, 4, 5];
  const [x, y, z] = [0, 1, 2].map(() => randomTensor(image, random)) as [HostTensor, HostTensor, HostTensor];
  const [a, b, c] = [0, 1, 2].map(() => randomTensor([3], random, 'positive')) as [HostTensor, HostTensor, HostTensor];
  const calls: readonly { name: string; inputs: readonly HostTensor[]; attributes: Attributes }[] = [
    { name: 'AffineRelu', inputs: [a, b, c, x], attributes: { relu: 1 } },
    { name: 'AffineReluGrad', inputs: [x, a, b, c, y, z], attributes: { relu: 1, accumulates: [1] } },
    { name: 'CenterGrad', inputs: [x, y, a, b], attributes: { epsilon: 1e-5 } },
    { name: 'ReluGrad', inputs: [x, y], attributes: {} },
  ];

  test('every row that works in place is called here', () => {
    const rows = Object.values(ownOperators).filter(({ inPlace }) => inPlace.length > 0);
    expect(calls.map(({ name }) => name).sort()).toEqual(rows.map(({ name }) => name).sort());
  });

  test.each(calls)('$name', ({ name, inputs, attributes }) => {
    const apart = compute(name, inputs, attributes);
    const copies = inputs.map(({ shape, data }) => hostTensor(shape, data));
    const outputs = apart.map(({ shape, data }) =>
      hostTensor(
        shape,
        data.map(() => Number.NaN),
      ),
    );
    for (const [operand, output] of row(name).inPlace) {
      if (operand < copies.length && output < outputs.length) outputs[output] = copies[operand] as HostTensor;
    }
    row(name).reference(copies, outputs, attributes);
    expect(outputs).toEqual(apart);
  });
});
