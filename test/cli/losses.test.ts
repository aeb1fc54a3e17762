/** @file Other losses through the built command: tables of labels and numbers, training, evaluation, deployment, resuming. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { floatTensor, int64Tensor, type TensorData } from '../../src/ir/index.js';
import { readSafetensors, writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { randomSource } from '../helpers/random.js';

const path = temporaryFolder();
const network = ['--block-config', '1,1', '--growth-rate', '4', '--image-size', '8'];
const running = ['--batch-size', '8', '--lr', '0.05', '--threads', '1', '--data-workers', '0'];
const count = 48;

/** What is on an image: red or grey, light or dark. */
interface Content {
  readonly red: boolean;
  readonly light: boolean;
}

const random = randomSource('losses');
const contents = Array.from({ length: count }, (): Content => ({ red: random() < 0.4, light: random() < 0.5 }));

async function writeContent(file: string, { red, light }: Content): Promise<void> {
  const level = light ? 200 : 60;
  const pixels = Uint8Array.from({ length: 3 * 64 }, (_, at) => (red && at % 3 === 0 ? 250 : level + 20 * random()));
  mkdirSync(dirname(file), { recursive: true });
  await sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } })
    .png()
    .toFile(file);
}

/** Writes a table of the images. */
function write(name: string, head: string, row: (content: Content, index: number) => string): string {
  const rows = contents.map((content, index) => `images/${index}.png,${row(content, index)}`);
  writeFileSync(path(name), [head, ...rows, ''].join('\n'));
  return path(name);
}

const part = (index: number): string => (index < 32 ? 'train' : index < 40 ? 'val' : 'test');

beforeAll(async () => {
  for (const [index, content] of contents.entries()) await writeContent(path('images', `${index}.png`), content);
  write(
    'columns.csv',
    'file,Red,Light,patient,split',
    ({ red, light }, index) => `${Number(red)},${Number(light)},p${index},${part(index)}`,
  );
  write('listed.csv', 'Image Index,Finding Labels,Patient Age,split', ({ red, light }, index) => {
    const labels = [...(red ? ['Red'] : []), ...(light ? ['Light'] : [])];
    return `${labels.join('|') || 'No Finding'},${20 + index},${part(index)}`;
  });
  write('numbers.csv', 'file,brightness,redness,split', ({ red, light }, index) => {
    return `${light ? 2 : 1},${red ? -0.5 : 0.5},${part(index)}`;
  });
  write('classes.csv', 'file,label,split', ({ red }, index) => `${red ? 'red' : 'grey'},${part(index)}`);
});

/** Trains two epochs; fails with what was said otherwise. */
async function train(save: string, data: string, ...flags: string[]): Promise<Record<string, unknown>[]> {
  const args = ['train', ...network, '--data', path(data), '--save', path(save), '--epochs', '2', ...running, ...flags];
  const result = await densec([...args, '--json']);
  expect(result.code, result.stderr).toBe(0);
  return result.jsonLines();
}

const best = (save: string): string[] => [path(save, 'bundle'), '--weights', path(save, 'best.safetensors')];

