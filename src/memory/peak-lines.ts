/** @file The live peak as a function of the batch size: the upper envelope of lines, one for each node. */

/** Live bytes as a function of the batch size. */
export interface PeakLine {
  readonly fixed: number;
  readonly perSample: number;
}

/** Two batch sizes at which no two tensors have the same size by accident. */
const probes = [1009, 2003] as const;

/**
 * Live bytes at the peak: the largest of `fixed + perSample · batch size`, by ascending slope.
 * @param timeline live bytes while each node runs, for a batch size
 */
export function peakLines(timeline: (batchSize: number) => ArrayLike<number>): readonly PeakLine[] {
  return upperEnvelope(linesThrough(timeline(probes[0]), timeline(probes[1])));
}

/** Live bytes at the peak for a batch size. */
export function peakAt(lines: readonly PeakLine[], batchSize: number): number {
  return Math.max(...lines.map((line) => bytesAt(line, batchSize)));
}

/** The lines of a sum of peaks: the largest of both is that of some line of each. */
export function addPeaks(lines: readonly PeakLine[], others: readonly PeakLine[]): readonly PeakLine[] {
  return lines.flatMap((line) =>
    others.map((other) => ({ fixed: line.fixed + other.fixed, perSample: line.perSample + other.perSample })),
  );
}

/** The largest batch size at which the peak is at most so many bytes; 0 where there is none, infinite where nothing grows. */
export function largestBatch(lines: readonly PeakLine[], bytes: number): number {
  const sizes = lines.map(({ fixed, perSample }) => {
    if (fixed + perSample > bytes) return 0;
    return perSample > 0 ? Math.floor((bytes - fixed) / perSample) : Number.POSITIVE_INFINITY;
  });
  return Math.min(...sizes);
}

/**
 * How the peaks of two schedules compare over all batch sizes from 1 on.
 * @returns the first batch size found at which `lines` are higher than `others`, and whether they are lower anywhere
 */
export function comparePeaks(
  lines: readonly PeakLine[],
  others: readonly PeakLine[],
): { readonly higherAt: number | undefined; readonly isLower: boolean } {
  // Both are convex: if one is anywhere above the other, then at an end or at a corner of one of them.
  const sizes = [1, ...corners(lines), ...corners(others), 1e9].map(Math.floor);
  const all = [...new Set(sizes.flatMap((size) => [size, size + 1]))].sort((a, b) => a - b);
  return {
    higherAt: all.find((size) => peakAt(lines, size) > peakAt(others, size)),
    isLower: all.some((size) => peakAt(lines, size) < peakAt(others, size)),
  };
}

/** Batch sizes at which an envelope goes over from one line to the next. */
function corners(lines: readonly PeakLine[]): readonly number[] {
  return lines.slice(1).flatMap((line, index) => {
    const before = lines[index] as PeakLine;
    const size = (before.fixed - line.fixed) / (line.perSample - before.perSample);
    return size > 1 ? [size] : [];
  });
}

function bytesAt({ fixed, perSample }: PeakLine, batchSize: number): number {
  return fixed + perSample * batchSize;
}

/** Live bytes grow linearly with the batch at every node, as shapes do. */
function linesThrough(one: ArrayLike<number>, other: ArrayLike<number>): readonly PeakLine[] {
  return Array.from(one, (bytes, position) => {
    const perSample = ((other[position] ?? 0) - bytes) / (probes[1] - probes[0]);
    return { fixed: bytes - perSample * probes[0], perSample };
  });
}

/** Of many lines, those that are the highest for some batch size from 1 on, by ascending slope. */
function upperEnvelope(lines: readonly PeakLine[]): readonly PeakLine[] {
  const envelope: PeakLine[] = [];
  let size = 1;
  let current = highest(lines, (line) => bytesAt(line, size));
  while (current) {
    const { fixed, perSample } = current;
    envelope.push(current);
    const steeper = lines.filter((line) => line.perSample > perSample);
    const crossing = (line: PeakLine): number => (fixed - line.fixed) / (line.perSample - perSample);
    const next = Math.min(...steeper.map(crossing));
    size = Math.max(size, next);
    current = highest(
      steeper.filter((line) => crossing(line) <= next),
      ({ perSample: slope }) => slope,
    );
  }
  return envelope;
}

function highest(lines: readonly PeakLine[], score: (line: PeakLine) => number): PeakLine | undefined {
  return lines.reduce<PeakLine | undefined>((best, line) => {
    if (!best || score(line) > score(best)) return line;
    return score(line) === score(best) && line.perSample > best.perSample ? line : best;
  }, undefined);
}
