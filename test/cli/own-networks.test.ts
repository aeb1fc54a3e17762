/** @file All commands for bundles of one's own networks, of one's own policies, and of format 1. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { mlp } from '../../examples/mlp.js';
import { resnet } from '../../examples/resnet.js';
import { densenet, initialize, type Network } from '../../src/builders/index.js';
import { type Compiled, type CompileOptions, compile } from '../../src/compile.js';
import { int64Tensor, type Node } from '../../src/ir/index.js';
import { planMemory } from '../../src/memory/plan.js';
import { recomputeCheap } from '../../src/passes/solvers/index.js';
import { writeBundle } from '../../src/runtime/bundle/bundle.js';
import type { Manifest } from '../../src/runtime/bundle/manifest.js';
import { writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const batchSize = 6;

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const result = await densec([...args, '--json']);
  expect(result.code, result.stderr).toBe(0);
  return result.json();
}

const manifestOf = (bundle: string): Manifest =>
  JSON.parse(readFileSync(path(bundle, 'manifest.json'), 'utf8')) as Manifest;

/** Rewrites a bundle's manifest. */
function change(bundle: string, edit: (manifest: Record<string, unknown>) => void): void {
  const manifest = manifestOf(bundle) as Record<string, unknown>;
  edit(manifest);
  writeFileSync(path(bundle, 'manifest.json'), JSON.stringify(manifest));
}

/** A batch file for a bundle. */
async function batchFor(bundle: string): Promise<string> {
  const { inputShape, classes } = manifestOf(bundle);
  const file = path(`${bundle.replaceAll('/', '-')}-batch.safetensors`);
  const images = initialize({ kind: 'normal', deviation: 1 }, [batchSize, ...inputShape], 1, 'images');
  const labels = int64Tensor(
    [batchSize],
    Array.from({ length: batchSize }, (_, index) => index % classes),
  );
  await writeSafetensors(
    file,
    new Map<string, typeof images | typeof labels>([
      ['images', images],
      ['labels', labels],
    ]),
  );
  return file;
}

/** Exports a bundle and fails unless the model's probabilities are those of the evaluation. */
async function expectExport(bundle: string, weights: string): Promise<void> {
  const batch = await batchFor(bundle);
  const model = path(`${bundle.replaceAll('/', '-')}.onnx`);
  const { inputShape, classes } = manifestOf(bundle);
  const exported = await json('export', path(bundle), '--weights', weights, '-o', model);
  expect(exported).toMatchObject({
    inputs: { images: ['N', ...inputShape] },
    outputs: { logits: ['N', classes], probabilities: ['N', classes] },
  });
  const evaluated = await json('eval', path(bundle), '--weights', weights, '--batch', batch);
  const { predictions } = (await json('predict', model, '--batch', batch, '--top', String(classes))) as {
    predictions: { top: { class: number; probability: number }[] }[];
  };
  expect(predictions).toHaveLength(batchSize);
  const losses = predictions.map(({ top }, index) => {
    const label = index % classes;
    return -Math.log(top.find((candidate) => candidate.class === label)?.probability ?? 0);
  });
  expect(losses.reduce((sum, loss) => sum + loss, 0) / batchSize).toBeCloseTo(evaluated.loss as number, 5);
  const errors = predictions.filter(({ top }, index) => top[0]?.class !== index % classes).length;
  expect(errors / batchSize).toBeCloseTo(evaluated.error as number, 6);
}

/** Takes some steps and returns the file of the state after them: weights unlike the initial ones. */
async function trained(bundle: string): Promise<string> {
  const file = path(`${bundle}-trained.safetensors`);
  const flags = ['--state', path(bundle, 'initial.safetensors'), '--batch', await batchFor(bundle)];
  await json('step', path(bundle), ...flags, '--lr', '0.05', '--steps', '3', '--save', file);
  return file;
}

/** What every command tells of a bundle that this version compiles as its program did. */
async function expectAllCommands(bundle: string, compiled: Compiled, weights: string): Promise<void> {
  const plan = planMemory(compiled.schedules.training, batchSize);
  const recomputed = compiled.schedules.training.order.filter(({ node }) => node.origin.phase === 'recompute').length;
  expect(await json('info', path(bundle))).toMatchObject({ recomputed, remat: compiled.remat, formatVersion: 2 });

  const planned = await json('plan', path(bundle), '--batch-size', String(batchSize));
  expect(planned.predictedLivePeakBytes).toBe(plan.peakBytes);
  expect(planned.peakAt).toBe(plan.order[plan.peakAt]);
  expect(planned.tensors).toEqual(plan.tensors);
  expect(planned.timeline).toEqual(plan.timeline.map((bytes, at) => ({ node: plan.order[at], bytes })));

  const flags = ['--batch-size', String(batchSize), '--steps', '1', '--rounds', '1', '--threads', '1'];
  expect((await json('bench', path(bundle), ...flags)).predictedLivePeakBytes).toBe(plan.peakBytes);
  expect(await json('verify', path(bundle), '--threads', '1')).toMatchObject({ ok: true });
  await expectExport(bundle, weights);
}

