/** @file The runtime's telemetry stays off where no CI variable turns it off: on the command line and in the library. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { atHome, noTrace } from '../helpers/home.js';

const path = temporaryFolder();
const dist = join(import.meta.dirname, '../../dist');
const main = join(dist, 'cli/main.js');

beforeAll(async () => {
  const shape = ['--block-config', '1', '--growth-rate', '2', '--image-size', '4', '--classes', '3'];
  await densec(['build', ...shape, '-o', path('net')]);
  const weights = ['--weights', path('net', 'initial.safetensors'), '--mean', '0,0,0', '--std', '1,1,1'];
  const exported = await densec(['export', path('net'), ...weights, '-o', path('net.onnx')]);
  expect(exported.code, exported.stderr).toBe(0);
});

if (noTrace) console.log(`left out: names that are looked up (${noTrace})`);

/** A command that loads a model, with more than 14.5 kB of arguments. */
const longCommand = [
  ...[main, 'predict', path('net.onnx')],
  ...Array.from({ length: 2000 }, (_, index) => `holidays/a-photo-of-that-summer-${index}.jpg`),
];

describe('the runtime', () => {
  it('reports to nobody, and takes a command line of 2,000 names', async () => {
    const { code, stderr, home, network } = await atHome(path('command'), longCommand);
    expect([code, stderr.split('\n').at(-2)]).toEqual([1, '2000 of 2000 images could not be read']);
    expect(home).toEqual([]);
    expect(network).toEqual([]);
  });

  it('reports to nobody from a program that uses the library', async () => {
    mkdirSync(path('library'));
    writeFileSync(
      path('library', 'own.mjs'),
      `import { Predictor } from ${JSON.stringify(pathToFileURL(join(dist, 'src/index.js')).href)};
       const predictor = await Predictor.open(${JSON.stringify(path('net.onnx'))});
       await predictor.close();`,
    );
    const { code, stderr, home, network } = await atHome(path('library'), [path('library', 'own.mjs')]);
    expect([code, stderr]).toEqual([0, '']);
    expect(home).toEqual([]);
    expect(network).toEqual([]);
  });

  it.skipIf(noTrace !== undefined)('would be seen where it asked another computer', async () => {
    const { network } = await atHome(path('asked'), [
      '-e',
      "require('net').connect(9, '127.0.0.1').on('error', () => {})",
    ]);
    expect(network.length).toBeGreaterThan(0);
  });
});
