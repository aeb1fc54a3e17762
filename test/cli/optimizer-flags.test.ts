/** @file The flags that say how weights are updated: what they build, and what they refuse. */

import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { fixturePath } from '../helpers/fixtures.js';

const path = temporaryFolder();
const network = ['--block-config', '2,1', '--growth-rate', '6', '--image-size', '12'];
const build = (name: string, ...flags: string[]): string[] => ['build', ...network, ...flags, '-o', path(name)];

describe('build', () => {
  it('keeps the optimizer in the manifest', async () => {
    const flags = ['--optimizer', 'adamw', '--betas', '0.8,0.99', '--no-decay-norm-bias', '--accumulate', '3'];
    const result = await densec(build('adamw', ...flags, '--json'));
    expect(result.code, result.stderr).toBe(0);
    const optimizer = { kind: 'adamw', betas: [0.8, 0.99], epsilon: 1e-8, weightDecay: 0.01 };
    expect(result.json().optimizer).toEqual({ ...optimizer, decayNormBias: false, accumulate: 3 });
    const told = await densec(['info', path('adamw')]);
    expect(told.stdout).toMatch(/adamw, betas 0\.8 and 0\.99, .*none on norms and biases.*every 3 batches/);
  });

  it.each([
    ['adam', ['--eps', '1e-6'], { betas: [0.9, 0.999], epsilon: 1e-6, weightDecay: 0 }, /adam, betas 0\.9 and 0\.999/],
    [
      'rmsprop',
      ['--centered', '--momentum', '0.5', '--weight-decay', '0.01'],
      { alpha: 0.99, epsilon: 1e-8, momentum: 0.5, centered: true, weightDecay: 0.01 },
      /rmsprop, alpha 0\.99 \(centered\), epsilon 1e-8, momentum 0\.5, weight decay 0\.01/,
    ],
  ])('builds %s with its defaults', async (kind, flags, options, words) => {
    const result = await densec(build(kind, '--optimizer', kind, ...flags, '--json'));
    expect(result.code, result.stderr).toBe(0);
    expect(result.json().optimizer).toEqual({ kind, ...options, decayNormBias: true, accumulate: 1 });
    expect((await densec(['info', path(kind)])).stdout).toMatch(words);
  });

  it('tells in its help whose an option is, and what it is unless told', async () => {
    const help = (await densec(['build', '--help'])).stdout.replaceAll(/\s+/g, ' ');
    expect(help).toContain('(default: sgd 0.9; rmsprop 0)');
    expect(help).toContain('(default: adamw, adam and rmsprop 1e-8)');
    expect(help).toContain('rmsprop, gradients over');
  });

  it.each<[string, string[], RegExp]>([
    [
      'a momentum for adamw',
      ['--optimizer', 'adamw', '--momentum', '0.9'],
      /adamw takes no --momentum.*--optimizer sgd or rmsprop/,
    ],
    ['betas for sgd', ['--betas', '0.9,0.99'], /sgd takes no --betas.*--optimizer adamw or adam/],
    ['centering for adam', ['--optimizer', 'adam', '--centered'], /adam takes no --centered.*--optimizer rmsprop/],
    ['an alpha of 1', ['--optimizer', 'rmsprop', '--alpha', '1'], /alpha is 1; .*below 1/],
    ['what no optimizer has', ['--optimizer', 'adam', '--amsgrad'], /unknown option '--amsgrad'/],
    ['one beta', ['--optimizer', 'adamw', '--betas', '0.9'], /two numbers/],
    ['a beta of 1', ['--optimizer', 'adamw', '--betas', '0.9,1'], /beta is 1/],
    ['no batch an update', ['--accumulate', '0'], /at least 1/],
    ['an optimizer that is none', ['--optimizer', 'lion'], /sgd, adamw, adam, rmsprop/],
  ])('refuses %s', async (_, flags, message) => {
    const result = await densec(build('refused', ...flags));
    expect([result.code, result.stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});

describe('step', () => {
  const run = (bundle: string, steps: number, save: string): ReturnType<typeof densec> =>
    densec([
      ...['step', path(bundle), '--state', fixturePath('adamw', 'state.safetensors'), '--lr', '0.003'],
      ...[
        '--batch',
        fixturePath('adamw', 'batch.safetensors'),
        '--steps',
        String(steps),
        '--save',
        path(save),
        '--json',
      ],
    ]);

  it.each([
    ['adamw', [], 'variance'],
    ['rmsprop', ['--centered', '--momentum', '0.9'], 'gradient_mean'],
  ])('goes on from a saved state of %s to the same bits', async (kind, flags, kept) => {
    await densec(build('plain', '--optimizer', kind, '--weight-decay', '0.1', ...flags, '--force'));
    const three = await run('plain', 3, 'three');
    expect(three.code, three.stderr).toBe(0);
    await run('plain', 1, 'one');
    const rest = await densec([
      ...['step', path('plain'), '--state', path('one'), '--lr', '0.003', '--steps', '2'],
      ...['--batch', fixturePath('adamw', 'batch.safetensors'), '--save', path('one and two')],
    ]);
    expect(rest.code, rest.stderr).toBe(0);
    const [a, b] = await Promise.all([path('three'), path('one and two')].map((file) => readSafetensors(file)));
    expect(b?.tensors).toEqual(a?.tensors);
    expect([...(a?.tensors.keys() ?? [])]).toContain(`${kept}.classifier.weight`);
  });

  it('updates every so many steps where gradients accumulate, and after the last', async () => {
    await densec(build('accumulating', '--accumulate', '2'));
    const three = await run('accumulating', 3, 'three');
    expect(three.code, three.stderr).toBe(0);
    const losses = three.json().losses as number[];
    // The second batch of an update sees the same weights as the first.
    expect(losses[1]).toBe(losses[0]);
    expect(losses[2]).not.toBe(losses[0]);
    const [two, all] = await Promise.all([run('accumulating', 2, 'two'), readSafetensors(path('three'))]);
    expect(two.code, two.stderr).toBe(0);
    const { tensors } = await readSafetensors(path('two'));
    const name = 'classifier.weight';
    expect(all.tensors.get(name)?.data).not.toEqual(tensors.get(name)?.data);
  });
});
