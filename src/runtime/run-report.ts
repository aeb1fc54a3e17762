/** @file The files that tell of a run: results.csv, curves.svg and report.html. */

import { join } from 'node:path';
import { writeFileAtomic } from './atomic-file.js';
import { runFiles } from './checkpoint.js';
import type { Augmentation, Dataset } from './data/dataset.js';
import { augments, isBatchSource } from './data/run-data.js';
import type { ImageCounts } from './data/source.js';
import { formatResults, type History } from './history.js';
import type { TrainContext, TrainOptions } from './train-events.js';

/** Writes the files that tell of a run so far. @throws FailureError when the disk refuses */
export async function writeRunReport(
  history: History,
  options: TrainOptions,
  context: TrainContext,
  images: ImageCounts,
): Promise<void> {
  const { bundle, dataset, save, forecast } = context;
  await writeFileAtomic(join(save, runFiles.results), formatResults(history));
  // The plotting libraries take longer to load than most commands to run.
  const { renderCurves, renderReport } = await import('./report/index.js');
  await writeFileAtomic(join(save, runFiles.curves), renderCurves(history));
  const title = `${bundle.manifest.name} on ${dataset.name}`;
  const configuration = describeRun(options, context, images);
  const epochs = options.epochs;
  await writeFileAtomic(join(save, runFiles.report), renderReport({ title, epochs, history, configuration, forecast }));
}

function describeRun(
  { data, epochs, batchSize, learningRate, schedule, warmup, validSize, limit, seed, augment }: TrainOptions,
  { bundle, dataset, device, threads }: TrainContext,
  { training, validation, test }: ImageCounts,
): [string, string][] {
  const { name, parameters, inputShape, remat, optimizer, densec, onnxruntime } = bundle.manifest;
  return [
    ['network', name],
    ['parameters', parameters.toLocaleString('en')],
    ['input', `N × ${inputShape.join(' × ')}`],
    ['recomputed in the backward pass', remat === 'none' ? 'nothing' : remat],
    ['data', dataset.name === data ? data : `${dataset.name} (${data})`],
    [
      'training / validation / test images',
      [training, validation, test].map((n) => n.toLocaleString('en')).join(' / '),
    ],
    ...(isBatchSource(dataset) ? [] : describeImages(dataset, augment)),
    ['epochs', String(epochs)],
    ['batch size', String(batchSize)],
    ...(optimizer.accumulate > 1 ? [['batches an update', String(optimizer.accumulate)] as [string, string]] : []),
    [
      'learning rate',
      `${learningRate}, ${schedule}${warmup > 0 ? `, warm-up over ${warmup} ${warmup === 1 ? 'epoch' : 'epochs'}` : ''}`,
    ],
    ['optimizer', describeOptimizer(optimizer)],
    ['held out for validation', String(validSize)],
    ...(limit === undefined ? [] : [['limit', String(limit)] as [string, string]]),
    ['seed', String(seed)],
    ['device', `${device?.target ?? 'cpu'}${threads === undefined ? '' : `, ${threads} threads`}`],
    ['versions', `densec ${densec}, onnxruntime ${onnxruntime}`],
  ];
}

/** What becomes of images before a step gets them. */
function describeImages(dataset: Dataset, told: boolean | undefined): [string, string][] {
  const { augmentation, skipped = [] } = dataset;
  const left = skipped.length > 0 ? [['images left out, unreadable', String(skipped.length)] as [string, string]] : [];
  return [['augmentation', augments(dataset, told) ? augmentationNames[augmentation] : 'none'], ...left];
}

const augmentationNames: Readonly<Record<Augmentation, string>> = {
  crop: 'crops within 4 black pixels around',
  'crop-flip': 'crops within 4 black pixels around, flips',
  'resized-crop-flip': 'parts of 8 to 100 % of the image, scaled, flips',
  none: 'none',
};

/** An optimizer with its options in words. */
export function describeOptimizer(optimizer: TrainContext['bundle']['manifest']['optimizer']): string {
  const { weightDecay, decayNormBias, accumulate } = optimizer;
  const own =
    optimizer.kind === 'adamw'
      ? [`betas ${optimizer.betas.join(' and ')}`, `epsilon ${optimizer.epsilon}`]
      : [`momentum ${optimizer.momentum}${optimizer.nesterov ? ' (Nesterov)' : ''}`];
  const decay = `weight decay ${weightDecay}${decayNormBias ? '' : ' (none on norms and biases)'}`;
  const batches = accumulate > 1 ? [`an update every ${accumulate} batches`] : [];
  return [optimizer.kind, ...own, decay, ...batches].join(', ');
}
