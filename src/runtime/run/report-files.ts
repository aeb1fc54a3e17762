/** @file The files that tell of a run: results.csv, metrics.csv, curves.svg and report.html. */

import { join } from 'node:path';
import { describeLoss, taskOf } from '../../builders/losses/index.js';
import { describeOptimizer } from '../../passes/optimizers/index.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Augmentation, Dataset } from '../data/dataset.js';
import { augments, isBatchSource } from '../data/run-data.js';
import type { ImageCounts } from '../data/source.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { scores } from '../model/metrics/index.js';
import { formatMetrics, formatResults, type History } from '../report/history.js';
import { describeRuntime, runtimeChoice } from '../session/runtime-choice.js';
import { type Progress, runFiles } from './checkpoint.js';
import type { TrainContext } from './events.js';
import { type TrainOptions, trainChoices } from './options.js';
import { describeChange, segmentChanges } from './segments.js';

/** Writes the files that tell of a run so far. @throws FailureError when the disk refuses */
export async function writeRunReport(
  history: History,
  progress: Progress,
  context: TrainContext,
  images: ImageCounts,
): Promise<void> {
  const { bundle, dataset, save, forecast } = context;
  const names = isBatchSource(dataset) ? undefined : dataset.classNames;
  const told: History = { ...history, task: taskOf(bundle.manifest.loss), names };
  await writeFileAtomic(join(save, runFiles.results), formatResults(told));
  await writeFileAtomic(join(save, runFiles.metrics), formatMetrics(told));
  // The plotting libraries take longer to load than most commands to run.
  const { renderCurves, renderReport } = await import('../report/index.js');
  await writeFileAtomic(join(save, runFiles.curves), renderCurves(told));
  const title = `${bundle.manifest.name} on ${dataset.name}`;
  const runtime = describeRuntime(await runtimeChoice());
  const configuration = describeRun(progress, context, images, runtime);
  const { epochs } = progress.options;
  const content = { title, epochs, history: told, configuration, forecast };
  await writeFileAtomic(join(save, runFiles.report), renderReport(content));
}

function describeRun(
  progress: Progress,
  { bundle, dataset, device, threads, team, processWaits }: TrainContext,
  { training, validation, test }: ImageCounts,
  runtime: string,
): [string, string][] {
  const { options } = progress;
  const { data, augment } = options;
  const { name, parameters, inputShape, remat, optimizer, loss, densec, onnxruntime } = bundle.manifest;
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
    ...describeChosen(options),
    ...describeChanges(progress),
    ['loss', describeLoss(loss)],
    ['best weights chosen by', scores[taskOf(loss)].name],
    ...describeProcesses(bundle, team, processWaits?.()),
    ['optimizer', describeOptimizer(optimizer)],
    ['device', `${device?.target ?? 'cpu'}${threads === undefined ? '' : `, ${threads} threads`}`],
    ['versions', `densec ${densec}, onnxruntime ${onnxruntime}`],
    ['runtime', runtime],
  ];
}

/** What was chosen of a run, or follows from the data. Whether images are augmented is told with the images. */
function describeChosen(options: TrainOptions): [string, string][] {
  const { augment: _, ...choices } = trainChoices;
  const values: Readonly<Record<string, unknown>> = options;
  return Object.entries(choices).flatMap(([key, { name }]): [string, string][] =>
    values[key] === undefined ? [] : [[name, String(values[key])]],
  );
}

/** How several processes take a step together, and what of the time each has spent in sums over all. */
function describeProcesses(
  { manifest }: Bundle,
  team: TrainContext['team'],
  waits: readonly number[] = [],
): [string, string][] {
  if (!team) return [];
  return [
    ['processes meet by', team.mpiVersion],
    ['batch norm normalizes', manifest.syncBatchNorm ? 'over all processes' : 'each process by its own images'],
    [
      'waiting for each other, by process',
      waits.map((share, rank) => `${rank}: ${(100 * share).toFixed(1)} %`).join(', '),
    ],
  ];
}

/** What the run went on with otherwise than it began. */
function describeChanges(progress: Progress): [string, string][] {
  const segments = segmentChanges(progress).map((each): [string, string] => [
    `changed from epoch ${each.epoch} on`,
    describeChange(each),
  ]);
  const models = progress.relowered.map(({ epoch, batch, change }): [string, string] => [
    `compiled anew in epoch ${epoch + 1}, after batch ${batch}`,
    change,
  ]);
  return [...segments, ...models];
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