describe.each(['columns.csv', 'listed.csv'])('labels of %s', (table) => {
  const save = `labels-${table}`;
  let events: Record<string, unknown>[];

  beforeAll(async () => {
    events = await train(save, table, '--loss', 'bce');
  });

  it('are trained, and the best weights are chosen by the mean area', () => {
    const epochs = events.filter(({ event }) => event === 'epoch');
    expect(epochs).toHaveLength(2);
    const areas = epochs.map(({ validMetrics }) => (validMetrics as { meanAuc: number }).meanAuc);
    for (const area of areas) expect(area).toBeGreaterThan(0);
    const result = events.at(-1) as {
      bestEpoch: number;
      testError: number;
      testMetrics: object;
      testOutputs: object[];
    };
    expect(result.bestEpoch).toBe(areas.indexOf(Math.max(...areas)) + 1);
    expect(Object.keys(result.testMetrics)).toEqual(['meanAuc', 'meanF1']);
    const names = table === 'columns.csv' ? ['Red', 'Light'] : ['Light', 'Red'];
    expect(result.testOutputs).toEqual(names.map((name) => expect.objectContaining({ name })));
    const report = readFileSync(path(save, 'report.html'), 'utf8');
    for (const text of ['binary cross-entropy', 'Mean AUC', 'Test, by label', 'Training wrong labels']) {
      expect(report).toContain(text);
    }
  });

  it('are evaluated to the same figures', async () => {
    const result = await densec(['eval', ...best(save), '--data', path(table), '--json', '--threads', '1']);
    expect(result.code, result.stderr).toBe(0);
    const { testLoss, testError, testMetrics, testOutputs } = events.at(-1) as Record<string, unknown>;
    const { loss, error, labels, count: images, ...summary } = result.json();
    expect([loss, error, labels, images, summary]).toEqual([testLoss, testError, testOutputs, 8, testMetrics]);
    const table8 = await densec(['eval', ...best(save), '--data', path(table), '--batch-size', '3', '--threads', '1']);
    expect(table8.stdout).toMatch(/wrong labels +\d+\.\d\d %/);
    expect(table8.stdout).toMatch(/images with it/);
  });

  it('are exported as probabilities of each, and predicted so', async () => {
    const model = path(save, 'model.onnx');
    const exported = await densec(['export', ...best(save), '-o', model, '--json']);
    expect(exported.code, exported.stderr).toBe(0);
    expect(exported.json()).toMatchObject({
      outputs: { logits: ['N', 2], probabilities: ['N', 2] },
      task: 'labels',
      classNames: table === 'columns.csv' ? ['Red', 'Light'] : ['Light', 'Red'],
    });
    const files = [path('images', '0.png'), path('images', '1.png')];
    const told = (await densec(['predict', model, ...files, '--json', '--threads', '1'])).json();
    const [first] = told.predictions as { top: { label: string; probability: number }[] }[];
    expect(first?.top.map(({ label }) => label)).toEqual(exported.json().classNames);
    // Not a softmax: the probabilities of an image needn't add up to 1.
    const sums = (told.predictions as { top: { probability: number }[] }[]).map(({ top }) =>
      top.reduce((sum, { probability }) => sum + probability, 0),
    );
    expect(sums.some((sum) => Math.abs(sum - 1) > 1e-3)).toBe(true);
    const csv = await densec(['predict', model, ...files, '--csv', '--threads', '1']);
    const [head, row] = csv.stdout.split('\n').map((line) => line.split(','));
    expect(head).toEqual(['image', ...(exported.json().classNames as string[]), 'error']);
    expect(Number(row?.[1])).toBeCloseTo(first?.top[0]?.probability ?? 0, 6);
    const top = (await densec(['predict', model, ...files, '--top', '1', '--json', '--threads', '1'])).json();
    expect((top.predictions as { top: object[] }[]).map((each) => each.top.length)).toEqual([1, 1]);
  });
});

