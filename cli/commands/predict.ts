/** @file densec predict: labels images with an exported model. */

import { Command, Option } from 'commander';
import { RequestError } from '../../src/ir/index.js';
import { type LabelledImage, labelBatch, labelFiles } from '../../src/runtime/deploy/label.js';
import { Predictor } from '../../src/runtime/deploy/predictor.js';
import { note, percent, printJson } from '../output.js';
import { wholeNumber } from '../parse.js';
import { addRunOptions, type RunFlags, sessionOptions } from '../shared.js';

interface Flags extends RunFlags {
  readonly batch?: string;
  readonly top: number;
  readonly json?: boolean;
}

const examples = `
Examples:
  densec predict mnist.onnx digit.png --top 3
  densec predict photos.onnx holidays/*.jpg --json`;

export function predictCommand(): Command {
  const command = new Command('predict')
    .description('Label images with a model that densec export wrote.')
    .argument('<model>', 'ONNX file that densec export wrote')
    .argument('[images...]', 'image files: JPEG, PNG, WebP, GIF (the first picture), TIFF')
    .option('--batch <file>', 'safetensors instead of image files: images float32 (N, C, H, W), normalized')
    .addOption(
      new Option('--top <k>', 'how many classes of each image, the likeliest first')
        .argParser(wholeNumber(1))
        .default(1),
    )
    .option('--json', 'print JSON: predictions (image, top: class, label, probability from 0 to 1), failed');
  addRunOptions(command).addHelpText('after', examples);
  return command.action(async (path: string, images: string[], flags: Flags) => {
    const { batch, top, json } = flags;
    if ((batch === undefined) === (images.length === 0)) {
      throw new RequestError('give either image files or --batch FILE');
    }
    const predictor = await Predictor.open(path, sessionOptions(flags));
    const predictions: LabelledImage[] = [];
    try {
      const labelled = batch === undefined ? labelFiles(predictor, images, top) : labelBatch(predictor, batch, top);
      for await (const prediction of labelled) {
        predictions.push(prediction);
        if ('error' in prediction) note(prediction.error);
        else if (!json) show(prediction);
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

function show({ image, top }: Exclude<LabelledImage, { readonly error: string }>): void {
  const classes = top.map(({ label, probability }) => `${label} ${percent(probability)}`);
  process.stdout.write(`${image}  ${classes.join('  ')}\n`);
}
