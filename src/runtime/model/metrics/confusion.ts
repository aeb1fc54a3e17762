/** @file Which classes were taken for which: errors by class and the confusion matrix, of any number of classes. */

/** How one class did. Its label counts from 0. */
export interface ClassError {
  readonly class: number;
  /** Images of the class, and how many were taken for another. */
  readonly count: number;
  readonly errors: number;
}

/** Images of one class that were taken for another. */
export interface ConfusedPair {
  readonly class: number;
  readonly takenFor: number;
  readonly count: number;
}

/** Counts images by their class and by the class that they were taken for. */
export class Confusion {
  /** By label · classes + predicted; most pairs of many classes never occur. */
  private readonly counts = new Map<number, number>();

  constructor(readonly classes: number) {}

  /** One more image. */
  add(label: number, predicted: number): void {
    const pair = label * this.classes + predicted;
    this.counts.set(pair, (this.counts.get(pair) ?? 0) + 1);
  }

  /** How many images of a class were taken for a class. */
  at(label: number, predicted: number): number {
    return this.counts.get(label * this.classes + predicted) ?? 0;
  }

  /** Every class, in order; those without images too. */
  byClass(): ClassError[] {
    const counts = new Float64Array(this.classes);
    for (const [pair, count] of this.counts) {
      const label = Math.floor(pair / this.classes);
      counts[label] = (counts[label] ?? 0) + count;
    }
    return Array.from(counts, (count, label) => ({ class: label, count, errors: count - this.at(label, label) }));
  }

  /** The pairs of classes that were confused, most frequent first, then in order. */
  pairs(): ConfusedPair[] {
    return [...this.counts]
      .map(([pair, count]) => ({ class: Math.floor(pair / this.classes), takenFor: pair % this.classes, count }))
      .filter(({ class: label, takenFor }) => label !== takenFor)
      .sort((a, b) => b.count - a.count || a.class - b.class || a.takenFor - b.takenFor);
  }

  /** A row for each class, a column for each that its images were taken for. */
  matrix(): number[][] {
    const labels = Array.from({ length: this.classes }, (_, label) => label);
    return labels.map((label) => labels.map((predicted) => this.at(label, predicted)));
  }
}

/** Classes by their share of errors, worst first; those without images are left out. */
export function worstFirst(classes: readonly ClassError[]): ClassError[] {
  const share = ({ errors, count }: ClassError): number => errors / count;
  return classes.filter(({ count }) => count > 0).sort((a, b) => share(b) - share(a) || a.class - b.class);
}