describe('numbers', () => {
  let events: Record<string, unknown>[];

  beforeAll(async () => {
    events = await train('numbers', 'numbers.csv', '--loss', 'huber', '--huber-delta', '0.5');
  });

  it('are trained, and the best weights are chosen by the loss', () => {
    const epochs = events.filter(({ event }) => event === 'epoch') as { validLoss: number; validError: number }[];
    const result = events.at(-1) as {
      bestEpoch: number;
      testError: number;
      testMetrics: { mae: number; rmse: number };
    };
    const losses = epochs.map(({ validLoss }) => validLoss);
    expect(result.bestEpoch).toBe(losses.indexOf(Math.min(...losses)) + 1);
    expect(result.testMetrics.mae).toBeCloseTo(result.testError, 5);
    expect(result.testMetrics.rmse).toBeGreaterThanOrEqual(result.testMetrics.mae);
    const lines = readFileSync(path('numbers', 'results.csv'), 'utf8').trim().split('\n');
    expect(lines[0]).toBe('epoch,train_loss,train_error,valid_loss,valid_error,test_error');
    expect(Number(lines.at(-1)?.split(',')[5])).toBeCloseTo(result.testError, 4);
    const report = readFileSync(path('numbers', 'report.html'), 'utf8');
    for (const text of ['Huber loss, delta 0.5', 'Mean absolute error', 'Test, by value'])
      expect(report).toContain(text);
  });

  it('are evaluated, exported and predicted under the names of their columns', async () => {
    const evaluated = await densec([
      'eval',
      ...best('numbers'),
      '--data',
      path('numbers.csv'),
      '--json',
      '--threads',
      '1',
    ]);
    const { testLoss, testMetrics, testOutputs } = events.at(-1) as Record<string, unknown>;
    expect(evaluated.json()).toMatchObject({ loss: testLoss, ...(testMetrics as object), values: testOutputs });
    const model = path('numbers', 'model.onnx');
    const exported = await densec(['export', ...best('numbers'), '-o', model, '--json']);
    expect(exported.json()).toMatchObject({ outputs: { predictions: ['N', 2] }, task: 'values' });
    const files = contents.map((_, index) => path('images', `${index}.png`)).slice(40);
    const told = (await densec(['predict', model, ...files, '--json', '--threads', '1'])).json();
    const predictions = told.predictions as { top: object[]; values: { name: string; value: number }[] }[];
    expect(predictions[0]?.values.map(({ name }) => name)).toEqual(['brightness', 'redness']);
    // What is predicted of the test images departs as eval says.
    const departures = predictions.flatMap(({ values }, at) => {
      const { red, light } = contents[40 + at] as Content;
      const wanted = [light ? 2 : 1, red ? -0.5 : 0.5];
      return values.map(({ value }, column) => Math.abs(value - (wanted[column] as number)));
    });
    const mean = departures.reduce((sum, each) => sum + each, 0) / departures.length;
    expect(mean).toBeCloseTo((testMetrics as { mae: number }).mae, 4);
    const csv = await densec(['predict', model, ...files, '--csv', '--threads', '1']);
    expect(csv.stdout.split('\n')[0]).toBe('image,brightness,redness,error');
    const top = await densec(['predict', model, ...files, '--top', '2']);
    expect([top.code, top.stderr]).toEqual([2, expect.stringMatching(/predicts numbers.*leave out --top/)]);
  });

  it('of one column alone are one output', async () => {
    const lines = await train('one', 'numbers.csv', '--loss', 'mse', '--targets', 'redness');
    const result = lines.at(-1) as { testLoss: number; testMetrics: { rmse: number }; testOutputs?: unknown };
    expect(result.testLoss).toBeCloseTo(result.testMetrics.rmse ** 2, 4);
    expect(result.testOutputs).toBeUndefined();
    const info = (await densec(['info', path('one', 'bundle'), '--json'])).json();
    expect(info).toMatchObject({ classes: 1, loss: { kind: 'mse' } });
    const facts = await densec(['info', path('one', 'bundle')]);
    expect(facts.stdout).toMatch(/values +1\b/);
    expect(facts.stdout).toMatch(/loss +mean squared error/);
  });
});

describe('class weights and label smoothing', () => {
  it('are counted from the images that are trained on, and part of the bundle', async () => {
    const weighted = ['--class-weights', 'balanced', '--label-smoothing', '0.1'];
    await train('weighted', 'classes.csv', ...weighted);
    const { loss } = (await densec(['info', path('weighted', 'bundle'), '--json'])).json();
    const red = contents.slice(0, 32).filter((content) => content.red).length;
    expect(loss).toEqual({
      kind: 'cross-entropy',
      classWeights: [32 / (2 * (32 - red)), 32 / (2 * red)],
      labelSmoothing: 0.1,
    });
    // Whatever the batch size: the mean of all images by their weights, not of batches.
    const evaluated = await Promise.all(
      ['1', '3', '8'].map((size) =>
        densec([
          'eval',
          ...best('weighted'),
          '--data',
          path('classes.csv'),
          '--batch-size',
          size,
          '--json',
          '--threads',
          '1',
        ]),
      ),
    );
    const [first, ...others] = evaluated.map((each) => each.json().loss as number);
    for (const other of others) expect(other).toBeCloseTo(first as number, 5);

    const same = await densec([
      'train',
      '--resume',
      '--save',
      path('weighted'),
      '--epochs',
      '3',
      ...weighted,
      '--threads',
      '1',
    ]);
    expect(same.code, same.stderr).toBe(0);
    const other = await densec([
      'train',
      '--resume',
      '--save',
      path('weighted'),
      '--epochs',
      '4',
      '--label-smoothing',
      '0.2',
    ]);
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringMatching(/goes on with its own loss, and --label-smoothing would change it \(.*0\.1.*0\.2.*\)/),
    ]);
  });

  it('may come from a file, by number or by name', async () => {
    writeFileSync(path('weights.txt'), '1\n2.5\n');
    writeFileSync(path('names.txt'), 'red,3\ngrey,0.5\n');
    const build = await densec([
      'build',
      ...network,
      '--classes',
      '2',
      '--class-weights',
      path('weights.txt'),
      '-o',
      path('b'),
      '--json',
    ]);
    expect(build.json().loss).toMatchObject({ classWeights: [1, 2.5] });
    await train('named', 'classes.csv', '--class-weights', path('names.txt'));
    expect((await densec(['info', path('named', 'bundle'), '--json'])).json().loss).toMatchObject({
      classWeights: [0.5, 3],
    });
  });

  it('balance labels that few images have', async () => {
    await train('positives', 'columns.csv', '--loss', 'bce', '--pos-weight', 'balanced');
    const { loss } = (await densec(['info', path('positives', 'bundle'), '--json'])).json();
    const trained = contents.slice(0, 32);
    const ratio = (has: (content: Content) => boolean): number =>
      trained.filter((c) => !has(c)).length / trained.filter(has).length;
    expect(loss).toEqual({ kind: 'bce', positiveWeights: [ratio(({ red }) => red), ratio(({ light }) => light)] });
  });
});

