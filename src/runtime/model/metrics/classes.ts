/** @file The top-5 error: how often the class is not among the five likeliest. */

import type { Meter, Metrics } from './definition.js';

/** Classes that count as likeliest. */
const likeliest = 5;

/** Measures what more than five classes allow to be measured. */
export class ClassMeter implements Meter {
  private missed = 0;
  private count = 0;

  constructor(private readonly classes: number) {}

  add(outputs: Float32Array, labels: ArrayLike<number | bigint>): void {
    for (let image = 0; image < labels.length; image++) {
      const row = outputs.subarray(image * this.classes, (image + 1) * this.classes);
      this.count++;
      if (rankOf(Number(labels[image]), row) >= likeliest) this.missed++;
    }
  }

  metrics(): Metrics {
    return { summary: this.classes > likeliest ? { top5Error: this.missed / this.count } : {} };
  }
}

/** How many classes come before one: the larger logits, and of equal ones the lower classes. NaN comes first. */
function rankOf(label: number, row: Float32Array): number {
  const own = row[label] ?? Number.NaN;
  let before = 0;
  for (const [index, logit] of row.entries()) {
    if (index !== label && !(logit < own || (logit === own && index > label))) before++;
  }
  return before;
}
