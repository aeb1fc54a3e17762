/**
 * @file Fails when a new version of the runtime brings an optimizer that undoes plans, and says which: on a small graph,
 * what changes it at each level, whether the plan still holds, and whose fault it is where not.
 */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../../src/builders/index.js';
import { compile } from '../../../src/compile.js';
import { type Bundle, writeBundle } from '../../../src/runtime/bundle/bundle.js';
import { brokenBundle, removeTokens } from '../../helpers/broken.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { changingOptimizers, culprits, failuresOf } from '../../helpers/optimizers.js';

const path = temporaryFolder();
const network = densenet({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });
const bundles = Promise.all(
  (['efficient', 'max'] as const).map((remat) => writeBundle(path(remat), network, compile(network, { remat }))),
);

const failures = bundles.then((all) => Promise.all(all.map((bundle) => failuresOf(bundle))));

/** Optimizers that change our graphs and leave the plan as it is. */
const harmless = [
  // The mean of the last pooling becomes a factor of the product before it.
  'MatMulScaleFusion',
  // Blocked layouts for average pools, and for convolutions with constant weights.
  'NchwcTransformer',
];

describe.each(['disabled', 'basic', 'extended', 'all'] as const)('at the level %s', (level) => {
  it('only optimizers that are known to leave the plan alone change the graph', async () => {
    for (const bundle of await bundles) {
      const changing = await changingOptimizers(bundle, level);
      expect(changing.filter((name) => !harmless.includes(name))).toEqual([]);
    }
  });

  it('no optimizer undoes the plan', async () => {
    for (const [index, bundle] of (await bundles).entries()) {
      const failed = ((await failures)[index] ?? []).filter((name) => name.includes(`, ${level}: `));
      const fault = failed.length > 0 ? `undone by ${(await culprits(bundle, level)).join(' or ')}` : '';
      expect({ failed, fault }).toEqual({ failed: [], fault: '' });
    }
  });
});

describe('an optimizer that undoes a plan', () => {
  it('is named', async () => {
    const [sound] = (await bundles) as [Bundle];
    const broken = await brokenBundle(sound, path('broken'), 'remade', (surgery) => {
      removeTokens(surgery);
      surgery.prune();
    });
    expect(await culprits(broken, 'basic')).toEqual(['CommonSubexpressionElimination']);
  });
});
