/** @file Runs that go on after their data or their folder moved, or from another folder; and one that no memory holds. */

import { cpSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { writeImageFolder } from '../helpers/images.js';
import { expectSameEnd } from '../helpers/runs.js';
import { idxBytes, someBytes, writeIdxFolder } from '../runtime/data/files.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];
const training = ['--epochs', '2', '--batch-size', '8', '--valid-size', '8', '--json'];

/** Interrupts a run after its first step. */
function stop(): CliOptions {
  let stopped = false;
  const onStdout: CliOptions['onStdout'] = (text, kill) => {
    if (stopped || !text.includes('"event":"step"')) return;
    stopped = true;
    kill('SIGINT');
  };
  return { cwd: path(), onStdout };
}

function start(data: string, save: string, options: CliOptions = {}): Promise<CliResult> {
  return densec(['train', ...network, ...training, '--data', data, '--save', save], options);
}

beforeAll(async () => {
  mkdirSync(path('digits'));
  await writeIdxFolder(path('digits'), 8, 60, 24);
  await writeImageFolder(path('photos'), { train: 20, val: 8 });
});

describe.each(['digits', 'photos'])('a run on %s', (data) => {
  it('goes on from another folder, and after data and run moved', async () => {
    const whole = await start(path(data), path(`whole ${data}`));
    expect(whole.code, whole.stderr).toBe(0);
    cpSync(path(data), path(`here ${data}`), { recursive: true });
    const relative = await start(`here ${data}`, `run ${data}`, stop());
    expect(relative.code, relative.stderr).toBe(130);
    cpSync(path(`run ${data}`), path(`copy ${data}`), { recursive: true });
    const elsewhere = await densec(['train', '--resume', '--save', path(`copy ${data}`)], { cwd: '/' });
    expect(elsewhere.code, elsewhere.stderr).toBe(0);
    await expectSameEnd(path(`copy ${data}`), path(`whole ${data}`));

    renameSync(path(`here ${data}`), path(`there ${data}`));
    renameSync(path(`run ${data}`), path(`moved ${data}`));
    const resume = ['train', '--resume', '--save', path(`moved ${data}`)];
    const lost = await densec(resume);
    expect([lost.code, lost.stderr]).toEqual([1, expect.stringMatching(/has moved, say where it is with --data/)]);
    const stopped = await densec([...resume, '--data', `there ${data}`, '--json'], stop());
    expect(stopped.code, stopped.stderr).toBe(130);
    // Its place is remembered.
    const rest = await densec(resume);
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path(`moved ${data}`), path(`whole ${data}`));
  });
});

it('refuses other data, though as many images have the same labels', async () => {
  cpSync(path('digits'), path('others'), { recursive: true });
  writeFileSync(path('others', 'train-images-idx3-ubyte'), idxBytes([60, 8, 8], someBytes(60 * 64, 7)));
  const result = await densec(['train', '--resume', '--save', path('whole digits'), '--data', path('others')]);
  expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/not those that the run began with/)]);
});

describe('a run whose step alone needs more memory than there is', () => {
  // 16,000 images, each with hundreds of MB alive.
  const flags = ['--block-config', '2,2', '--growth-rate', '512', '--valid-size', '0', '--batch-size', '16000'];

  it('is refused before its folder is made, with a batch that would fit', async () => {
    mkdirSync(path('many'));
    await writeIdxFolder(path('many'), 28, 16000, 3);
    const result = await densec(['train', ...flags, '--data', path('many'), '--save', path('huge')]);
    expect([result.code, result.stderr]).toEqual([
      2,
      expect.stringMatching(
        /16000 images has [\d.]+ MB alive at once, but only .*--batch-size \d+.*--allow-overcommit/,
      ),
    ]);
    expect(existsSync(path('huge'))).toBe(false);
  });
});
