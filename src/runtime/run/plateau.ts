/** @file The schedule that follows the validation loss: PyTorch's ReduceLROnPlateau. */

/** A loss counts as lower where it is below the lowest by this share of it: PyTorch's threshold. */
const threshold = 1e-4;

/** A rate that would fall by less stays: PyTorch's eps. */
const leastChange = 1e-8;

/** How the rate falls. */
export interface PlateauOptions {
  readonly learningRate: number;
  readonly lrFactor: number;
  readonly lrPatience: number;
  readonly lrMin: number;
}

/**
 * The rate after epochs with these validation losses. It is multiplied by the factor, down to the minimum, whenever more
 * epochs than the patience have passed one after the other without a lower loss. A function of the recorded losses, so
 * a resumed run needs no state of it.
 */
export function plateauRate(options: PlateauOptions, losses: readonly number[]): number {
  let rate = options.learningRate;
  let lowest = Number.POSITIVE_INFINITY;
  let waited = 0;
  for (const loss of losses) {
    const isLower = loss < lowest * (1 - threshold);
    if (isLower) lowest = loss;
    waited = isLower ? 0 : waited + 1;
    if (waited <= options.lrPatience) continue;
    waited = 0;
    const reduced = Math.max(rate * options.lrFactor, options.lrMin);
    if (rate - reduced > leastChange) rate = reduced;
  }
  return rate;
}
