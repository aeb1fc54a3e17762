/** @file The command line on data sets: workers that don't change a bit, image folders, files that can't be read. */

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeBroken, writeImageFolder } from '../helpers/images.js';
import { matFile } from '../helpers/mat.js';
import { writeCifar10, writeCifar10Python, writeSvhnFolder } from '../runtime/data/files.js';

const path = temporaryFolder();

const network = ['--block-config', '1,1', '--growth-rate', '4', '--drop-rate', '0.2'];
const short = ['--epochs', '2', '--batch-size', '4', '--threads', '1', '--json'];

function weights(run: string): Buffer {
  return readFileSync(path(run, 'best.safetensors'));
}

describe('densec train on colour images in memory', () => {
  it('ends in the same bits with 0 and 2 data workers, augmented, and in others without augmentation', async () => {
    await writeCifar10(path('cifar'));
    const base = ['train', ...network, ...short, '--data', path('cifar'), '--valid-size', '2'];
    const runs = await Promise.all([
      densec([...base, '--data-workers', '0', '--save', path('w0')]),
      densec([...base, '--data-workers', '2', '--save', path('w2')]),
      densec([...base, '--no-augment', '--save', path('plain')]),
    ]);
    for (const { code, stderr } of runs) expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(weights('w0').equals(weights('w2'))).toBe(true);
    expect(weights('w0').equals(weights('plain'))).toBe(false);
    const losses = ({ jsonLines }: (typeof runs)[number]) =>
      jsonLines().flatMap(({ event, loss }) => (event === 'step' ? [loss] : []));
    const [none, two] = runs.map(losses);
    expect(none).toHaveLength(4);
    expect(two).toEqual(none);
    for (const event of runs[0]?.jsonLines() ?? []) {
      if (!['step', 'epoch', 'result'].includes(event.event as string)) continue;
      expect(event.dataWait).toBeGreaterThan(0);
      expect(event.dataWait).toBeLessThan(1);
    }
  });
});

describe("densec eval on CIFAR's Python version", () => {
  it('measures what it measures on the binary one, with the test file alone', async () => {
    await writeCifar10Python(path('python'));
    for (let file = 1; file <= 5; file++) rmSync(path('python', `data_batch_${file}`));
    const evaluation = ['eval', path('w0', 'bundle'), '--weights', path('w0', 'best.safetensors'), '--json', '--data'];
    const [binary, python] = await Promise.all(
      [path('cifar'), path('python')].map((data) => densec([...evaluation, data])),
    );
    expect(python?.code, python?.stderr).toBe(0);
    // Only the Python version names the classes.
    const figures = (text = ''): unknown =>
      JSON.parse(text, (key, value) => (/name/i.test(key) ? undefined : (value as unknown)));
    expect(figures(python?.stdout)).toEqual(figures(binary?.stdout));
  });
});

describe('densec train on SVHN', () => {
  it('takes MATLAB files, and eval the normalization that was trained with', async () => {
    await mkdir(path('svhn'));
    await writeSvhnFolder(path('svhn'), 12, 5);
    const base = ['train', ...network, ...short, '--data', path('svhn'), '--valid-size', '0', '--save', path('digits')];
    const trained = await densec(base);
    expect(trained.code).toBe(0);
    const result = trained.jsonLines().at(-1);
    const evaluation = ['eval', path('digits', 'bundle'), '--weights', path('digits', 'best.safetensors'), '--json'];
    const evaluated = await densec([...evaluation, '--data', path('svhn')]);
    expect(evaluated.json()).toMatchObject({
      loss: expect.closeTo(result?.testLoss as number, 6),
      error: result?.testError,
      count: 5,
      ...(result?.testMetrics as object),
    });
    // Other training images would have another mean: it is the weights' own that counts.
    const X = { name: 'X', shape: [32, 32, 3, 1], data: new Uint8Array(3072).fill(200) };
    const y = { name: 'y', shape: [1, 1], data: Float64Array.of(1) };
    writeFileSync(path('svhn', 'train_32x32.mat'), matFile([X, y]));
    expect((await densec([...evaluation, '--data', path('svhn')])).json()).toEqual(evaluated.json());
    cpSync(path('svhn', 'test_32x32.mat'), path('svhn test', 'test_32x32.mat'));
    expect((await densec([...evaluation, '--data', path('svhn test')])).json()).toEqual(evaluated.json());
    const resumed = await densec(['train', '--resume', '--save', path('digits'), '--json']);
    expect(resumed.code).toBe(1);
    expect(resumed.stderr).toContain('the images or labels are not those that the run began with');
  });
});

