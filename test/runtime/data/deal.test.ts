/** @file How the rows of a batch are dealt out to processes. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dealtRows, rowsRead } from '../../../src/runtime/data/deal.js';

/** What each process takes, as `first+count`. */
function deal(rows: number, size: number, least: number): string {
  const shares = Array.from({ length: size }, (_, rank) => dealtRows(rows, { rank, size, least }));
  return shares.map(({ first, count }) => `${first}+${count}`).join(' ');
}

describe('rows of a batch', () => {
  it.each([
    [8, 2, 1, '0+4 4+4'],
    [8, 3, 1, '0+3 3+3 6+2'],
    [2, 4, 1, '0+1 1+1 0+0 0+0'],
    // Batch norm needs two images of whoever takes any.
    [5, 3, 2, '0+3 3+2 0+0'],
    [3, 2, 2, '0+3 0+0'],
    [1, 2, 2, '0+1 0+0'],
  ])('%d to %d processes, at least %d each: %s', (rows, size, least, expected) => {
    expect(deal(rows, size, least)).toBe(expected);
  });

  it('go out once each, evenly, in order', () => {
    const counts = fc.record({ rows: fc.integer({ min: 1, max: 99 }), size: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 4 }), ({ rows, size }, least) => {
        const shares = Array.from({ length: size }, (_, rank) => dealtRows(rows, { rank, size, least }));
        const taken = shares.flatMap(({ first, count }) => Array.from({ length: count }, (_, row) => first + row));
        expect(taken).toEqual(Array.from({ length: rows }, (_, row) => row));
        const some = shares.map(({ count }) => count).filter((count) => count > 0);
        expect(Math.max(...some) - Math.min(...some)).toBeLessThanOrEqual(1);
        if (some.length > 1) expect(Math.min(...some)).toBeGreaterThanOrEqual(least);
      }),
    );
  });

  it('are read for nothing by a process that has none', () => {
    expect(rowsRead(2, { rank: 3, size: 4, least: 1 })).toEqual({ first: 0, count: 1 });
    expect(rowsRead(5, { rank: 2, size: 3, least: 2 })).toEqual({ first: 0, count: 2 });
    expect(rowsRead(8, { rank: 1, size: 2, least: 2 })).toEqual({ first: 4, count: 4 });
  });
});
