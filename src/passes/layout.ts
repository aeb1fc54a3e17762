/** @file How a step is laid out before it is chosen what to compute again: budgets try others than the usual. */

/** What one may vary of a step without changing what it computes. */
export interface Layout {
  /** Into how many parts the largest concatenation is cut (`groupFeatures`). More take less memory and more nodes. */
  readonly parts: number;
  /** Share of the room beside a recomputed convolution that its operands may take (`madeTwice`); from 0 to 1. */
  readonly holdShare: number;
}

/** With more than 7/8 held, the peak of BC-100 rises. */
export const usualLayout: Layout = { parts: 4, holdShare: 7 / 8 };
