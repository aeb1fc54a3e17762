/** @file Metrics of regressions: the mean absolute error and the root of the mean squared one, in the targets' unit. */

import type { Meter, Metrics, OutputFigures } from './definition.js';

/** Sums errors in float64, value by value. */
export class ValueMeter implements Meter {
  private readonly absolute: Float64Array;
  private readonly squared: Float64Array;
  private count = 0;

  constructor(private readonly values: number) {
    this.absolute = new Float64Array(values);
    this.squared = new Float64Array(values);
  }

  add(outputs: Float32Array, targets: ArrayLike<number | bigint>): void {
    for (const [index, prediction] of outputs.entries()) {
      const difference = prediction - Number(targets[index]);
      const value = index % this.values;
      this.absolute[value] = (this.absolute[value] as number) + Math.abs(difference);
      this.squared[value] = (this.squared[value] as number) + difference ** 2;
    }
    this.count += outputs.length / this.values;
  }

  metrics(): Metrics {
    const sum = (sums: Float64Array): number => sums.reduce((a, b) => a + b, 0);
    const all = this.count * this.values;
    const summary = { mae: sum(this.absolute) / all, rmse: Math.sqrt(sum(this.squared) / all) };
    if (this.values === 1) return { summary };
    const outputs = Array.from(this.absolute, (absolute, value): OutputFigures => {
      return { mae: absolute / this.count, rmse: Math.sqrt((this.squared[value] as number) / this.count) };
    });
    return { summary, outputs };
  }
}
