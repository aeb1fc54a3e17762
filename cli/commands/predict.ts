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
  readonly top: number;
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
      new Option('--top <k>', 'how many classes of each image, the likeliest first')
        .argParser(wholeNumber(1))
        .default(1),
    )
    .addOption(
      new Option(
        '--csv',
        'print CSV, a row an image: image, class, label, probability (of each of the likeliest classes), error',
      ).conflicts('json'),
    )
    .option('--json', 'print JSON: predictions (image, top: class, label, probability from 0 to 1), failed');
  addRunOptions(command).addHelpText('after', examples);
  return command.action(async (path: string, images: string[], flags: Flags) => {
    const { batch, top, json, csv } = flags;
    if ((batch === undefined) === (images.length === 0)) {
      throw new RequestError('give either image files (or folders of them) or --batch FILE');
    }
    const files = await withoutFolders(images);
    const predictor = await Predictor.open(path, sessionOptions(flags));
    const predictions: LabelledImage[] = [];
    const shown = Math.min(top, predictor.classes);
    try {
      const labelled = batch === undefined ? labelFiles(predictor, files, top) : labelBatch(predictor, batch, top);
      for await (const prediction of labelled) {
        if (csv && predictions.length === 0) process.stdout.write(csvRow(csvHeader(shown)));
        predictions.push(prediction);
        if (csv) process.stdout.write(csvRow(csvCells(prediction, shown)));
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

function show({ image, top }: Exclude<LabelledImage, { readonly error: string }>): void {
  const classes = top.map(({ label, probability }) => `${label} ${percent(probability)}`);
  process.stdout.write(`${image}  ${classes.join('  ')}\n`);
}

/** The columns' names: those of the second class end in _2, and so on. */
function csvHeader(top: number): string[] {
  const names = (rank: number): string[] =>
    ['class', 'label', 'probability'].map((name) => (rank === 0 ? name : `${name}_${rank + 1}`));
  return ['image', ...Array.from({ length: top }, (_, rank) => names(rank)).flat(), 'error'];
}

function csvCells(prediction: LabelledImage, top: number): (string | number)[] {
  if ('error' in prediction) return [prediction.image, ...new Array<string>(3 * top).fill(''), prediction.error];
  const cells = prediction.top.flatMap((candidate) => [candidate.class, candidate.label, candidate.probability]);
  return [prediction.image, ...cells, ''];
}
