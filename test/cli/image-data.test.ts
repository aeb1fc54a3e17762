/** @file Folders of images as people have them: parts or none, any case, links, several formats, few images a class. */

import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { type CliResult, densec, temporaryFolder } from '../helpers/cli.js';
import { writeImage, writeImageFolder } from '../helpers/images.js';
import { expectSameEnd } from '../helpers/runs.js';

const path = temporaryFolder();
const network = ['--block-config', '1', '--growth-rate', '2', '--image-size', '8'];
const short = ['--epochs', '1', '--batch-size', '4', '--threads', '1', '--json'];

function train(data: string, save: string, ...more: string[]): Promise<CliResult> {
  return densec(['train', ...network, ...short, '--data', data, '--save', save, ...more]);
}

function evaluate(run: string, data: string): Promise<CliResult> {
  return densec(['eval', join(run, 'bundle'), '--weights', join(run, 'best.safetensors'), '--data', data, '--json']);
}

/** How many images a run had for training, validation and the test, as its report says. */
function counts(run: string): string | undefined {
  const report = readFileSync(join(run, 'report.html'), 'utf8');
  return report.match(/training \/ validation \/ test images<\/th><td>([^<]*)</)?.[1];
}

/** Writes images into folders, so many a class. */
async function writeClasses(folder: string, sizes: Readonly<Record<string, number>>, ending = 'png'): Promise<void> {
  let seed = 1;
  for (const [name, count] of Object.entries(sizes)) {
    for (let image = 0; image < count; image++) {
      await writeImage(join(folder, name, `${image}.${ending}`), 10 + (image % 3), 9, seed++);
    }
  }
}

describe('augmentation', () => {
  it('of image files can leave out random parts, and move the hue; both stand in the report and can change', async () => {
    await writeImageFolder(path('augmented'), { train: 6, val: 2 });
    const flags = ['--no-resized-crop', '--hue-jitter', '0.1', '--color-jitter', '0.2'];
    const result = await train(path('augmented'), path('run augmented'), ...flags);
    expect([result.code, result.stderr]).toEqual([0, expect.any(String)]);
    const report = readFileSync(path('run augmented', 'report.html'), 'utf8');
    expect(report).toMatch(/resized crop<\/th><td>(no|off|false)/);
    expect(report).toMatch(/hue jitter<\/th><td>0\.1/);
    const folder = ['train', '--resume', '--save', path('run augmented'), '--json'];
    const changed = await densec([...folder, '--epochs', '2', '--resized-crop', '--hue-jitter', '0']);
    expect(changed.stdout).toMatch(/"resized crop off → on","hue jitter 0\.1 → 0"/);
    const wrong = await train(path('augmented'), path('run wrong'), '--hue-jitter', '0.6');
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/the hue jitter is 0\.6; it must be from 0 to 0\.5/),
    ]);
  });

  it('by random parts is refused where images are in memory, before there is a folder', async () => {
    const result = await train('mnist', path('run mnist'), '--resized-crop', '--limit', '40');
    expect(result.code).toBe(2);
    expect(existsSync(path('run mnist'))).toBe(false);
  });
});