describe('a run of labels', () => {
  it('that is stopped and resumed ends in the same bits', async () => {
    await train('whole', 'listed.csv', '--loss', 'bce', '--optimizer', 'adamw', '--checkpoint-every', '2');
    const args = [
      'train',
      ...network,
      '--data',
      path('listed.csv'),
      '--save',
      path('halves'),
      '--epochs',
      '2',
      ...running,
    ];
    const cut = await densec([...args, '--loss', 'bce', '--optimizer', 'adamw', '--checkpoint-every', '2', '--json'], {
      onStdout: (text, kill) => {
        if (text.includes('"event":"epoch"')) kill('SIGINT');
      },
    });
    expect(cut.code, cut.stderr).toBe(130);
    const resumed = await densec(['train', '--resume', '--save', path('halves'), '--threads', '1', '--json']);
    expect(resumed.code, resumed.stderr).toBe(0);
    const [one, other] = await Promise.all(
      ['whole', 'halves'].map((save) => readSafetensors(path(save, 'last.safetensors'))),
    );
    expect(other?.tensors).toEqual(one?.tensors);
  });
});

describe('a bundle of another loss', () => {
  const bundle = path('bundle');

  beforeAll(async () => {
    const built = await densec([
      'build',
      ...network,
      '--classes',
      '3',
      '--loss',
      'l1',
      '--remat',
      'max',
      '-o',
      bundle,
      '--json',
    ]);
    expect(built.code, built.stderr).toBe(0);
  });

  it('is verified, planned and takes steps on targets of a file', async () => {
    const verified = await densec(['verify', bundle, '--json', '--threads', '1']);
    expect([verified.code, verified.json().ok]).toEqual([0, true]);
    expect((await densec(['plan', bundle, '--batch-size', '8', '--json'])).json()).toHaveProperty(
      'predictedLivePeakBytes',
    );
    const images = floatTensor(
      [2, 3, 8, 8],
      Array.from({ length: 384 }, () => random() - 0.5),
    );
    await writeSafetensors(
      path('batch'),
      new Map([
        ['images', images],
        ['targets', floatTensor([2, 3], [1, 2, 3, 4, 5, 6])],
      ]),
    );
    const step = [
      'step',
      bundle,
      '--state',
      `${bundle}/initial.safetensors`,
      '--lr',
      '0.1',
      '--steps',
      '3',
      '--threads',
      '1',
    ];
    const stepped = await densec([...step, '--batch', path('batch'), '--save', path('after'), '--json']);
    expect(stepped.code, stepped.stderr).toBe(0);
    const { losses, errors } = stepped.json() as { losses: number[]; errors: number[] };
    // The error of a regression is its mean absolute error, which is what l1 makes small.
    for (const [at, loss] of losses.entries()) expect(loss).toBeCloseTo(errors[at] as number, 5);
    expect(losses[2]).toBeLessThan(losses[0] as number);
    await writeSafetensors(
      path('labels'),
      new Map<string, TensorData>([
        ['images', images],
        ['labels', int64Tensor([2], [0, 1])],
      ]),
    );
    const refused = await densec([...step, '--batch', path('labels'), '--save', path('x')]);
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringMatching(
        /must hold images float32 .* and targets float32 \(N, 3\); it holds labels int64 \[2\]; images/,
      ),
    ]);
  });

  it('names its flags where it has to be built again', async () => {
    const other = path('other');
    await densec(['build', ...network, '--classes', '3', '--loss', 'huber', '--huber-delta', '2', '-o', other]);
    const compared = await densec(['verify', bundle, '--against', other]);
    expect([compared.code, compared.stderr]).toEqual([2, expect.stringMatching(/differ in their loss/)]);
  });
});

