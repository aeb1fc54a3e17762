/** @file Tables that the type check keeps complete. */

import { expect, it } from 'vitest';
import { operators } from '../../src/ir/index.js';
import { type LoweringRules, loweringRules } from '../../src/passes/lowering/index.js';

it('a composite operator without a lowering does not compile', () => {
  const { center: _, ...others } = loweringRules;
  // @ts-expect-error The rule of `center` is missing.
  const incomplete: LoweringRules = others;
  expect(Object.keys(incomplete)).not.toContain('center');
});

it('every composite operator is one that lowering knows, but for those that a mode replaces', () => {
  const composite = Object.entries(operators).flatMap(([name, { composite }]) => (composite ? [name] : []));
  expect(composite.sort()).toEqual([...Object.keys(loweringRules), 'batchNorm', 'dropout'].sort());
});