describe('densec train on an image folder', () => {
  const folder = path('folder');
  const base = ['train', ...network, '--image-size', '16', ...short, '--valid-size', '2', '--data', folder];

  it('refuses files that cannot be read, or leaves them out when told', async () => {
    await writeImageFolder(folder, { train: 6, val: 3 });
    await writeBroken(join(folder, 'train', 'cat', '1.jpg'), 'text');
    await writeBroken(join(folder, 'val', 'dog', '0.png'), 'cut');
    const refused = await densec([...base, '--save', path('refused')]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("2 of 18 image files can't be read");
    expect(refused.stderr).toContain('--skip-corrupt');
    const [one, two] = await Promise.all(
      ['0', '2'].map((workers) =>
        densec([...base, '--skip-corrupt', '--data-workers', workers, '--save', path(`skip${workers}`)]),
      ),
    );
    expect([one?.code, two?.code]).toEqual([0, 0]);
    expect(one?.stderr).toContain("left out 2 image files that can't be read");
    expect(one?.jsonLines().at(-1)).toMatchObject({ event: 'result', skippedImages: 2 });
    expect(weights('skip0').equals(weights('skip2'))).toBe(true);
    const report = readFileSync(path('skip0', 'report.html'), 'utf8');
    expect(report).toMatch(/augmentation<\/th><td>parts of 8 to 100 %.*unreadable<\/th><td>2</s);
    const { metadata } = await readSafetensors(path('skip0', 'best.safetensors'));
    expect(JSON.parse(metadata['densec.data'] ?? '{}')).toMatchObject({ classNames: ['cat', 'dog'], resize: 18 });
  });

  it('goes on after Ctrl-C without the files that were left out, to the same bits', async () => {
    let asked = false;
    const interrupted = await densec([...base, '--skip-corrupt', '--save', path('stopped')], {
      onStdout(text, kill) {
        // A second one would end the process at once.
        if (asked || !text.includes('"event":"step"')) return;
        asked = true;
        kill('SIGINT');
      },
    });
    expect(interrupted.code).toBe(130);
    const resumed = await densec(['train', '--resume', '--save', path('stopped'), '--json']);
    expect(resumed.code).toBe(0);
    expect(resumed.jsonLines().at(-1)).toMatchObject({ skippedImages: 2 });
    expect(weights('stopped').equals(weights('skip0'))).toBe(true);
  });

  it('is evaluated with the same numbers, and only by the same classes', async () => {
    const evaluation = ['eval', path('skip0', 'bundle'), '--weights', path('skip0', 'best.safetensors'), '--json'];
    const refused = await densec([...evaluation, '--data', folder]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("1 of 6 image files can't be read");
    const evaluated = await densec([...evaluation, '--data', folder, '--skip-corrupt']);
    const trained = await densec(['train', '--resume', '--save', path('skip0'), '--json']);
    const result = trained.jsonLines().at(-1);
    expect(evaluated.json()).toMatchObject({
      loss: expect.closeTo(result?.testLoss as number, 6),
      error: result?.testError,
      count: 5,
      ...(result?.testMetrics as object),
    });
    rmSync(join(folder, 'train', 'cat'), { recursive: true });
    rmSync(join(folder, 'val', 'cat'), { recursive: true });
    const other = await densec([...evaluation, '--data', folder, '--skip-corrupt']);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain("was trained with 'cat' as class 0, folder has 'dog' there");
  });
});