describe('what is refused', () => {
  const start = (...flags: string[]): Promise<{ code: number | null; stderr: string }> =>
    densec(['train', ...network, '--save', path('refused'), '--epochs', '1', ...running, ...flags]);

  it.each<[string, string[], number, RegExp]>([
    [
      'several labels without a loss for them',
      ['--data', 'listed.csv'],
      1,
      /'Light\|Red' is several labels|several labels.*--loss bce/,
    ],
    [
      'an option of another loss',
      ['--data', 'columns.csv', '--loss', 'bce', '--label-smoothing', '0.1'],
      2,
      /bce takes no --label-smoothing/,
    ],
    ['one class', ['--data', 'classes.csv', '--classes', '1'], 2, /classes is 1; .*at least 2/],
    [
      'weights for other classes',
      ['--data', 'classes.csv', '--class-weights', '1,2,3'],
      2,
      /3 class weights for 2 classes/,
    ],
    [
      'a weight of 0',
      ['--data', 'classes.csv', '--class-weights', '1,0'],
      2,
      /the weight of class 1 is 0; it must be above 0/,
    ],
    [
      'a file of weights that there is none',
      ['--data', 'classes.csv', '--class-weights', 'none.txt'],
      1,
      /--class-weights none.txt: .*'balanced', numbers/,
    ],
    [
      'columns that there are none',
      ['--data', 'columns.csv', '--loss', 'bce', '--targets', 'Blue'],
      2,
      /has no column Blue; its columns are Red, Light, patient/,
    ],
    [
      'numbers that are none',
      ['--data', 'columns.csv', '--loss', 'mse', '--targets', 'patient'],
      1,
      /line 2: patient is 'p0'; it must be a number/,
    ],
    [
      'labels that are numbers',
      ['--data', 'numbers.csv', '--loss', 'bce', '--targets', 'brightness'],
      1,
      /brightness is '2'; it must be 0 \(absent\) or 1/,
    ],
    [
      'labels that are nowhere',
      ['--data', 'numbers.csv', '--loss', 'bce'],
      1,
      /none of its other columns .* holds 0 or 1 in every row; .*--targets/,
    ],
    [
      'other outputs than targets',
      ['--data', 'columns.csv', '--loss', 'bce', '--classes', '5'],
      2,
      /has 2 labels for each image \(Red, Light\), the network tells 5; .*--classes 2/,
    ],
    [
      'classes where labels are wanted',
      ['--data', 'mnist', '--loss', 'bce'],
      2,
      /mnist gives each image a class, but labels are asked for/,
    ],
  ])('%s', async (_, flags, code, message) => {
    const given = flags.map((flag) => (flag.endsWith('.csv') ? path(flag) : flag));
    const result = await start(...given);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
  });

  it('balanced weights where nothing is trained', async () => {
    const result = await densec(['build', ...network, '--class-weights', 'balanced', '-o', path('none')]);
    expect([result.code, result.stderr]).toEqual([
      2,
      expect.stringMatching(/--class-weights balanced counts training images/),
    ]);
  });

  it('a table of classes for weights of labels', async () => {
    const other = ['eval', ...best('labels-listed.csv'), '--data', path('classes.csv')];
    const result = await densec(other);
    expect([result.code, result.stderr]).toEqual([
      1,
      expect.stringMatching(/the label grey, red is none of those that are told \(Light, Red\)/),
    ]);
  });
});
