/** @file Labels and numbers of tables and arrays: which columns are taken, what cells may be, and what comes of them in batches. */

import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor } from '../../../src/ir/index.js';
import { arrayDataset } from '../../../src/runtime/data/arrays.js';
import { balancedPositives, balancedWeights } from '../../../src/runtime/data/balance.js';
import { createBatch, makeBatch } from '../../../src/runtime/data/batches.js';
import { loadDataset } from '../../../src/runtime/data/dataset.js';
import { loadBatch } from '../../../src/runtime/data/file-batches.js';
import { fingerprint, knownFrom, recordDataset } from '../../../src/runtime/data/record.js';
import type { Dataset, DatasetOptions } from '../../../src/runtime/data/types.js';
import { temporaryFolder } from '../../helpers/cli.js';
import { writeImage } from '../../helpers/images.js';

const path = temporaryFolder();
const options: DatasetOptions = { imageSize: 8, workers: 0, testShare: 0 };

beforeAll(async () => {
  for (let image = 0; image < 4; image++) await writeImage(path(`${image}.png`), 8, 8, image);
});

/** A table of the four images. */
async function read(
  head: string,
  cells: readonly string[],
  more: DatasetOptions = {},
): Promise<{ readonly dataset: Dataset; readonly rows: number[][] }> {
  const file = path('table.csv');
  writeFileSync(file, [...(head === '' ? [] : [head]), ...cells.map((cell, at) => `${at}.png,${cell}`), ''].join('\n'));
  const dataset = await loadDataset(file, { ...options, ...more });
  const { targets = [], count } = dataset.train;
  const columns = targets.length / count;
  const rows = Array.from({ length: count }, (_, row) => [...targets.slice(row * columns, (row + 1) * columns)]);
  return { dataset, rows };
}

const labels = { task: 'labels' } as const;
const values = { task: 'values' } as const;

describe('labels of a table', () => {
  it.each<[string, string, string[], DatasetOptions, string[], number[][]]>([
    [
      'are all columns of 0 and 1',
      'file,a,age,b',
      ['1,30,0', '0,40,0', '1,1,1', '0,0,1'],
      labels,
      ['a', 'b'],
      [
        [1, 0],
        [0, 0],
        [1, 1],
        [0, 1],
      ],
    ],
    [
      'are the columns asked for, in that order',
      'file,a,b',
      ['1,0', '0,0', '1,1', '0,1'],
      { ...labels, targets: ['b', 'a'] },
      ['b', 'a'],
      [
        [0, 1],
        [0, 0],
        [1, 1],
        [1, 0],
      ],
    ],
    ['may be one column', 'file,sick', ['1', '0', '1.0', '0'], labels, ['sick'], [[1], [0], [1], [0]]],
    [
      'may lie between 0 and 1 in columns asked for',
      'file,a',
      ['0.25', '0', '1', '1'],
      { ...labels, targets: ['a'] },
      ['a'],
      [[0.25], [0], [1], [1]],
    ],
    [
      'may be listed as ChestX-ray14 does',
      'Image Index,Finding Labels,Patient Age',
      ['Mass|Nodule,3', 'No Finding,4', 'Edema,5', 'Nodule,6'],
      labels,
      ['Edema', 'Mass', 'Nodule'],
      [
        [0, 1, 1],
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
      ],
    ],
    [
      'may be listed with commas, in quotes, or as Python prints them',
      'file,tags',
      ['"a, b"', '""', `"['b', 'c']"`, 'a;c'],
      labels,
      ['a', 'b', 'c'],
      [
        [1, 1, 0],
        [0, 0, 0],
        [0, 1, 1],
        [1, 0, 1],
      ],
    ],
    [
      'may be listed in a column without a name',
      '',
      ['a|b', 'b', 'No Finding', 'a'],
      labels,
      ['a', 'b'],
      [
        [1, 1],
        [0, 1],
        [0, 0],
        [1, 0],
      ],
    ],
    [
      'may be those of weights, in their order',
      'file,label',
      ['a', 'b', 'a|b', 'none'],
      { ...labels, known: { classNames: ['z', 'b', 'a'] } },
      ['z', 'b', 'a'],
      [
        [0, 0, 1],
        [0, 1, 0],
        [0, 1, 1],
        [0, 0, 0],
      ],
    ],
  ])('%s', async (_, head, cells, more, names, rows) => {
    const read4 = await read(head, cells, more);
    expect(read4.dataset).toMatchObject({ task: 'labels', classes: names.length, classNames: names });
    expect(read4.rows).toEqual(rows);
    expect([...read4.dataset.train.labels]).toEqual([0, 0, 0, 0]);
  });

  it.each<[string, string, string[], DatasetOptions, RegExp]>([
    [
      'a cell that is neither 0 nor 1',
      'file,a,b',
      ['1,0', '0,-1', '1,1', '0,1'],
      { ...labels, targets: ['a', 'b'] },
      /line 3: b is '-1'; it must be 0 \(absent\) or 1 \(present\)/,
    ],
    ['an empty cell', 'file,a,b', ['1,0', '0,', '1,1', '0,1'], { ...labels, targets: ['a', 'b'] }, /line 3: b is ''/],
    [
      'a label that the weights do not know',
      'file,label',
      ['a', 'b', 'q', 'a'],
      { ...labels, known: { classNames: ['a', 'b'] } },
      /the label q is none of those that are told \(a, b\)/,
    ],
    ['no labels at all', 'file,label', ['none', 'No Finding', '""', 'none'], labels, /no image has a label/],
    [
      'a file with two answers',
      'file,label',
      ['a', 'b', 'a', 'a\n0.png,b'],
      labels,
      /line 6: 0.png is '0 1', in line 2 it is '1 0'/,
    ],
  ])('are refused with %s', async (_, head, cells, more, message) => {
    await expect(read(head, cells, more)).rejects.toThrow(message);
  });
});

