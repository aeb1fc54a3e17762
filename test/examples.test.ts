/** @file The examples do what they say, run as their readers would. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { Predictor } from '../src/runtime/deploy/predictor.js';
import { temporaryFolder } from './helpers/cli.js';

const path = temporaryFolder();

/** What an example prints, line by line. */
async function run(name: string): Promise<string[]> {
  const file = fileURLToPath(new URL(`../dist/examples/${name}.js`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file, path(name)]);
  return stdout.trim().split('\n');
}

/** The number at the end of a line that begins so. */
function figure(lines: readonly string[], beginning: string): number {
  const line = lines.find((each) => each.startsWith(beginning));
  return Number(/([\d.]+)(?: kB live at most)?$/.exec(line ?? '')?.[1] ?? Number.NaN);
}

it('own-network learns its stripes and labels four of them', async () => {
  const lines = await run('own-network');
  expect(figure(lines, 'test error')).toBeLessThan(0.1);
  expect(lines.slice(-4).map((line) => line.split(' ')[0])).toEqual(['vertical', 'horizontal', 'rising', 'falling']);
});

it('own-loop trains on batches of its own until nothing gets better, and goes on from a file', async () => {
  const lines = await run('own-loop');
  const held = lines.filter((line) => line.startsWith('step ')).map((line) => Number(line.split('held out ')[1]));
  expect(held.length).toBeGreaterThan(2);
  expect(Math.min(...held)).toBeLessThan(0.05);
  expect(figure(lines, 'resumed: loss')).toBeLessThan(0.1);
  const predictor = await Predictor.open(path('own-loop', 'model.onnx'), { threads: 1 });
  expect(predictor.description.classNames).toEqual(['disc', 'ring']);
  await predictor.close();
});

it('transfer-learning trains the classifier alone, on features of another task', async () => {
  const lines = await run('transfer-learning');
  // In whatever order they lie in the state.
  const trained = lines.find((line) => line.startsWith('trained: '))?.slice('trained: '.length);
  expect(trained?.split(', ').sort()).toEqual(['classifier.bias', 'classifier.weight']);
  expect(figure(lines, 'stripes 0, 1, 2: test error')).toBeLessThan(0.1);
  expect(figure(lines, 'stripes 3, 0: test error')).toBeLessThan(0.2);
});

it('own-policy takes a place between the policies that come with densec', async () => {
  const lines = await run('own-policy');
  const [none, own, efficient] = ['none', 'fullSize', 'efficient'].map((name) => figure(lines, name));
  expect(own).toBeLessThan(none as number);
  expect(own).toBeGreaterThanOrEqual(efficient as number);
  expect(figure(lines, 'test error')).toBeLessThan(0.5);
});

it('several-labels tells for each of three shapes whether it is there', async () => {
  const lines = await run('several-labels');
  expect(figure(lines, 'test: mean AUC')).toBeGreaterThan(0.95);
  expect(lines.slice(-2).map((line) => line.replace(/\d+/g, ''))).toEqual(Array(2).fill('bar  %, beam  %, dot  %'));
});

it('regression tells how bright and how large discs are', async () => {
  const lines = await run('regression');
  expect(figure(lines, 'test: mean absolute error')).toBeLessThan(0.5);
  expect(lines.at(-1)).toMatch(/^brightness \d\.\d\d \(is \d\.\d\d\), radius \d\.\d\d \(is \d\.\d\d\)$/);
});