const own: readonly [string, Network, CompileOptions][] = [
  ['resnet', resnet([4, 8], 12), { remat: 'max', optimizer: { kind: 'adamw', accumulate: 2 } }],
  ['mlp', mlp([24, 12], 6), { freeze: ['hidden1'], segmentBytes: 0 }],
];

describe.each(own)("a bundle of one's own network: %s", (name, network, options) => {
  const compiled = compile(network, options);
  beforeAll(async () => void (await writeBundle(path(name), network, compiled)));

  it('does in every command what a DenseNet’s does', async () => {
    await expectAllCommands(name, compiled, await trained(name));
  });

  it('keeps its forward graph', () => {
    expect(readdirSync(path(name)).sort()).toEqual([
      'eval_model.onnx',
      'forward.txt',
      'initial.safetensors',
      'manifest.json',
      'training_model.onnx',
    ]);
    const text = readFileSync(path(name, 'forward.txt'), 'utf8');
    expect(text).toMatch(new RegExp(`^graph ${network.name} \\{\\n  in  batch %images: f32\\[N, 1, `));
    expect(text.match(/frozen=true/g) ?? []).toHaveLength(options.freeze ? 2 : 0);
    expect(manifestOf(name).network).toBeUndefined();
  });
});

it('the run of the example own-network is planned and exported from its bundle', async () => {
  const program = fileURLToPath(new URL('../../dist/examples/own-network.js', import.meta.url));
  await promisify(execFile)(process.execPath, [program, path('stripes')]);
  const { recomputed, remat } = await json('info', path('stripes', 'bundle'));
  expect([remat, Number(recomputed) > 0]).toEqual(['efficient', true]);
  const plan = await json('plan', path('stripes', 'bundle'), '--batch-size', '16');
  expect((plan.timeline as { bytes: number }[]).map(({ bytes }) => bytes)).toContain(plan.predictedLivePeakBytes);
  await expectExport('stripes/bundle', path('stripes', 'best.safetensors'));
});

