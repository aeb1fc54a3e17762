/** @file Joining and cutting along each axis, and that one undoes the other. */

import { describe, expect, test } from 'vitest';
import { randomSource } from '../helpers/random.js';
import { compute, hostTensor, randomTensor, row } from './tensors.js';

describe.each([
  { base: [5], axis: 0, sizes: [2, 3, 1] },
  { base: [4, 0], axis: 1, sizes: [1, 4] },
  { base: [2, 0, 3], axis: 1, sizes: [3, 1, 2] },
  { base: [2, 3, 2, 2], axis: 0, sizes: [1, 2] },
  { base: [2, 3, 2, 2], axis: -1, sizes: [5, 1] },
  { base: [2, 1, 2, 1, 2], axis: 2, sizes: [1] },
])('of rank $base.length along axis $axis', ({ base, axis, sizes }) => {
  const random = randomSource(`movement ${base} ${axis}`);
  const parts = sizes.map((size) => randomTensor(base.with(axis, size), random));
  const [whole] = compute('Concat', parts, { axis });

  test('every element goes where NumPy puts it', () => {
    const shape = base.with(
      axis,
      sizes.reduce((sum, size) => sum + size, 0),
    );
    expect(whole?.shape).toEqual(shape);
    const from = axis < 0 ? axis + base.length : axis;
    const expected: number[] = [];
    // Coordinates in order, the last axis fastest.
    const visit = (coordinates: number[]): void => {
      if (coordinates.length < shape.length) {
        for (let at = 0; at < (shape[coordinates.length] as number); at++) visit([...coordinates, at]);
        return;
      }
      let [part, along] = [0, coordinates[from] as number];
      while (along >= (sizes[part] as number)) along -= sizes[part++] as number;
      const source = parts[part];
      const flat = coordinates.with(from, along).reduce((sum, at, index) => sum * (source?.shape[index] ?? 0) + at, 0);
      expected.push(source?.data[flat] ?? Number.NaN);
    };
    visit([]);
    expect([...(whole?.data ?? [])]).toEqual(expected);
  });

  test('Split gives the parts back', () => {
    expect(compute('Split', whole ? [whole] : [], { axis, sizes })).toEqual(parts);
  });
});

test('an empty part adds nothing', () => {
  const [y] = compute('Concat', [hostTensor([1, 2], [1, 2]), hostTensor([1, 0], []), hostTensor([1, 1], [3])], {
    axis: 1,
  });
  expect(y).toEqual(hostTensor([1, 3], [1, 2, 3]));
});

test('what does not fit is refused', () => {
  expect(() =>
    row('Concat').shapes(
      [
        [2, 3],
        [2, 4],
      ],
      { axis: 0 },
    ),
  ).toThrow('x_1 has the shape [2, 4]');
  expect(() =>
    row('Concat').shapes(
      [
        [2, 3],
        [2, 4],
      ],
      { axis: 2 },
    ),
  ).toThrow('the axis 2 does not exist in a tensor of 2 axes');
  expect(() => row('Concat').shapes([[2, 3], [2]], { axis: 0 })).toThrow('x_1 has the shape [2]');
  expect(() => row('Split').shapes([[2, 3]], { axis: 1, sizes: [1, 1] })).toThrow('together 2');
});
