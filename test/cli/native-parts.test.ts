/** @file Packages with native parts that are missing: what doesn't need them works, the rest says what helps. */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { explainRuntime } from '../../src/runtime/session/runtime-package.js';
import { temporaryFolder } from '../helpers/cli.js';
import { writeImageFolder } from '../helpers/images.js';

const path = temporaryFolder();
const root = fileURLToPath(new URL('../..', import.meta.url));
const shape = ['--block-config', '1', '--growth-rate', '4', '--image-size', '32', '--channels', '1', '--classes', '10'];
const short = ['--limit', '40', '--epochs', '1', '--valid-size', '8', '--batch-size', '8', '--threads', '1'];

/** An installation of its own, one of whose packages fails as it does without its native part. */
function installation(broken: 'onnxruntime-node' | 'koffi' | 'sharp'): string {
  const folder = path(broken);
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  for (const part of ['dist', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== broken) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  const own = join(folder, 'node_modules', broken);
  cpSync(join(root, 'node_modules', broken), own, {
    recursive: true,
    dereference: true,
    filter: (file) => !/[/\\]bin$/.test(file),
  });
  if (broken !== 'onnxruntime-node') {
    writeFileSync(join(own, 'package.json'), JSON.stringify({ name: broken, main: 'index.js' }));
    writeFileSync(join(own, 'index.js'), `throw new Error('no native ${broken} here\\nRequire stack:');`);
  }
  return folder;
}

function run(folder: string, args: readonly string[], env: Record<string, string> = {}) {
  const options = { cwd: folder, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', ...env } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { code: status, stdout, stderr };
}

const cli = (folder: string, args: readonly string[], env?: Record<string, string>) =>
  run(folder, [join(folder, 'dist/cli/main.js'), ...args], env);

/** What runs no model. */
function expectCompiles(folder: string): void {
  const weights = ['--weights', 'net/initial.safetensors'];
  for (const args of [
    ['--help'],
    ['train', '--help'],
    ['build', ...shape, '-o', 'net'],
    ['info', 'net'],
    ['plan', 'net', '--batch-size', '4'],
    ['export', 'net', ...weights, '-o', 'net.onnx'],
  ]) {
    const { code, stderr } = cli(folder, args);
    expect([args[0], code, stderr]).toEqual([args[0], 0, expect.any(String)]);
  }
  const program = `import { compile, densenet, version } from '${join(folder, 'dist/src/index.js')}';
    console.log(version, compile(densenet({ depth: 10 })).training.nodes.length > 0)`;
  const imported = run(folder, ['--input-type=module', '-e', program]);
  expect([imported.code, imported.stdout]).toEqual([0, expect.stringMatching(/^[\d.]+ true\n$/)]);
}

describe('without the runtime’s library', () => {
  const folder = installation('onnxruntime-node');

  it('all that runs no model works', () => expectCompiles(folder));

  it('the rest says in a sentence what is missing, and a run’s folder is not made', () => {
    const train = cli(folder, ['train', ...shape, ...short, '--data', 'mnist', '--save', 'run']);
    const predict = cli(folder, ['predict', 'net.onnx', '--batch', 'net/initial.safetensors']);
    for (const { code, stdout, stderr } of [train, predict]) {
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^error: the runtime's library is missing in .*install the packages again .*npm ci/m);
      expect(stderr).not.toMatch(/\n {4}at |Require stack/);
    }
    expect(existsSync(join(folder, 'run'))).toBe(false);
    const devices = cli(folder, ['devices', '--json']);
    expect([devices.code, JSON.parse(devices.stdout).devices[0]]).toEqual([
      0,
      {
        name: 'cpu',
        available: false,
        detail: expect.stringMatching(/missing/),
        remedy: expect.stringMatching(/npm ci/),
      },
    ]);
  });
});

it('without koffi’s library all works by Node’s binding, unless the C API is asked for', () => {
  const folder = installation('koffi');
  expectCompiles(folder);
  const train = ['train', ...shape, ...short, '--data', 'mnist', '--force', '--save', 'run'];
  expect(cli(folder, train).code).toBe(0);
  const { runtime } = JSON.parse(cli(folder, ['devices', '--json']).stdout) as { runtime: object };
  expect(runtime).toMatchObject({ api: 'binding', reason: expect.stringMatching(/koffi.*no native koffi here/) });
  const { code, stderr } = cli(folder, train, { DENSEC_RUNTIME: 'c' });
  expect([code, stderr]).toEqual([1, expect.stringMatching(/koffi.* can't be loaded .*no native koffi here.*npm ci/)]);
}, 60_000);

it('without the image library all but image files is read', async () => {
  const folder = installation('sharp');
  expectCompiles(folder);
  await writeImageFolder(path('photos'), { train: 4, val: 2 });
  const train = ['train', ...short, '--block-config', '1', '--growth-rate', '4', '--save', 'run', '--force'];
  expect(cli(folder, [...train, '--data', 'mnist']).code).toBe(0);
  const { code, stderr } = cli(folder, [...train, '--data', path('photos')]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^error: image files can't be read, since .*sharp.*npm ci/m),
  ]);
}, 60_000);

it.each<[string, RegExp]>([
  [
    "/x/libonnxruntime.so.1: version `VERS_1.30.0' not found (required by /x/onnxruntime_binding.node)",
    /^another version of onnxruntime is loaded in this process already.*depend on 1\.30\.0, or run densec in a process of its own$/,
  ],
  [
    '/x/onnxruntime_binding.node: file too short\nmore',
    /can't be loaded: \/x\/onnxruntime_binding.node: file too short; install/,
  ],
])('%s is explained', (message, sentence) => {
  expect(explainRuntime(new Error(message))).toMatch(sentence);
});
