/** @file --memory-budget through the command: what is built, planned, verified, trained, and refused. */

import { describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const small = ['--block-config', '2,2', '--growth-rate', '4', '--image-size', '8'];
const batch = ['--batch-size', '16'];

/** The live peak of a policy, in bytes. */
async function peakOf(policy: string): Promise<number> {
  const { json } = await densec(['build', ...small, ...batch, '--remat', policy, '-o', path(policy), '--json']);
  return json().predictedLivePeakBytes as number;
}

describe('within a memory budget', () => {
  it('a bundle takes no more than the budget, says what was proven, and is planned again to the same', async () => {
    const [none, max] = [await peakOf('none'), await peakOf('max')];
    const budgetBytes = Math.floor((none + max) / 2);
    const within = ['--memory-budget', String(budgetBytes), '--budget-seconds', '15'];
    const built = await densec(['build', ...small, ...batch, ...within, '-o', path('within')]);
    expect(built.stderr).toMatch(/looking for the fastest step of 16 images/);
    expect(built.stderr).toMatch(/found after .* compiled plans/);
    expect(built.code).toBe(0);
    expect(built.stdout).toMatch(/within +0\.\d MB at batch size 16/);

    const plan = (await densec(['plan', path('within'), ...batch, '--json'])).json();
    const { status, gap, ...solver } = plan.solver as { status: string; gap: number };
    expect(solver).toMatchObject({ budgetBytes, batchSize: 16, peakBytes: plan.predictedLivePeakBytes });
    expect(['optimal', 'feasible']).toContain(status);
    expect(gap).toBeLessThanOrEqual(0.1);
    expect(plan.predictedLivePeakBytes).toBeLessThanOrEqual(budgetBytes);
    expect(plan.predictedLivePeakBytes).toBeGreaterThan(max * 0.5);
  });

  it('the plan is what the runtime executes', async () => {
    const { code, stdout } = await densec(['verify', path('within'), '--batch-size', '3']);
    expect(stdout).toMatch(/live peak/);
    expect(code).toBe(0);
  });

  it('what can’t be done names the least and the largest batch', async () => {
    const impossible = ['--memory-budget', '0.1MB', '--budget-seconds', '120'];
    const { code, stderr } = await densec(['build', ...small, ...batch, ...impossible, '-o', path('impossible')]);
    expect(stderr).toMatch(
      /can't be done within 0\.10 MB: the least is \d\.\d+ MB \((proven|found).*largest batch that fits is \d+/s,
    );
    expect(code).toBe(2);
  });

  it('what is free bounds the whole process', async () => {
    const free = ['--memory-budget', 'free', '--budget-seconds', '120'];
    const { code, stderr } = await densec(['build', ...small, ...batch, ...free, '-o', path('free')]);
    expect(stderr).toMatch(/MB are free.* less a margin of 10 %.* may be alive at once/);
    expect(code).toBe(0);
  });

  it('what is free on a card isn’t known', async () => {
    const free = ['--memory-budget', 'free', '--target', 'cuda'];
    const { code, stderr } = await densec(['build', ...small, ...batch, ...free, '-o', path('card')]);
    expect(stderr).toMatch(/known for the target cpu.*give a size/);
    expect(code).toBe(2);
  });
});
