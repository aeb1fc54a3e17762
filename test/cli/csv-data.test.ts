/** @file CSV files of images and labels: with and without names of columns, as spreadsheets write them, and wrong ones. */

import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../../src/runtime/data/dataset.js';
import { readSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { writeImage } from '../helpers/images.js';
import { expectSameEnd } from '../helpers/runs.js';

const path = temporaryFolder();
const folder = path('photos');
const flags = ['--block-config', '1', '--growth-rate', '2', '--image-size', '8', '--batch-size', '4', '--threads', '1'];
const options = { imageSize: 8, workers: 0, testShare: 0 };

/** Rows of file and label. */
const rows = Array.from(
  { length: 20 },
  (_, index) => [`images/${index} ü.png`, index % 4 === 0 ? 'cat' : 'dog'] as const,
);

function write(name: string, lines: readonly string[], end = '\n'): string {
  writeFileSync(join(folder, name), lines.join(end));
  return join(folder, name);
}

/** Labels and files as they are read, for training alone. */
async function read(file: string): Promise<[string, string | undefined][]> {
  const { train, classNames } = await loadDataset(file, options);
  if (!('files' in train)) throw new Error('the images are in memory');
  const pairs = train.files.map((name, at): [string, string | undefined] => [
    name.slice(folder.length + 1),
    classNames?.[train.labels[at] ?? 0],
  ]);
  return pairs.sort(([a], [b]) => Number.parseInt(a.slice(7), 10) - Number.parseInt(b.slice(7), 10));
}

beforeAll(async () => {
  for (const [index, [file]] of rows.entries()) await writeImage(join(folder, file), 10, 9, index + 1);
});

describe('a CSV file', () => {
  const lines = rows.map(([file, label]) => `${file},${label}`);

  it.each<[string, () => string]>([
    ['with names of columns', () => write('a.csv', ['file,label', ...lines])],
    ['without them', () => write('b.csv', lines)],
    [
      'with the label first',
      () =>
        write(
          'c.csv',
          rows.map(([file, label]) => `${label},${file}`),
        ),
    ],
    [
      'as spreadsheets on Windows write it',
      () => write('d.CSV', ['\ufefffilename;class', ...rows.map((row) => row.join(';')), ''], '\r\n'),
    ],
    [
      'with tabs, and quotes',
      () => write('e.tsv', ['Image Path\tother\tLabel', ...rows.map(([file, label]) => `"${file}"\tx\t"${label}"`)]),
    ],
    [
      'with backslashes',
      () =>
        write(
          'f.csv',
          rows.map(([file, label]) => `${file.replace('/', '\\')}, ${label} `),
        ),
    ],
    [
      'with whole paths',
      () =>
        write(
          'g.csv',
          rows.map(([file, label]) => `${join(folder, file)},${label}`),
        ),
    ],
    [
      'with names that lack the ending',
      () => write('h.csv', ['id,breed', ...rows.map(([file, label]) => `${file.slice(0, -4)},${label}`)]),
    ],
    ['with blank lines and rows twice', () => write('i.csv', ['', ...lines, '', ...lines.slice(3, 5)])],
  ])('%s', async (_, make) => {
    expect(await read(make())).toEqual(rows.map((row) => [...row]));
  });

  it('as UTF-16', async () => {
    writeFileSync(join(folder, 'utf16.csv'), Buffer.from(`\ufeff${lines.join('\r\n')}`, 'utf16le'));
    expect(await read(join(folder, 'utf16.csv'))).toEqual(rows.map((row) => [...row]));
  });

  it('whose labels are numbers has them in the order of the numbers', async () => {
    const file = write(
      'numbers.csv',
      rows.map(([name], index) => `${name},${[2, 10, 1][index % 3]}`),
    );
    expect((await loadDataset(file, options)).classNames).toEqual(['1', '2', '10']);
  });

  it('quotes what it must', async () => {
    const file = write(
      'quotes.csv',
      rows.map(([name], index) => `"${name}","a ""b"", ${index % 2}"`),
    );
    expect((await loadDataset(file, options)).classNames).toEqual(['a "b", 0', 'a "b", 1']);
  });

  it.each<[string, () => string, number, RegExp]>([
    [
      'several labels',
      () => write('w1.csv', ['images/0 ü.png,cat|dog', 'images/1 ü.png,cat']),
      1,
      /w1.csv, line 1: 'cat\|dog' is several labels/,
    ],
    [
      'one file with two labels',
      () => write('w2.csv', [...lines, 'images/3 ü.png,cat']),
      1,
      /line 21: images\/3 ü.png is 'cat', in line 4 it is 'dog'/,
    ],
    [
      'a column a label',
      () => write('w3.csv', ['image,cat,dog', 'images/0 ü.png,1,0']),
      1,
      /which of its 3 columns are meant \(image, cat, dog\)/,
    ],
    ['no names for three columns', () => write('w4.csv', ['images/0 ü.png,cat,5']), 1, /3 columns and no names/],
    ['one column', () => write('w5.csv', ['images/0 ü.png']), 1, /one column/],
    [
      'a label that is missing',
      () => write('w6.csv', [...lines, 'images/3 ü.png,']),
      1,
      /line 21: the label is missing/,
    ],
    ['nothing in it', () => write('w7.csv', ['file,label']), 1, /lists no images/],
    ['no line in it', () => write('w8.csv', []), 1, /is empty/],
    ['an open quote', () => write('w9.csv', ['images/0 ü.png,"cat']), 1, /can't be read as CSV: .*[Qq]uote/],
    [
      'one class',
      () =>
        write(
          'w10.csv',
          rows.map(([name]) => `${name},cat`),
        ),
      2,
      /all training images are of one class, cat/,
    ],
    [
      'an unknown part',
      () => write('w11.csv', ['file,label,split', 'images/0 ü.png,cat,fold1']),
      1,
      /line 2: 'fold1' is no part/,
    ],
    [
      'files that are missing',
      () => write('w12.csv', [...lines, ...Array.from({ length: 9 }, (_, at) => `images/x${at}.png,cat`)]),
      1,
      /9 of 29 files are not there:\n {2}line 21: images\/x0.png\n(.*\n){4} {2}… and 4 more\nnames are relative to/,
    ],
  ])('with %s is refused', async (_, make, code, message) => {
    const result = await densec(['train', ...flags, '--data', make(), '--save', path('refused')]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });

  it('that is not UTF-8 is refused, with its line', async () => {
    writeFileSync(
      join(folder, 'latin.csv'),
      Buffer.from(`${lines[0]}\nimages/x.png,Kätzchen\n`.replace('ü', 'u'), 'latin1'),
    );
    const result = await densec(['train', ...flags, '--data', join(folder, 'latin.csv'), '--save', path('refused')]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringMatching(/line 2 .*Kätzchen.* is not UTF-8; save/)]);
  });
});

describe('training on a CSV file', () => {
  const training = [...flags, '--epochs', '2', '--json'];

  it('sets some apart for the test, and goes on after the folder moved, to the same bits', async () => {
    const data = write('train.csv', ['file,label', ...rows.map((row) => row.join(','))]);
    const whole = await densec(['train', ...training, '--data', data, '--save', path('whole')]);
    expect(whole.code, whole.stderr).toBe(0);
    expect(whole.stderr).toContain('2 of its 20 are now');
    let stopped = false;
    mkdirSync(path('work'));
    cpSync(folder, path('work', 'here'), { recursive: true });
    const half = await densec(['train', ...training, '--data', 'here/train.csv', '--save', path('half')], {
      cwd: path('work'),
      onStdout(text, kill) {
        if (stopped || !text.includes('"event":"step"')) return;
        stopped = true;
        kill('SIGINT');
      },
    });
    expect(half.code, half.stderr).toBe(130);
    renameSync(path('work', 'here'), path('there'));
    const rest = await densec(['train', '--resume', '--save', path('half'), '--data', path('there', 'train.csv')]);
    expect(rest.code, rest.stderr).toBe(0);
    await expectSameEnd(path('half'), path('whole'));
    const { metadata } = await readSafetensors(path('whole', 'best.safetensors'));
    expect(JSON.parse(metadata['densec.data'] ?? '')).toMatchObject({ classNames: ['cat', 'dog'] });
  });

  it('takes the parts of a column, and is evaluated by them; labels go by their names', async () => {
    const part = (index: number): string => (index < 12 ? 'Train' : index < 16 ? 'valid' : 'TEST');
    const data = write('parts.csv', ['file,label,split', ...rows.map((row, at) => [...row, part(at)].join(','))]);
    const trained = await densec(['train', ...training, '--data', data, '--save', path('parts')]);
    expect(trained.code, trained.stderr).toBe(0);
    expect(readFileSync(path('parts', 'report.html'), 'utf8')).toContain('12 / 4 / 4');
    const evaluation = ['eval', path('parts', 'bundle'), '--weights', path('parts', 'best.safetensors'), '--json'];
    const evaluated = await densec([...evaluation, '--data', data]);
    expect(evaluated.json()).toMatchObject({ count: 4, error: trained.jsonLines().at(-1)?.testError });
    const dogs = write(
      'dogs.csv',
      rows
        .slice(16)
        .filter(([, label]) => label === 'dog')
        .map((row) => row.join(',')),
    );
    const some = await densec([...evaluation, '--data', dogs]);
    expect(some.code, some.stderr).toBe(0);
    const result = some.json() as { count: number };
    expect(result.count).toBe(3);
    expect(some.stderr).toContain('evaluating all 3');
    const eels = await densec([...evaluation, '--data', write('eels.csv', ['images/0 ü.png,eel'])]);
    expect([eels.code, eels.stderr]).toEqual([1, expect.stringMatching(/label eel is no class .*\(cat, dog\)/)]);
  });
});
