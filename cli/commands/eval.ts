/** @file densec eval: loss and error of weights on a data set's test images or on a batch. */

import { Command, Option } from 'commander';
import { taskOf } from '../../src/builders/losses/index.js';
import { RequestError } from '../../src/ir/index.js';
import { type Bundle, openBundle } from '../../src/runtime/bundle/bundle.js';
import { checkClassNames, type DataDescription, decodeDescription } from '../../src/runtime/data/description.js';
import { checkDataset } from '../../src/runtime/data/network-data.js';
import { testBatches } from '../../src/runtime/data/run-data.js';
import { namedOutputs } from '../../src/runtime/model/metrics/index.js';
import { EvaluationModel } from '../../src/runtime/model/model.js';
import { readBatch } from '../../src/runtime/model/step.js';
import { loadWeights, requireFinite, type State } from '../../src/runtime/model/weights.js';
import { formatError } from '../../src/runtime/report/text.js';
import { type Evaluation, evaluateBatches } from '../../src/runtime/run/evaluation.js';
import { tasks } from '../../src/step/tasks.js';
import { confusionJson, showClasses } from '../class-tables.js';
import { addDataOptions, type DataFlags, dataHelp, readData } from '../data.js';
import { otherFigures, printOutputs } from '../figures.js';
import { grouped, printFacts, printJson } from '../output.js';
import { wholeNumber } from '../parse.js';
import { startProgress } from '../progress.js';
import { addRunOptions, type RunFlags, sessionOptions } from '../shared.js';
import { noteNames } from '../weights.js';

interface Flags extends DataFlags, RunFlags {
  readonly weights: string;
  readonly data?: string;
  readonly batch?: string;
  readonly batchSize: number;
  readonly json?: boolean;
}

const examples = `
Of a folder or CSV file without test images, what training with these weights set apart for the test is evaluated,
and everything where it is other data. Images are normalized as the weights say, where densec trained them; else by their training images.

Example:
  densec eval runs/mnist/bundle --weights runs/mnist/best.safetensors --data mnist`;

export function evalCommand(): Command {
  const command = new Command('eval')
    .description('Loss, error and metrics of weights on the test images of a data set, or on a batch from a file.')
    .argument('<dir>', 'bundle that densec build wrote, or bundle/ in the folder of a densec train')
    .requiredOption('--weights <file>', "safetensors: ours, or by the seed's or torchvision's names")
    .option('--data <source>', dataHelp)
    .option(
      '--batch <file>',
      'safetensors: images float32 (N, C, H, W), normalized; labels int64 (N), with other losses labels or targets float32 (N, K)',
    )
    .addOption(new Option('--batch-size <n>', 'images evaluated at once').argParser(wholeNumber(1)).default(64))
    .option(
      '--json',
      'print JSON: loss (mean), error (0 to 1; of a regression the mean absolute error), count; top5Error, classes (count and errors of each), confused (which was taken for which, most frequent first), and up to 100 classes their confusion matrix; meanAuc, meanF1 and labels; mae, rmse and values',
    );
  addRunOptions(addDataOptions(command)).addHelpText('after', examples);
  return command.action(async (directory: string, flags: Flags) => {
    if ((flags.data === undefined) === (flags.batch === undefined)) {
      throw new RequestError('give either --data SOURCE or --batch FILE');
    }
    const bundle = await openBundle(directory);
    const loaded = await loadWeights(flags.weights, bundle.manifest.state);
    const { state, metadata } = loaded;
    noteNames(flags.weights, loaded);
    requireFinite(state, flags.weights);
    const result =
      flags.batch === undefined
        ? await evaluateData(bundle, state, decodeDescription(metadata, flags.weights), flags.data as string, flags)
        : { evaluation: await evaluateFile(bundle, state, flags.batch, flags), classNames: undefined };
    const { evaluation } = result;
    const { loss, error, count, metrics, confusion } = evaluation;
    const task = taskOf(bundle.manifest.loss);
    const classNames = result.classNames ?? decodeDescription(metadata, flags.weights).classNames;
    const outputs = metrics.outputs && namedOutputs(metrics.outputs, classNames);
    if (flags.json) {
      const classes = confusion && confusionJson(confusion, classNames);
      printJson({ loss, error, count, ...metrics.summary, ...classes, ...(outputs && { [task]: outputs }) });
      return;
    }
    printFacts([
      ['loss', loss.toFixed(5)],
      [tasks[task].error, formatError(task, error)],
      ...otherFigures('', metrics.summary),
      ['images', grouped(count)],
    ]);
    if (outputs) printOutputs(outputs);
    if (confusion) showClasses(confusion, classNames);
  });
}

async function evaluateFile(bundle: Bundle, state: State, path: string, flags: RunFlags): Promise<Evaluation> {
  const batch = await readBatch(path, bundle, false);
  const model = await EvaluationModel.open(bundle, state, sessionOptions(flags));
  try {
    return await evaluateBatches(model, [batch]);
  } finally {
    await model.close();
  }
}

async function evaluateData(
  bundle: Bundle,
  state: State,
  description: DataDescription,
  source: string,
  flags: Flags,
): Promise<{ evaluation: Evaluation; classNames: readonly string[] | undefined }> {
  const [channels, imageSize, imageWidth] = bundle.manifest.inputShape;
  const { normalization, classNames, split } = description;
  const known = { normalization, classNames, split };
  const task = taskOf(bundle.manifest.loss);
  const dataset = await readData(source, channels, { ...flags, task, imageSize, imageWidth, parts: 'test', known });
  checkClassNames(description, dataset, flags.weights);
  checkDataset(dataset, bundle.manifest, source);
  const model = await EvaluationModel.open(bundle, state, sessionOptions(flags));
  const progress = startProgress('evaluating', dataset.test.count, 'images');
  try {
    const batches = testBatches(dataset, flags.batchSize, flags.dataWorkers);
    const evaluation = await evaluateBatches(model, batches, (done) => progress.update(done));
    return { evaluation, classNames: dataset.classNames };
  } finally {
    progress.stop();
    await model.close();
  }
}
