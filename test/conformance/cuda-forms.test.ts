/** @file The plain graph for CUDA in its forms, on the CPU: as it is, without what is only faster, and as the CPU has it. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { densenet, lossOfNetwork, traceNetwork } from '../../src/builders/index.js';
import { compileForward } from '../../src/compile.js';
import { type Bundle, writeBundle } from '../../src/runtime/bundle/bundle.js';
import { readState } from '../../src/runtime/model/state.js';
import { runSteps } from '../../src/runtime/model/step.js';
import { verify } from '../../src/runtime/verify/index.js';
import { type Target, targets } from '../../src/targets/index.js';

const network = densenet({ blockConfig: [6, 5], growthRate: 4, imageSize: 16 });
const policies = ['none', 'max'] as const;

const forms: Readonly<Record<string, Target>> = {
  cuda: targets.cuda,
  'cuda, unequal parts': { ...targets.cuda, unequalParts: 'free' },
  'cuda, normalizers apart': { ...targets.cuda, normalizers: 'apart' },
  cpu: targets.cpu,
};

let folder: string;
const bundles = new Map<string, Bundle>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'densec-forms-'));
  for (const [name, target] of Object.entries(forms)) {
    for (const remat of policies) {
      const options = { target: target.name, remat };
      const compiled = compileForward(traceNetwork(network), lossOfNetwork(network), options, target);
      bundles.set(`${name}, ${remat}`, await writeBundle(join(folder, `${name} ${remat}`), network, compiled));
    }
  }
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

function bundleOf(name: string): Bundle {
  const bundle = bundles.get(name);
  if (!bundle) throw new Error(`there is no bundle ${name}`);
  return bundle;
}

/** Losses of four steps on one batch. */
async function losses(name: string): Promise<readonly number[]> {
  const bundle = bundleOf(name);
  const images = Float32Array.from({ length: 4 * 3 * 16 * 16 }, (_, index) => Math.sin(index * 0.7));
  const batch = {
    images: { dtype: 'float32', shape: [4, 3, 16, 16], data: images },
    labels: { dtype: 'int64', shape: [4], data: BigInt64Array.of(0n, 3n, 7n, 9n) },
  } as const;
  const state = await readState(bundle.initial, bundle);
  return (await runSteps(bundle, { state, batch, learningRate: 0.01, steps: 4 })).losses;
}

describe.each(policies)('recomputing %s', (remat) => {
  it('all forms have the same losses', async () => {
    const expected = await losses(`cpu, ${remat}`);
    expect(new Set(expected).size).toBe(4);
    for (const form of Object.keys(forms)) {
      const found = await losses(`${form}, ${remat}`);
      for (const [step, loss] of found.entries())
        expect(loss / (expected[step] ?? 0)).toBeCloseTo(1, step === 0 ? 6 : 4);
    }
  });

  it('the runtime executes the plan of the form for CUDA at every level', async () => {
    const failed: string[] = [];
    for await (const { name, ok, detail } of verify(bundleOf(`cuda, ${remat}`)))
      if (!ok) failed.push(`${name}: ${detail}`);
    expect(failed).toEqual([]);
  });
});
