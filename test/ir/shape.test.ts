/** @file Arithmetic of shapes with a symbolic batch size. */

import { describe, expect, it } from 'vitest';
import {
  broadcastShapes,
  concreteShape,
  flatDim,
  formatShape,
  formatType,
  normalizeAxes,
  RequestError,
  type Shape,
  sameShape,
  sameSize,
  sameType,
  sizeOf,
  staticDim,
  staticShape,
} from '../../src/ir/index.js';

describe('formatting', () => {
  it('shows extents and element types', () => {
    expect(formatShape(['N', 3, 32])).toBe('[N, 3, 32]');
    expect(formatShape([])).toBe('[]');
    expect(formatType({ dtype: 'float32', shape: ['4*N'] })).toBe('f32[4*N]');
    expect(formatType({ dtype: 'int64', shape: [] })).toBe('i64[]');
    expect(formatType({ dtype: 'uint32', shape: [2] })).toBe('u32[2]');
    expect(formatType({ dtype: 'bool', shape: [2] })).toBe('bool[2]');
  });
});

describe('comparison', () => {
  it.each([
    [['N', 3], ['N', 3], true],
    [[], [], true],
    [['N', 3], ['N', 4], false],
    [['N', 3], [2, 3], false],
    [['N', 3], ['N', 3, 1], false],
    [['N'], ['1*N'], false],
  ] as const)('%j and %j', (a, b, same) => {
    expect(sameShape(a, b)).toBe(same);
    expect(sameType({ dtype: 'float32', shape: a }, { dtype: 'float32', shape: b })).toBe(same);
    expect(sameType({ dtype: 'float32', shape: a }, { dtype: 'int64', shape: b })).toBe(false);
  });

  it.each([
    [['N', 3, 4], ['N', 12], true],
    [['4*N'], [4, 'N'], true],
    [['4*N', 2], ['8*N'], true],
    [[], [1, 1], true],
    [['N', 3], ['N', 4], false],
    [['N', 'N'], ['N'], false],
    [['N'], [8], false],
  ] as const)('%j holds as many elements as %j: %j', (a, b, same) => {
    expect(sameSize(a, b)).toBe(same);
    expect(sameSize(b, a)).toBe(same);
  });
});

describe('sizes', () => {
  it('count a factor and symbols', () => {
    expect(sizeOf(['N', 3, 4])).toEqual({ factor: 12, symbols: ['N'] });
    expect(sizeOf(['16*N', 2])).toEqual({ factor: 32, symbols: ['N'] });
    expect(sizeOf([])).toEqual({ factor: 1, symbols: [] });
  });

  it.each([
    [['N', 4, 2], '8*N'],
    [['N', 1], 'N'],
    [['2*N', 3], '6*N'],
    [[2, 3], 6],
    [[], 1],
  ] as const)('%j lies flat as %j', (shape, flat) => {
    expect(flatDim(shape)).toBe(flat);
  });

  it('refuse to flatten two symbols', () => {
    expect(() => flatDim(['N', 'N'])).toThrow(
      new RequestError("[N, N] can't be flattened: it has several symbolic sizes"),
    );
  });

  it('become numbers for a batch size', () => {
    expect(concreteShape(['N', 3, '4*N'], 5)).toEqual([5, 3, 20]);
  });

  it('that must be known are refused where they are symbolic', () => {
    expect(staticShape([2, 3], 'x')).toEqual([2, 3]);
    expect(staticDim(['N', 3], 1, 'x')).toBe(3);
    expect(() => staticShape(['N', 3], 'x')).toThrow(
      new RequestError('x has the shape [N, 3]; every size must be known when compiling'),
    );
    for (const axis of [0, 2]) {
      expect(() => staticDim(['N', 3], axis, 'x')).toThrow(
        new RequestError(`x has the shape [N, 3]; axis ${axis} must have a size known when compiling`),
      );
    }
  });
});

describe('broadcastShapes', () => {
  const good: readonly (readonly [Shape, Shape, Shape])[] = [
    [
      ['N', 3],
      ['N', 3],
      ['N', 3],
    ],
    [['N', 3], [3], ['N', 3]],
    [[], ['N', 3], ['N', 3]],
    [
      ['N', 1],
      [1, 4],
      ['N', 4],
    ],
    [
      [1, 1],
      ['N', 4],
      ['N', 4],
    ],
    [
      ['N', 1, 4],
      [2, 1],
      ['N', 2, 4],
    ],
  ];

  it.each(good)('%j and %j give %j', (a, b, together) => {
    expect(broadcastShapes(a, b, 'add')).toEqual(together);
    expect(broadcastShapes(b, a, 'add')).toEqual(together);
  });

  it.each([
    [['N', 3], ['N', 4], 'axis 1: 3 and 4'],
    [['N', 3], [2, 3], 'axis 0: N and 2'],
    [['N', 3], [4], 'axis 1: 3 and 4'],
    [['N'], ['2*N'], 'axis 0: N and 2*N'],
  ] as const)('%j and %j are refused', (a, b, where) => {
    const message = `add: the shapes ${formatShape(a)} and ${formatShape(b)} don't broadcast (${where}); reshape one of them`;
    expect(() => broadcastShapes(a, b, 'add')).toThrow(new RequestError(message));
  });
});

describe('normalizeAxes', () => {
  it('counts negative axes from the end and sorts', () => {
    expect(normalizeAxes([-1, 0], 3, 'sum')).toEqual([0, 2]);
    expect(normalizeAxes([], 3, 'sum')).toEqual([]);
  });

  it.each([[[3]], [[-4]], [[1, 1]], [[2, -1]]])('refuses %j for rank 3', (axes) => {
    expect(() => normalizeAxes(axes, 3, 'sum')).toThrow(
      new RequestError(`sum: the axes [${axes.join(', ')}] don't fit a value of rank 3`),
    );
  });
});