describe('a folder with train, val and test', () => {
  it('validates on val/, tests on test/ and trains on all of train/, whatever the case', async () => {
    const folder = path('parts');
    await writeClasses(join(folder, 'Training'), { cat: 5, dog: 7 });
    await writeClasses(join(folder, 'VALID'), { cat: 2, dog: 1 });
    await writeClasses(join(folder, 'Test'), { cat: 4, dog: 1 });
    const result = await train(folder, path('run parts'));
    expect(result.code, result.stderr).toBe(0);
    expect(counts(path('run parts'))).toBe('12 / 3 / 5');
    expect((await evaluate(path('run parts'), folder)).json()).toMatchObject({ count: 5 });
    const asked = await train(folder, path('run asked'), '--valid-size', '4');
    expect(asked.stderr).toContain('its 3 validation images are not used');
    expect(counts(path('run asked'))).toBe('8 / 4 / 5');
    const refused = await train(folder, path('run refused'), '--test-share', '0.2');
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/has test images of its own \(Test\/\)/)]);
  });

  it('without test/ tests on val/ too, and says so; --test-share sets others apart', async () => {
    await writeImageFolder(path('two'), { train: 10, val: 3 });
    const result = await train(path('two'), path('run two'));
    expect(result.stderr).toContain('those for validation (val/) are for the final test too');
    expect(counts(path('run two'))).toBe('20 / 6 / 6');
    expect((await train(path('two'), path('run share'), '--test-share', '0.2')).code).toBe(0);
    expect(counts(path('run share'))).toBe('16 / 6 / 4');
  });

  it('tells a class that the test lacks', async () => {
    await writeClasses(path('lacks', 'train'), { cat: 5, dog: 5, eel: 5 });
    await writeClasses(path('lacks', 'test'), { cat: 2, eel: 2 });
    const { stderr } = await train(path('lacks'), path('run lacks'));
    expect(stderr).toContain("no test image of 1 of 3 classes, so their error isn't measured: dog");
  });

  it('is evaluated with test/ alone, though a class is missing there', async () => {
    await writeClasses(path('alone', 'test'), { dog: 3, eel: 1 });
    const result = await evaluate(path('run lacks'), path('alone'));
    expect(result.code, result.stderr).toBe(0);
    expect(result.json()).toMatchObject({ count: 4 });
    expect(result.stderr).toContain('no test image of 1 of 3 classes');
    // The labels are those of the training: as a part of the whole folder it is the same.
    cpSync(path('lacks', 'train'), path('with train', 'train'), { recursive: true });
    cpSync(path('alone', 'test'), path('with train', 'test'), { recursive: true });
    expect((await evaluate(path('run lacks'), path('with train'))).json()).toEqual(result.json());
    const refused = await train(path('alone'), path('run alone'));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/there is a test\/ but no train\//)]);
    await writeClasses(path('alone', 'test'), { fox: 1 });
    const unknown = await evaluate(path('run lacks'), path('alone'));
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      expect.stringMatching(/the class fox is not in what the weights/),
    ]);
  });
});

describe('a folder of classes alone', () => {
  const folder = path('klassen äöü');

  it('is divided by the seed, of each class in proportion, and resumes to the same bits elsewhere', async () => {
    await writeClasses(folder, { Äpfel: 20, 'rote Birnen': 10 });
    mkdirSync(join(folder, 'empty'));
    const shares = ['--test-share', '0.2', '--valid-share', '0.1', '--seed', '3', '--epochs', '2'];
    const whole = await train(folder, path('run whole'), ...shares);
    expect(whole.code, whole.stderr).toBe(0);
    expect(whole.stderr).toContain('left out a class without any file: empty');
    expect(whole.stderr).toContain('6 of its 30 are now (20 % of each class, by the seed 3');
    expect(counts(path('run whole'))).toBe('21 / 3 / 6');
    const other = await train(folder, path('run other'), ...shares, '--seed', '4');
    expect(other.jsonLines().at(-1)?.testLoss).not.toBe(whole.jsonLines().at(-1)?.testLoss);

    let stopped = false;
    const args = ['train', ...network, ...short, ...shares, '--data', folder, '--save', path('run half')];
    const half = await densec(args, {
      onStdout(text, kill) {
        if (stopped || !text.includes('"event":"step"')) return;
        stopped = true;
        kill('SIGINT');
      },
    });
    expect(half.code, half.stderr).toBe(130);
    renameSync(folder, path('moved'));
    const wrong = ['--resume', '--save', path('run half'), '--data', path('moved')];
    const refused = await densec(['train', ...wrong, '--test-share', '0.3']);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/--test-share 0.2, not 0.3/)]);
    const resumed = await densec(['train', ...wrong, '--test-share', '0.2', '--valid-share', '0.1']);
    expect(resumed.code, resumed.stderr).toBe(0);
    await expectSameEnd(path('run half'), path('run whole'));
  });

  it('is evaluated on what was set apart for its test, other folders on all', async () => {
    const { testLoss, testError } = (
      await densec(['train', '--resume', '--save', path('run half'), '--json', '--data', path('moved')])
    )
      .jsonLines()
      .at(-1) as Record<string, number>;
    const result = await evaluate(path('run half'), path('moved'));
    expect(result.json()).toMatchObject({ loss: expect.closeTo(testLoss as number, 6), error: testError, count: 6 });
    cpSync(path('moved'), path('more'), { recursive: true });
    await writeImage(path('more', 'Äpfel', 'new.png'), 9, 9);
    const all = await evaluate(path('run half'), path('more'));
    expect(all.json()).toMatchObject({ count: 31 });
    expect(all.stderr).toContain('evaluating all 31');
    const { metadata } = await readSafetensors(path('run half', 'best.safetensors'));
    expect(JSON.parse(metadata['densec.data'] ?? '')).toMatchObject({ split: { testShare: 0.2, seed: 3 } });
  });

  it('leaves a class of one image to the training', async () => {
    await writeClasses(path('rare'), { common: 30, rare: 1, scarce: 1, two: 2 });
    const result = await train(path('rare'), path('run rare'), '--valid-share', '0.3', '--test-share', '0.3');
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).not.toContain('left to train on');
    expect(result.stderr).toMatch(/no test image of [23] of 4 classes.*rare, scarce/);
    const greedy = await train(path('rare'), path('run greedy'), '--valid-size', '28');
    expect(greedy.stderr).toMatch(/warning.*no image is left to train on of \d classes/);
  });

  it('of a single class is refused, and too few images to test', async () => {
    await writeClasses(path('single'), { only: 5 });
    const single = await train(path('single'), path('run single'));
    expect([single.code, single.stderr]).toEqual([
      2,
      expect.stringMatching(/all training images are of one class, only/),
    ]);
    await writeClasses(path('few'), { a: 1, b: 1 });
    const few = await train(path('few'), path('run few'));
    expect([few.code, few.stderr]).toEqual([1, expect.stringMatching(/2 images are too few to set 10 % aside/)]);
    const untested = await train(path('few'), path('run few'), '--test-share', '0');
    expect(untested.code, untested.stderr).toBe(0);
    expect(untested.jsonLines().at(-1)).not.toHaveProperty('testError');
    const wrong = await train(path('few'), path('run few'), '--force', '--test-share', '1');
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/share of test images is 1; .*below 1/)]);
  });

  it('is train/ alone too, and a part of a whole is not taken for it', async () => {
    await writeClasses(path('only train', 'train'), { a: 10, b: 10 });
    expect((await train(path('only train'), path('run only'))).code).toBe(0);
    expect(counts(path('run only'))).toBe('17 / 1 / 2');
    await writeClasses(path('only train', 'test'), { a: 1, b: 1 });
    const part = await train(path('only train', 'train'), path('run part'));
    expect([part.code, part.stderr]).toEqual([
      1,
      expect.stringMatching(/train is one part of .*only train, which has test\//),
    ]);
  });
});

