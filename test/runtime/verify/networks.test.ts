/** @file Plans of random networks survive every level of the runtime's optimizer; DENSEC_LONG=1 tries hundreds. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/compile.js';
import { writeBundle } from '../../../src/runtime/bundle/bundle.js';
import { type Check, verify } from '../../../src/runtime/verify/index.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { type NetworkSpec, networkOf, networkSpecs } from '../../helpers/networks.js';

const options = {
  seed: Number(process.env.DENSEC_SEED ?? 20_240_817),
  numRuns: process.env.DENSEC_LONG ? 300 : 3,
};
/** Weights of a single filter: the runtime would rather split what is stacked of them before it transposes it. */
const narrow: NetworkSpec = {
  image: [1, 1, 1],
  layers: Array.from({ length: 3 }, () => ({ kind: 'dense', layers: 2, growth: 1, residual: false })),
  head: 'pool',
  classes: 2,
  batchSize: 2,
};

const timeout = process.env.DENSEC_LONG ? 3_600_000 : 240_000;
const folder = temporaryFolder();

/**
 * At the level all the runtime gives some tensors a blocked layout and pads their channels, which more than doubles the
 * few bytes of these networks.
 */
const mayExceed = /^live peak, all$/;

describe('the plan of a random network', () => {
  it(
    'holds at every level, whatever is recomputed',
    () =>
      fc.assert(
        fc.asyncProperty(networkSpecs, async (spec) => {
          const network = networkOf(spec);
          for (const remat of ['none', 'efficient', 'max'] as const) {
            const bundle = await writeBundle(folder('bundle'), network, compile(network, { remat }), { force: true });
            const failed: Check[] = [];
            for await (const check of verify(bundle, { batchSize: spec.batchSize, threads: 1 })) {
              if (!check.ok && !mayExceed.test(check.name)) failed.push(check);
            }
            expect(failed, remat).toEqual([]);
          }
        }),
        { ...options, examples: [[narrow]] },
      ),
    timeout,
  );
});