describe('numbers of a table', () => {
  it('are all columns of numbers, or those asked for', async () => {
    const cells = ['1,x,-2.5', '2,y,3e2', '3,z,0', '4,w,.5'];
    const all = await read('file,a,name,b', cells, values);
    expect([all.dataset.classNames, all.rows]).toEqual([
      ['a', 'b'],
      [
        [1, -2.5],
        [2, 300],
        [3, 0],
        [4, 0.5],
      ],
    ]);
    expect(all.dataset.notes).toEqual(
      expect.arrayContaining([expect.stringMatching(/the values are a, b/), expect.stringMatching(/not used: name/)]),
    );
    const one = await read('file,a,name,b', cells, { ...values, targets: ['b'] });
    expect([one.dataset.classes, one.rows]).toEqual([1, [[-2.5], [300], [0], [0.5]]]);
  });

  it('are the column that is called target, where there is one', async () => {
    const { dataset } = await read('file,id2,target', ['7,1', '8,2', '9,3', '10,4'], values);
    expect(dataset.classNames).toEqual(['target']);
  });

  it.each<[string, string[], DatasetOptions, RegExp]>([
    ['a word', ['1', '2', 'many', '4'], { ...values, targets: ['a'] }, /line 4: a is 'many'; it must be a number/],
    ['an infinite one', ['1', '2', 'Infinity', '4'], { ...values, targets: ['a'] }, /line 4: a is 'Infinity'/],
    [
      'no column of them',
      ['x', '2', '3', '4'],
      values,
      /none of its other columns \(a\) holds numbers in every row; .*--targets/,
    ],
  ])('are refused with %s', async (_, cells, more, message) => {
    await expect(read('file,a', cells, more)).rejects.toThrow(message);
  });
});

describe('a data set of targets', () => {
  it('is remembered by them: others are other data', async () => {
    const one = (await read('file,a,b', ['1,0', '0,0', '1,1', '0,1'], labels)).dataset;
    const other = (await read('file,a,b', ['1,0', '0,0', '1,1', '1,1'], labels)).dataset;
    expect(fingerprint(one)).not.toBe(fingerprint(other));
    expect(knownFrom(recordDataset(one))?.classNames).toEqual(['a', 'b']);
  });

  it('gives them in batches, of files and of arrays', async () => {
    const { dataset } = await read('file,a,b', ['1,0', '0,0', '1,1', '0,1'], labels);
    const files = await loadBatch(dataset, dataset.train, [2, 0]);
    expect(files.targets).toEqual(floatTensor([2, 2], [1, 1, 1, 0]));
    expect(files.labels.data).toEqual(BigInt64Array.of(0n, 0n));
    const part = { images: new Uint8Array(3 * 4).map((_, at) => at), labels: [1.5, 2, 3, 4, -5, 6] };
    const arrays = arrayDataset({
      ...{ name: 'own', task: 'values', channels: 1, imageSize: 2 },
      train: part,
      test: part,
    });
    expect(arrays).toMatchObject({ task: 'values', classes: 2 });
    expect(makeBatch(arrays, arrays.train, [1, 2]).targets).toEqual(floatTensor([2, 2], [3, 4, -5, 6]));
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      'labels that are not as many for each image',
      () => own([1, 2, 3, 4, 5]),
      /12 bytes of images of 4 bytes each, and 5 labels/,
    ],
    ['a label that is no number', () => own([1, 2, Number.NaN]), /label 2 is NaN; it must be a finite number/],
    ['other names than labels', () => own([1, 2, 3], ['a', 'b']), /a training image has 1 labels, but there are 2/],
    [
      'a tensor of classes',
      () => createBatch([1], new Float32Array(2), floatTensor([2], [0, 1])),
      /labels of a batch are float32 \[2\]/,
    ],
    [
      'other images than targets',
      () => createBatch([1], new Float32Array(3), floatTensor([2, 1], [0, 1])),
      /3 numbers for 2 labels/,
    ],
  ])('is refused with %s', (_, make, message) => {
    expect(make).toThrow(message);
  });

  function own(given: readonly number[], classNames?: readonly string[]): Dataset {
    const part = { images: new Uint8Array(12), labels: given };
    const names = classNames && { classNames };
    return arrayDataset({
      ...{ name: 'own', task: 'values', channels: 1, imageSize: 2 },
      ...names,
      train: part,
      test: part,
    });
  }
});

describe('balanced weights', () => {
  it('make classes and labels weigh alike', () => {
    const train = { count: 5, files: [], labels: Uint8Array.of(0, 1, 1, 1, 2) };
    // 4 of the images count: one of class 0, three of class 1; the others have none.
    const weights = balancedWeights({ train, name: 'own' }, [0, 1, 2, 3], 4);
    expect(weights).toEqual([4 / (4 * 1), 4 / (4 * 3), 1, 1]);
    const targets = Float32Array.of(1, 0, 1, 0, 0, 1, 1, 0);
    const several = {
      train: { count: 4, files: [], labels: new Uint8Array(4), targets },
      task: 'labels',
      name: 'own',
    } as const;
    expect(balancedPositives(several, [0, 1, 2, 3], 2)).toEqual([1 / 3, 3]);
    expect(() => balancedPositives(several, [0, 1], 2)).toThrow(/no training image, or every one, has the label 0, 1/);
    expect(() => balancedWeights(several, [0], 2)).toThrow(/own has labels for its images/);
  });
});