describe('image files', () => {
  it('are read in every format that the library knows; others are told', async () => {
    const endings = ['jpg', 'JPEG', 'PNG', 'webp', 'gif', 'tif', 'tiff', 'avif'];
    for (const ending of endings) await writeClasses(path('formats'), { [`class ${ending}`]: 2 }, ending);
    writeFileSync(path('formats', 'class jpg', 'a.BMP'), 'BM');
    writeFileSync(path('formats', 'class jpg', 'b.heic'), '');
    const result = await train(path('formats'), path('run formats'), '--test-share', '0.5');
    expect(result.code, result.stderr).toBe(0);
    expect(counts(path('run formats'))).toBe('8 / 0 / 8');
    expect(result.stderr).toContain('2 images are in formats that are not read (convert them to PNG or JPEG)');
    await writeClasses(path('formats'), { bitmaps: 1 });
    renameSync(path('formats', 'bitmaps', '0.png'), path('formats', 'bitmaps', '0.bmp'));
    const refused = await train(path('formats'), path('run formats'), '--force');
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/no image that is read in the class bitmaps .*3 images are in formats/),
    ]);
  });

  it('are found behind links to folders, once, and loops are no harm', async () => {
    await writeClasses(path('links'), { cat: 4, dog: 4 });
    await writeClasses(path('elsewhere'), { puppies: 6 });
    symlinkSync(path('elsewhere', 'puppies'), path('links', 'dog', 'more'));
    symlinkSync(path('elsewhere', 'puppies'), path('links', 'dog', 'again'));
    symlinkSync('..', path('links', 'dog', 'up'));
    symlinkSync('.', path('links', 'cat', 'here'));
    symlinkSync(path('links'), path('elsewhere', 'puppies', 'round'));
    symlinkSync(path('elsewhere'), path('links', 'linked class'));
    symlinkSync('nowhere', path('links', 'dog', 'gone'));
    const result = await train(path('links'), path('run links'), '--test-share', '0.25', '--valid-size', '0');
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toContain('as '.concat(path('links', 'dog', 'gone')));
    // 4 cats, 4 + 6 dogs, 6 behind the link that is a class itself; the link back to all classes is not followed.
    const images = counts(path('run links'))?.split(' / ').map(Number) ?? [];
    expect(images[0] && images[0] + (images[2] ?? 0)).toBe(4 + 10 + 6);
  });
});
