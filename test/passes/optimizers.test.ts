/** @file What holds of every row of the table of optimizers, and what the compiler asks of a new one. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { defineOptimizer } from '../../src/passes/optimizers/definition.js';
import {
  defaultsOf,
  keptSlots,
  type OptimizerChoice,
  optimizerNames,
  optimizerSchema,
  optimizers,
  resolveOptimizer,
} from '../../src/passes/optimizers/index.js';
import { parseSlotName, slotName } from '../../src/step/interface.js';

describe.each(optimizerNames)('%s', (kind) => {
  const choice = { kind } as OptimizerChoice;

  it('has words for help and report, and defaults that it accepts itself', () => {
    const options = resolveOptimizer(choice);
    expect(optimizerSchema.parse(options)).toEqual({ kind, ...defaultsOf(kind) });
    expect(optimizers[kind].words.help).not.toBe('');
    expect(optimizers[kind].learningRate).toBeGreaterThan(0);
  });

  it('is read from bundles that do not say what could not be chosen then', () => {
    const { decayNormBias: _, accumulate: __, ...before } = resolveOptimizer(choice);
    expect(optimizerSchema.parse(before)).toEqual(resolveOptimizer(choice));
  });

  it.each([{}, { ema: 0.9, clipNorm: 1 }])(
    'keeps nothing of frozen parameters, all it keeps is updated, %j',
    (more) => {
      const optimizer = { ...choice, decayNormBias: false, accumulate: 2, ...more } as OptimizerChoice;
      const network = densenet({ blockConfig: [1, 1], growthRate: 4, imageSize: 8 });
      const { training, segments, optimizer: options } = compile(network, { optimizer, freeze: ['features.conv0'] });
      const trained = segments.filter(({ role, frozen }) => role === 'parameter' && !frozen).map(({ name }) => name);
      const running = segments.filter(({ role }) => role === 'running').map(({ name }) => name);
      const slots = training.inputs.flatMap(({ name }) => (parseSlotName(name) ? [name] : []));
      const expected = keptSlots(options).flatMap((role) =>
        [...trained, ...(role === 'ema' ? running : [])].map((name) => slotName(role, name)),
      );
      expect(slots.sort()).toEqual(expected.sort());
      const updated = new Set(training.outputs.flatMap((output) => (output.role === 'next' ? [output.of] : [])));
      for (const name of [...slots, ...trained]) expect(updated).toContain(name);
    },
  );
});

it('refuses to compile what an optimizer does not choose', () => {
  // @ts-expect-error adam has betas
  const wrong: OptimizerChoice = { kind: 'adam', momentum: 0.5 };
  expect(() => resolveOptimizer(wrong)).toThrow(/--momentum/);
});

it('a new optimizer does not compile without words for its report', () => {
  const { words: _, ...silent } = optimizers.sgd;
  // @ts-expect-error an optimizer tells people what it is and what it was told
  defineOptimizer(silent);
  // @ts-expect-error help alone is no report
  defineOptimizer({ ...optimizers.sgd, words: { help: 'stochastic gradient descent' } });
  expect(defineOptimizer(optimizers.sgd)).toBe(optimizers.sgd);
});