describe("a bundle of one's own policy", () => {
  const network = densenet({ blockConfig: [3, 3], growthRate: 4, imageSize: 8 });
  const compiled = compile(network, {
    remat: (node: Node) => recomputeCheap(node) && node.outputs[0]?.type.shape[2] === 8,
  });
  const plan = (...flags: readonly string[]): Promise<CliResult> =>
    densec(['plan', path('policy'), '--batch-size', String(batchSize), ...flags]);
  beforeAll(async () => void (await writeBundle(path('policy'), network, compiled, { config: network.config })));

  it('is planned again from what the policy chose, which the bundle keeps', async () => {
    const { peakBytes, tensors } = planMemory(compiled.schedules.training, batchSize);
    const result = await plan('--json');
    expect(result.code, result.stderr).toBe(0);
    expect(result.json()).toMatchObject({ batchSize, predictedLivePeakBytes: peakBytes, tensors });
    expect((result.json() as { estimatedStepMs: number }).estimatedStepMs).toBeGreaterThan(0);
    expect((await plan()).stdout).toMatch(/a step takes\s+about \d+ ms, estimated/);
    const flags = ['--batch-size', String(batchSize), '--steps', '1', '--rounds', '1'];
    expect((await json('bench', path('policy'), ...flags)).predictedLivePeakBytes).toBe(peakBytes);
  });

  it('tells the recorded peak alone where it does not say what was chosen', async () => {
    const { peakBytes } = planMemory(compiled.schedules.training, batchSize);
    cpSync(path('policy'), path('unsaid'), { recursive: true });
    change('unsaid', (manifest) => delete manifest.recomputed);
    const result = await densec(['plan', path('unsaid'), '--batch-size', String(batchSize), '--json']);
    const unknown = { peakAt: null, tensors: null, timeline: null };
    expect(result.json()).toEqual({ batchSize, predictedLivePeakBytes: peakBytes, ...unknown });
    expect(result.stderr).toMatch(/policy is one's own.*planMemory/);
  });

  it('is told of, verified and exported as any other', async () => {
    const { recomputed, remat } = await json('info', path('policy'));
    expect([remat, Number(recomputed) > 0]).toEqual(['custom', true]);
    expect(await json('verify', path('policy'))).toMatchObject({ ok: true });
    await expectExport('policy', await trained('policy'));
  });
});

describe('a bundle of format 1', () => {
  const flags = ['--block-config', '2,3', '--growth-rate', '4', '--image-size', '8', '--drop-rate', '0.1'];
  const other = ['--remat', 'max', '--freeze', 'features.conv0,features.denseblock1', '--no-decay-norm-bias'];
  const optimizer = ['--optimizer', 'adamw', '--betas', '0.8,0.99', '--eps', '1e-6', '--accumulate', '2'];

  /** Makes a bundle what version 1 wrote: nothing of the forward graph. */
  const makeOld = (bundle: string): void => {
    rmSync(path(bundle, 'forward.txt'));
    change(bundle, (manifest) => {
      manifest.formatVersion = 1;
      delete manifest.forward;
    });
  };

  beforeAll(async () => {
    const built = await densec(['build', ...flags, ...other, ...optimizer, '--seed', '7', '-o', path('new')]);
    expect(built.code, built.stderr).toBe(0);
    cpSync(path('new'), path('old'), { recursive: true });
    makeOld('old');
    const network = mlp([8], 4);
    await writeBundle(path('old-own'), network, compile(network));
    makeOld('old-own');
  });

  it('is planned and exported again where it holds a DenseNet', async () => {
    expect(await json('info', path('old'))).toMatchObject({ formatVersion: 1, recomputed: expect.any(Number) });
    const size = ['--batch-size', '4'];
    expect(await json('plan', path('old'), ...size)).toEqual(await json('plan', path('new'), ...size));
    await expectExport('old', path('new', 'initial.safetensors'));
  });

  it("does all that needs no forward graph where it holds a network of one's own", async () => {
    expect(await json('info', path('old-own'))).toMatchObject({ formatVersion: 1, recomputed: 0 });
    expect(await json('verify', path('old-own'))).toMatchObject({ ok: true });
    await trained('old-own');
  });

  it.each([
    ['plan', ['plan', 'OLD', '--batch-size', '4']],
    ['export', ['export', 'OLD', '--weights', 'OLD/initial.safetensors', '-o', 'MODEL']],
  ])('is refused by %s there, with what to do', async (_, args) => {
    const result = await densec(
      args.map((arg) => arg.replace('OLD', path('old-own')).replace('MODEL', path('m.onnx'))),
    );
    expect([result.code, result.stdout]).toEqual([1, '']);
    expect(result.stderr).toMatch(
      /of format 1, which keeps no network of one's own; run the program that wrote it again/,
    );
  });

  it('that this version compiles otherwise is refused with the command that builds it, which does', async () => {
    const sums = (bundle: string): string[] =>
      ['training_model.onnx', 'initial.safetensors'].map((file) =>
        createHash('sha256')
          .update(readFileSync(path(bundle, file)))
          .digest('hex'),
      );
    const before = sums('old');
    // As if an earlier version had made another model of the network.
    writeFileSync(path('old', 'training_model.onnx'), 'another model');
    const sha256 = createHash('sha256').update('another model').digest('hex');
    change('old', (manifest) => {
      (manifest.models as Manifest['models']).training.sha256 = sha256;
    });
    const result = await densec(['plan', path('old'), '--batch-size', '4']);
    expect(result.code).toBe(1);
    const command = /build it again with densec (build .*)$/m.exec(result.stderr)?.[1] ?? '';
    expect(command).toContain('--block-config 2,3 --growth-rate 4 --drop-rate 0.1 --image-size 8 --remat max ');
    const again = await densec(command.split(' '));
    expect(again.code, again.stderr).toBe(0);
    expect(sums('old')).toEqual(before);
    expect(manifestOf('old')).toEqual(manifestOf('new'));
  });
});

describe('a forward graph', () => {
  const copy = (name: string): string => {
    cpSync(path('mlp'), path(name), { recursive: true });
    return join(path(name), 'forward.txt');
  };

  it('that was changed is found on opening', async () => {
    const file = copy('changed');
    writeFileSync(file, readFileSync(file, 'utf8').replace('relu', 'neg'));
    const result = await densec(['info', path('changed')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/forward\.txt is damaged/)]);
  });

  it('that is gone is named', async () => {
    rmSync(copy('gone'));
    const result = await densec(['info', path('gone')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/forward\.txt.*no such file/)]);
  });

  it('of a version with other operators is refused by line', async () => {
    const file = copy('later');
    const text = readFileSync(file, 'utf8').replace('relu(', 'gelu(');
    writeFileSync(file, text);
    change('later', (manifest) => {
      manifest.forward = { file: 'forward.txt', sha256: createHash('sha256').update(text).digest('hex') };
    });
    const result = await densec(['plan', path('later'), '--batch-size', '4']);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/forward\.txt, line \d+: found the operator gelu, .* the nearest is relu/);
  });

  it('is asked for by format 2', async () => {
    copy('without');
    change('without', (manifest) => delete manifest.forward);
    const result = await densec(['info', path('without')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/forward: format 2 has the forward graph/)]);
  });
});
