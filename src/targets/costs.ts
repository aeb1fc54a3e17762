/** @file Tables of costs from outside: what a program gives, or a file has as JSON. */

import { z } from 'zod';
import { RequestError } from '../ir/index.js';
import type { Costs, KernelKind } from './target.js';

/** The name of the tables that densec comes with. */
export const defaultCosts = 'default';

const speed = z.custom<number>((value) => typeof value === 'number' && value > 0, {
  error: 'it must be a number above 0, of bytes or operations a second',
});
const rate = z.object({ bytesPerSecond: speed, flopsPerSecond: speed.optional() });
const kinds = {
  // What only gives memory another shape moves nothing; JSON has no number for that.
  view: rate.default({ bytesPerSecond: Number.POSITIVE_INFINITY }),
  elementwise: rate,
  reduction: rate,
  movement: rate,
  pooling: rate,
  pointwise: rate,
  convolution: rate,
  grouped: rate,
  product: rate,
  // Only a card with the vendor's library has it.
  gradient: rate.default({ bytesPerSecond: Number.POSITIVE_INFINITY }),
} satisfies Record<KernelKind, z.ZodType>;

/** A table without its name; in JSON views are left out. */
export const costsSchema = z.object({
  nodeUs: z.custom<number>((value) => Number.isFinite(value) && (value as number) >= 0, {
    error: 'it must be a number of microseconds, 0 or more',
  }),
  rates: z.object(kinds),
});

/** A table of costs that a program gave. @throws RequestError naming the figure that is none */
export function checkCosts(given: unknown): Costs {
  const parsed = z.object({ name: z.string().min(1), ...costsSchema.shape }).safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RequestError(
    `compile: costs${issue?.path.length ? `: ${issue.path.join('.')}` : ''}: ${issue?.message}; give a table of costs, as readCalibration and calibrate return one`,
  );
}
