/** @file densec build and info: the contract's fields, files and codes. */

import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeModel } from '../../src/onnx/index.js';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';

const path = temporaryFolder();
const small = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];

describe('build', () => {
  it('writes a bundle and prints its facts', async () => {
    const result = await densec(['build', ...small, '--seed', '3', '-o', path('a'), '--json']);
    expect(result.code).toBe(0);
    expect(result.json()).toMatchObject({
      remat: 'none',
      target: 'cpu',
      formatVersion: 2,
      recomputed: 0,
      classes: 10,
      layers: 7,
    });
    expect(readdirSync(path('a')).sort()).toEqual([
      'eval_model.onnx',
      'forward.txt',
      'initial.safetensors',
      'manifest.json',
      'training_model.onnx',
    ]);
    const { tensors } = await readSafetensors(path('a', 'initial.safetensors'));
    expect([...tensors.keys()]).toContain('features.denseblock1.denselayer1.norm1.running_mean');
    expect(tensors.get('features.conv0.weight')?.shape).toEqual([8, 3, 3, 3]);
  });

  it('writes valid structure: opset 17, a symbolic batch, unique names, every input defined before its use', () => {
    for (const file of ['training_model.onnx', 'eval_model.onnx']) {
      const { graph, opsetImport } = decodeModel(readFileSync(path('a', file)), file);
      expect(opsetImport?.find(({ domain }) => domain === '')?.version?.toString()).toBe('17');
      const images = graph?.input?.find(({ name }) => name === 'images');
      expect(images?.type?.tensorType?.shape?.dim?.[0]?.dimParam).toBe('N');
      const defined = new Set([...(graph?.input ?? []), ...(graph?.initializer ?? [])].map(({ name }) => name));
      for (const node of graph?.node ?? []) {
        // An operand that is left out has an empty name.
        for (const input of (node.input ?? []).filter(Boolean))
          expect(defined, `${node.name} reads ${input}`).toContain(input);
        for (const output of node.output ?? []) {
          expect(defined, `${output} is defined twice`).not.toContain(output);
          defined.add(output);
        }
      }
      for (const { name } of graph?.output ?? []) expect(defined).toContain(name);
    }
  });

  it('gives the same bytes for the same seed, and other weights for another', async () => {
    await densec(['build', ...small, '--seed', '3', '-o', path('same')]);
    await densec(['build', ...small, '--seed', '4', '-o', path('other')]);
    const bytes = (directory: string, file: string): Buffer => readFileSync(path(directory, file));
    for (const file of readdirSync(path('a'))) expect(bytes('same', file).equals(bytes('a', file)), file).toBe(true);
    expect(bytes('other', 'training_model.onnx').equals(bytes('a', 'training_model.onnx'))).toBe(true);
    expect(bytes('other', 'initial.safetensors').equals(bytes('a', 'initial.safetensors'))).toBe(false);
  });

  it.each([
    [['--depth', '100'], 769162],
    [['--depth', '190', '--growth-rate', '40'], 25624430],
    [['--arch', 'densenet121'], 7978856],
    [['--arch', 'densenet169'], 14149480],
    [['--arch', 'densenet201'], 20013928],
    [['--arch', 'densenet161'], 28681000],
    [['--arch', 'densenet264'], 33337704],
  ])('counts the parameters of %j', async (flags, parameters) => {
    const result = await densec(['build', ...flags, '-o', path(`counted-${parameters}`), '--json']);
    expect(result.stderr).toContain('wrote');
    expect(result.json()).toMatchObject({ parameters });
  });

  it('tells the live peak for a batch size, as plan does', async () => {
    const flags = [...small, '--remat', 'max', '--batch-size', '5'];
    const built = (await densec(['build', ...flags, '-o', path('peak'), '--json'])).json();
    const planned = (await densec(['plan', path('peak'), '--batch-size', '5', '--json'])).json();
    expect(built).toMatchObject({ batchSize: 5, predictedLivePeakBytes: planned.predictedLivePeakBytes });
    expect(built.recomputed).toBeGreaterThan(0);
    const told = await densec(['build', ...flags, '-o', path('peak'), '--force']);
    expect(told.stdout).toMatch(/live peak at batch size 5\s+[\d.]+ MB/);
    expect(told.stdout).toMatch(/recomputed\s+max \(\d+ nodes\)/);
  });

  it('lets flags override an architecture', async () => {
    const flags = ['--arch', 'densenet121', '--classes', '7', '--image-size', '64', '--block-config', '1,2'];
    const result = await densec(['build', ...flags, '-o', path('x'), '--json']);
    expect(result.json()).toMatchObject({
      classes: 7,
      inputShape: [3, 64, 64],
      network: { blockConfig: [1, 2], growthRate: 32, initFeatures: 64, smallInputs: false },
    });
  });

  it.each<[string, string[], number, RegExp]>([
    ['an impossible depth', ['--depth', '99', '-o', 'OUT'], 2, /94 and 100/],
    ['a tiny depth', ['--depth', '3', '-o', 'OUT'], 2, /least is 10/],
    ['a compression above 1', ['--compression', '1.5', '-o', 'OUT'], 2, /compression is 1.5.*at most 1/],
    ['a compression that leaves nothing', ['--compression', '0.001', '-o', 'OUT'], 2, /give at least 0\.\d+/],
    ['an unknown architecture', ['--arch', 'resnet', '-o', 'OUT'], 2, /densenet121/],
    ['two ways to say the blocks', ['--depth', '10', '--block-config', '1,1', '-o', 'OUT'], 2, /one of them/],
    ['a depth for an architecture', ['--arch', 'densenet121', '--depth', '40', '-o', 'OUT'], 2, /one of them/],
    ['layers without end', ['--block-config', '100000', '-o', 'OUT'], 2, /100000 layers; at most 1000/],
    ['classes without end', ['--classes', '9007199254740991', '-o', 'OUT'], 2, /classes; at most 1000000/],
    ['weights no machine holds', ['--growth-rate', '100000000', '-o', 'OUT'], 2, /parameters; at most 1000000000/],
    ['images no machine holds', ['--image-size', '9007199254740991', '-o', 'OUT'], 2, /at most 65536/],
    ['a drop rate of 1', ['--drop-rate', '1', '-o', 'OUT'], 2, /below 1/],
    ['images too small to halve', ['--image-size', '3', '-o', 'OUT'], 2, /at least 4/],
    ['a misspelt flag', ['--detph', '10', '-o', 'OUT'], 2, /--depth/],
    ['text for a number', ['--depth', 'ten', '-o', 'OUT'], 2, /whole number/],
    ['zero classes', ['--classes', '0', '-o', 'OUT'], 2, /at least 1/],
    ['no output', ['--depth', '10'], 2, /--output/],
    ['Nesterov without momentum', ['--momentum', '0', '--nesterov', '-o', 'OUT'], 2, /momentum above 0/],
    ['two recomputations at once', ['--efficient', '--remat', 'max', '-o', 'OUT'], 2, /drop one/],
    ['an unknown recomputation', ['--remat', 'some', '-o', 'OUT'], 2, /none, efficient, max/],
    ['a memory budget without a batch size', ['--memory-budget', '300MB', '-o', 'OUT'], 2, /give --batch-size N/],
    [
      'a memory budget beside a policy',
      ['--memory-budget', '300MB', '--batch-size', '8', '--remat', 'max', '-o', 'OUT'],
      2,
      /--memory-budget and --remat max both say/,
    ],
    ['a memory budget of no size', ['--memory-budget', '3 lots', '-o', 'OUT'], 2, /400MB, 0\.4GB or 400MiB/],
    ['time for a budget without one', ['--budget-seconds', '5', '-o', 'OUT'], 2, /is for --memory-budget SIZE/],
  ])('refuses %s', async (_, flags, code, message) => {
    const out = path('refused');
    const result = await densec(['build', ...flags.map((flag) => (flag === 'OUT' ? out : flag))]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/\n {4}at /);
    expect(result.stdout).toBe('');
    expect(readdirSync(path())).not.toContain('refused');
  });

  it('keeps what is in the output folder unless forced, and other files even then', async () => {
    mkdirSync(path('full'));
    writeFileSync(path('full', 'thesis.tex'), 'years of work');
    const refused = await densec(['build', ...small, '-o', path('full')]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/--force/);
    expect(readdirSync(path('full'))).toEqual(['thesis.tex']);
    expect((await densec(['build', ...small, '-o', path('full'), '--force'])).code).toBe(0);
    expect(readFileSync(path('full', 'thesis.tex'), 'utf8')).toBe('years of work');
    expect((await densec(['info', path('full')])).code).toBe(0);
  });

  it('leaves nothing behind where it can not write', async () => {
    writeFileSync(path('file'), '');
    const result = await densec(['build', ...small, '-o', path('file', 'inside')]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(path('file', 'inside'));
  });
});

describe('info', () => {
  it('tells people what a bundle is', async () => {
    const result = await densec(['info', path('a')]);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/parameters\s+[\d,]+/);
  });

  it('refuses what is no bundle', async () => {
    const result = await densec(['info', path('nowhere')]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/not a bundle.*densec build/);
  });

  it.each<[string, (directory: string) => void, RegExp]>([
    [
      'a truncated model',
      (directory) => truncateSync(`${directory}/training_model.onnx`, 1000),
      /training_model.onnx is damaged/,
    ],
    [
      'a changed model',
      (directory) => writeFileSync(`${directory}/eval_model.onnx`, 'x'),
      /eval_model.onnx is damaged/,
    ],
    [
      'a broken manifest',
      (directory) => writeFileSync(`${directory}/manifest.json`, '{"formatVersion": 1'),
      /not JSON/,
    ],
    ['an empty manifest', (directory) => writeFileSync(`${directory}/manifest.json`, '{}'), /not the manifest/],
    [
      'a manifest that announces terabytes',
      (directory) => {
        const file = `${directory}/manifest.json`;
        const manifest = JSON.parse(readFileSync(file, 'utf8')) as { state: { length: number }[] };
        for (const segment of manifest.state) segment.length = 2 ** 50;
        writeFileSync(file, JSON.stringify(manifest));
      },
      /state.0: its tensors do not fill its length/,
    ],
    [
      'another format version',
      (directory) => writeFileSync(`${directory}/manifest.json`, '{"formatVersion": 99}'),
      /version 99/,
    ],
  ])('refuses a bundle with %s', async (_, damage, message) => {
    const directory = path('damaged');
    expect((await densec(['build', ...small, '-o', directory, '--force'])).code).toBe(0);
    damage(directory);
    const result = await densec(['info', directory, '--json']);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
    expect(result.stdout).toBe('');
  });
});

describe('the program', () => {
  it('tells its commands and ends well when asked for help or its version', async () => {
    const help = await densec(['--help']);
    expect(help.code).toBe(0);
    for (const command of ['build', 'info', 'step', 'eval', 'train']) expect(help.stdout).toContain(command);
    expect((await densec(['train', '--help'])).code).toBe(0);
    expect((await densec(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('refuses unknown commands', async () => {
    const result = await densec(['bulid']);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/build/);
  });
});
