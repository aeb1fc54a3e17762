/** @file densec export: trained weights become a model to deploy. */

import { stat } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { taskOf } from '../../src/builders/losses/index.js';
import { FailureError, RequestError } from '../../src/ir/index.js';
import { openBundle } from '../../src/runtime/bundle/bundle.js';
import { forwardGraph } from '../../src/runtime/bundle/replan.js';
import { type DataDescription, decodeDescription, withAllNames } from '../../src/runtime/data/description.js';
import { exportModel } from '../../src/runtime/deploy/export.js';
import { readTextFile } from '../../src/runtime/files/text-file.js';
import { loadWeights, requireFinite } from '../../src/runtime/model/weights.js';
import { megabytes, note, printFacts, printJson } from '../output.js';
import { finiteNumbers, wholeNumber } from '../parse.js';
import { noteNames } from '../weights.js';

interface Flags {
  readonly weights: string;
  readonly output: string;
  readonly mean?: number[];
  readonly std?: number[];
  readonly resize?: number;
  readonly labels?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function exportCommand(): Command {
  return new Command('export')
    .description(
      'Write a trained network as one ONNX model: weights inside, batch norm folded, images in; logits and probabilities out, or the numbers of a regression.',
    )
    .argument('<dir>', 'bundle that densec build wrote, or bundle/ in the folder of a densec train')
    .requiredOption('--weights <file>', "safetensors: ours, or by the seed's or torchvision's names")
    .requiredOption('-o, --output <file>', 'ONNX file to write')
    .addOption(
      new Option('--mean <a,b,c>', "mean of each channel, black 0 and white 1 (default: the weights')").argParser(
        finiteNumbers,
      ),
    )
    .addOption(
      new Option('--std <a,b,c>', "deviation of each channel, likewise (default: the weights')").argParser(
        finiteNumbers,
      ),
    )
    .addOption(
      new Option(
        '--resize <n>',
        "shorter side of image files in pixels before the middle is cut out (default: the weights', else the network's size)",
      ).argParser(wholeNumber(1)),
    )
    .option('--labels <file>', "names of the classes (labels, values), one a line (default: the weights')")
    .option('--force', 'replace the file')
    .option('--json', 'print JSON: output, bytes, inputs, outputs, normalization, classNames')
    .addHelpText('after', help)
    .action(async (directory: string, flags: Flags) => {
      await refuseExisting(flags);
      const bundle = await openBundle(directory);
      const forward = forwardGraph(bundle);
      const { inputShape, classes, loss } = bundle.manifest;
      const task = taskOf(loss);
      const outputs = task === 'values' ? ['predictions'] : ['logits', 'probabilities'];
      const loaded = await loadWeights(flags.weights, bundle.manifest.state);
      const { state, metadata } = loaded;
      noteNames(flags.weights, loaded);
      requireFinite(state, flags.weights);
      const description = await describe(flags, withAllNames(decodeDescription(metadata, flags.weights), classes));
      await exportModel(flags.output, forward, state, description);
      const { size: bytes } = await stat(flags.output);
      note(`wrote ${flags.output}`);
      if (description.normalization === undefined) {
        note("The weights don't say how images are normalized; densec predict needs --mean and --std here.");
      }
      if (flags.json) {
        printJson({
          output: flags.output,
          bytes,
          inputs: { images: ['N', ...inputShape] },
          outputs: Object.fromEntries(outputs.map((name) => [name, ['N', classes]])),
          ...description,
          split: undefined,
        });
        return;
      }
      printFacts([
        ['images', `[N, ${inputShape.join(', ')}]`],
        [outputs.join(', '), `[N, ${classes}]`],
        ['size', megabytes(bytes)],
        ['mean', description.normalization?.mean.join(', ') ?? 'unknown'],
        ['deviation', description.normalization?.std.join(', ') ?? 'unknown'],
        [`names of ${task}`, description.classNames ? 'inside' : 'none'],
      ]);
    });
}

const help = `
Input: images float32 (N, C, H, W), where each value is (pixel / 255 − mean) / deviation.

Examples:
  densec export runs/mnist/bundle --weights runs/mnist/best.safetensors -o mnist.onnx
  densec export densenet121 --weights densenet121.safetensors \\
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --resize 256 --labels imagenet.txt -o densenet121.onnx`;

async function refuseExisting({ output, force }: Flags): Promise<void> {
  const exists = await stat(output).then(
    () => true,
    () => false,
  );
  if (exists && !force) {
    throw new FailureError(`${output} exists already; choose another name, or --force to replace it`);
  }
}

/** What the weights say of their data, and the flags instead where they are given. */
async function describe({ mean, std, resize, labels }: Flags, known: DataDescription): Promise<DataDescription> {
  if ((mean === undefined) !== (std === undefined)) {
    throw new RequestError(`--${mean ? 'mean' : 'std'} is given alone; give both --mean and --std`);
  }
  const zero = std?.find((value) => value <= 0);
  if (zero !== undefined) throw new RequestError(`--std holds ${zero}; deviations must be above 0`);
  return {
    ...known,
    ...(mean && std && { normalization: { mean, std } }),
    ...(resize !== undefined && { resize }),
    ...(labels !== undefined && { classNames: await readLabels(labels) }),
  };
}

async function readLabels(path: string): Promise<string[]> {
  return (await readTextFile(path)).trimEnd().split(/\r\n?|\n/);
}
