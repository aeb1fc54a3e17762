/** @file How the images of a batch are dealt out to the processes of a run, in rows. */

/** A process among those of a run, and the fewest images that it can take of a batch, if it takes any. */
export interface Deal {
  readonly rank: number;
  readonly size: number;
  readonly least: number;
}

/** Rows of a batch that are a process's: so many from the first on. */
export interface DealtRows {
  readonly first: number;
  readonly count: number;
}

/**
 * The rows that a process takes of a batch: as many as the others, the first ones one more where they can't be equal. Where
 * there are too few rows for all to have `least`, only the first processes get any.
 */
export function dealtRows(rows: number, { rank, size, least }: Deal): DealtRows {
  const takers = Math.max(1, Math.min(size, Math.floor(rows / Math.max(1, least))));
  if (rank >= takers) return { first: 0, count: 0 };
  const [each, more] = [Math.floor(rows / takers), rows % takers];
  return { first: rank * each + Math.min(rank, more), count: each + (rank < more ? 1 : 0) };
}

/** What a process reads of a batch: its rows, or where it has none the first ones, which then count for nothing. */
export function rowsRead(rows: number, deal: Deal): DealtRows {
  const own = dealtRows(rows, deal);
  return own.count > 0 ? own : { first: 0, count: Math.min(rows, Math.max(1, deal.least)) };
}
