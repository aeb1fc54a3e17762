/** @file densec predict: labels images with an exported model. */

import { stat } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { FailureError, RequestError } from '../../src/ir/index.js';
import { imagesBelow } from '../../src/runtime/data/folder-scan.js';
import { imageKinds } from '../../src/runtime/data/image-names.js';
import { type LabelledImage, labelBatch, labelFiles } from '../../src/runtime/deploy/label.js';
import { Predictor } from '../../src/runtime/deploy/predictor.js';
import { csvRow } from '../csv.js';
import { note, percent, printJson } from '../output.js';
import { wholeNumber } from '../parse.js';
import { addRunOptions, type RunFlags, sessionOptions } from '../shared.js';

interface Flags extends RunFlags {
  readonly batch?: string;
  readonly top?: number;
  readonly json?: boolean;
  readonly csv?: boolean;
}

const examples = `
A folder stands for the images in it and in the folders below, by name.

Examples:
  densec predict mnist.onnx digit.png --top 3
  densec predict photos.onnx holidays/*.jpg --json
  densec predict photos.onnx holidays --csv > holidays.csv`;

export function predictCommand(): Command {
  const command = new Command('predict')
    .description('Label images with a model that densec export wrote.')
    .argument('<model>', 'ONNX file that densec export wrote')
    .argument('[images...]', `image files: ${imageKinds}; or folders of them`)
    .option('--batch <file>', 'safetensors instead of image files: images float32 (N, C, H, W), normalized')
    .addOption(
      new Option(
        '--top <k>',
        'how many classes of each image, the likeliest first (default: 1; of labels all in their order)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        '--csv',
        'print CSV, a row an image: image, class, label, probability (of each of the likeliest classes), error; with labels or values a column for each',
      ).conflicts('json'),
    )
    .option(
      '--json',
      'print JSON: predictions (image, top: class, label, probability from 0 to 1; values: name, value), failed',
    );
  addRunOptions(command).addHelpText('after', examples);
  return command.action(async (path: string, images: string[], flags: Flags) => {
    const { batch, top, json, csv } = flags;
    if ((batch === undefined) === (images.length === 0)) {
      throw new RequestError('give either image files (or folders of them) or --batch FILE');
    }
    const files = await withoutFolders(images);
    const predictor = await Predictor.open(path, sessionOptions(flags));
    if (predictor.task === 'values' && top !== undefined) {
      await predictor.close();
      throw new RequestError(`${path} predicts numbers, of which none is likeliest; leave out --top`);
    }
    const predictions: LabelledImage[] = [];
    const table = csvTable(predictor, top);
    try {
      const labelled = batch === undefined ? labelFiles(predictor, files, top) : labelBatch(predictor, batch, top);
      for await (const prediction of labelled) {
        if (csv && predictions.length === 0) process.stdout.write(csvRow(table.header));
        predictions.push(prediction);
        if (csv) process.stdout.write(csvRow(table.cells(prediction)));
        if ('error' in prediction) note(prediction.error);
        else if (!json && !csv) show(prediction);
      }
    } finally {
      await predictor.close();
    }
    const failed = predictions.filter((prediction) => 'error' in prediction).length;
    if (json) printJson({ predictions, failed });
    if (failed > 0) {
      note(`${failed} of ${predictions.length} images could not be read`);
      process.exitCode = 1;
    }
  });
}

type Told = Exclude<LabelledImage, { readonly error: string }>;

/** Folders replaced by the images in them. @throws FailureError for a folder without any */
async function withoutFolders(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    // A file that is missing is told with its prediction.
    if (!(await stat(path).catch(() => undefined))?.isDirectory()) {
      files.push(path);
      continue;
    }
    const { files: below, notes } = await imagesBelow(path);
    for (const text of notes) note(text);
    if (below.length === 0) throw new FailureError(`${path}: there is no image in it or below; give image files`);
    for (const file of below) files.push(file);
  }
  return files;
}

function show({ image, top, values = [] }: Told): void {
  const classes = top.map(({ label, probability }) => `${label} ${percent(probability)}`);
  const numbers = values.map(({ name, value }) => `${name} ${Number(value.toPrecision(6))}`);
  process.stdout.write(`${image}  ${[...classes, ...numbers].join('  ')}\n`);
}

/** Predictions as a table: of classes the likeliest ones, of labels and values a column for each. */
function csvTable(
  { task, names, classes }: Predictor,
  top: number | undefined,
): { readonly header: string[]; cells(prediction: LabelledImage): (string | number)[] } {
  const isRanked = task === 'classes' || top !== undefined;
  const shown = Math.min(top ?? 1, classes);
  const columns = isRanked ? rankedColumns(shown) : names;
  return {
    header: ['image', ...columns, 'error'],
    cells: (prediction) => {
      if ('error' in prediction) return [prediction.image, ...columns.map(() => ''), prediction.error];
      return [prediction.image, ...(isRanked ? rankedCells(prediction) : numbersOf(prediction)), ''];
    },
  };
}

/** The columns' names: those of the second class end in _2, and so on. */
function rankedColumns(top: number): string[] {
  const names = (rank: number): string[] =>
    ['class', 'label', 'probability'].map((name) => (rank === 0 ? name : `${name}_${rank + 1}`));
  return Array.from({ length: top }, (_, rank) => names(rank)).flat();
}

function rankedCells({ top }: Told): (string | number)[] {
  return top.flatMap((candidate) => [candidate.class, candidate.label, candidate.probability]);
}

function numbersOf({ top, values }: Told): number[] {
  return values ? values.map(({ value }) => value) : top.map(({ probability }) => probability);
}
