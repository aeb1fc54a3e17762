/** @file Peaks as lines over the batch size: sums, and the largest batch that fits. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addPeaks, largestBatch, peakAt } from '../../src/memory/peak-lines.js';

const line = fc.record({ fixed: fc.nat(1e6), perSample: fc.nat(1e4) });
const peaks = fc.array(line, { minLength: 1, maxLength: 5 });

test('the largest batch fits and the next one does not', () => {
  fc.assert(
    fc.property(peaks, fc.nat(1e8), (lines, bytes) => {
      const largest = largestBatch(lines, bytes);
      if (largest === Number.POSITIVE_INFINITY) {
        expect(lines.every(({ perSample }) => perSample === 0)).toBe(true);
        return;
      }
      if (largest > 0) expect(peakAt(lines, largest)).toBeLessThanOrEqual(bytes);
      expect(peakAt(lines, largest + 1)).toBeGreaterThan(bytes);
    }),
  );
});

test('the peak of a sum is the sum of the peaks', () => {
  fc.assert(
    fc.property(peaks, peaks, fc.integer({ min: 1, max: 1e5 }), (some, others, batchSize) => {
      expect(peakAt(addPeaks(some, others), batchSize)).toBe(peakAt(some, batchSize) + peakAt(others, batchSize));
    }),
  );
});
