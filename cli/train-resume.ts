/** @file densec train --resume: a run goes on, maybe with other options or another training model. */

import { densenet, type LossChoice, traceNetwork } from '../src/builders/index.js';
import { lossDifference, resolveLoss, taskOf } from '../src/builders/losses/index.js';
import { type Compiled, type CompileOptions, compileGraph } from '../src/compile.js';
import { FailureError, RequestError } from '../src/ir/index.js';
import type { OptimizerChoice } from '../src/passes/optimizers/index.js';
import type { Bundle } from '../src/runtime/bundle/bundle.js';
import { forwardGraph, lowerAgain } from '../src/runtime/bundle/replan.js';
import type { Dataset } from '../src/runtime/data/dataset.js';
import { dataMemory } from '../src/runtime/data/memory.js';
import { knownFrom } from '../src/runtime/data/record.js';
import { heldOut, trainedOn } from '../src/runtime/data/run-data.js';
import { refuseLocked } from '../src/runtime/files/run-lock.js';
import { TrainingRun } from '../src/runtime/run/begin.js';
import { differenceFrom, type OpenedRun, openRun } from '../src/runtime/run/bundle-in-place.js';
import { type Progress, readProgress } from '../src/runtime/run/checkpoint.js';
import { type TrainOptions, trainChoices } from '../src/runtime/run/options.js';
import { withOptions } from '../src/runtime/run/segments.js';
import { parseDevice } from '../src/runtime/session/devices.js';
import type { Processes } from '../src/runtime/session/mpi/processes.js';
import { defaultCosts } from '../src/targets/index.js';
import { memoryOption, tellBudget } from './budget.js';
import { readData } from './data.js';
import { attributeOf, chosen } from './flags.js';
import { lossChoice } from './loss.js';
import { note, warn } from './output.js';
import {
  type BuildFlags,
  buildFlagNames,
  changedOptimizer,
  lossFlagNames,
  networkConfig,
  networkFlagNames,
  optimizerFlagNames,
  optimizerOptions,
  rematFlagNames,
  rematOption,
} from './shared.js';
import { dataFallback, forDevice, type Given, place, sessionFlags, type TrainFlags } from './train-flags.js';

/** Whether a run is to go on that was begun before. */
export function goesOn({ resume, resumeFrom }: TrainFlags): boolean {
  return resume === true || resumeFrom !== undefined;
}

/** The device of the run that goes on. What is wrong with that run is told where it goes on. */
export async function deviceOfRun({ save, resumeFrom, device }: TrainFlags): Promise<string> {
  const progress = await readProgress(save, resumeFrom).catch(() => undefined);
  return progress?.running.device ?? device;
}

/**
 * Goes on with the run of a folder, with what the flags that are given change.
 * @param directory a bundle of the run's network to go on with
 * @throws RequestError where flags ask for what can't change
 */
export async function resumeRun(
  directory: string | undefined,
  flags: TrainFlags,
  given: Given,
  team: Processes | undefined,
): Promise<TrainingRun> {
  const { save, resumeFrom: from, checkpointEvery, keep } = flags;
  // The run's own command with --resume added is fine.
  if (flags.init !== undefined)
    note(`--init ${flags.init} is for the beginning of a run; this one goes on with its own`);
  await refuseLocked(save);
  const run = await openRun(save, from, directory);
  const { progress, bundle } = run;
  const { options } = progress;
  const said = Object.entries(chosen(trainChoices, flags)).filter(([key]) =>
    given(attributeOf(trainChoices[key as keyof typeof trainChoices])),
  );
  const told = Object.fromEntries(said) as Partial<typeof options>;
  // Reading the data may take long: what can't change is told before.
  withOptions(progress, told, save);
  const dataset = await readRunData(run, flags);
  const data = flags.data === undefined ? options.data : place(flags.data);
  refuseOtherShares(flags, progress, dataset);
  tellProcesses(options.processes ?? 1, team?.size ?? 1, flags.syncBatchNorm ?? bundle.manifest.syncBatchNorm ?? false);
  await refuseOtherLoss(flags, given, bundle, dataset, options);
  const batchSize = told.batchSize ?? options.batchSize;
  const lowered =
    (await compiledAnew(run, { ...flags, batchSize }, given, dataset, team !== undefined)) ??
    (directory === undefined ? undefined : bundle);
  return TrainingRun.resume(dataset, {
    ...told,
    ...{ save, from, data, lowered, checkpointEvery, keep, dataWorkers: flags.dataWorkers, onWait: note },
    allowOvercommit: flags.allowOvercommit,
    ...sessionFlags(flags, team),
    team,
  });
}

/** Takes part in the run that the first process begins or goes on with. */
export async function joinRun(flags: TrainFlags, team: Processes): Promise<TrainingRun> {
  await team.gather([]);
  const { save, dataWorkers } = flags;
  const dataset = await readRunData(await openRun(save), flags);
  return TrainingRun.join(dataset, { ...sessionFlags(flags, team), save, dataWorkers, team });
}

/** Tells what another number of processes means. */
function tellProcesses(before: number, now: number, syncBatchNorm: boolean): void {
  if (before === now) return;
  const norm = syncBatchNorm && now > 1 ? 'over all of them, as before' : 'each process by its own share of a step';
  note(
    `${now} ${now === 1 ? 'process goes' : 'processes go'} on with the run of ${before}: batch norm normalizes ${norm}; the epoch in progress keeps its steps, from the next one on a step has ${now} times --batch-size images`,
  );
}

/** The data that a run began with, where it is now. */
function readRunData({ progress, bundle }: OpenedRun, flags: TrainFlags): Promise<Dataset> {
  const { options } = progress;
  const [channels, imageSize, imageWidth] = bundle.manifest.inputShape;
  const { limit } = options;
  const data = flags.data === undefined ? options.data : place(flags.data);
  const known = knownFrom(progress.data);
  const task = taskOf(bundle.manifest.loss);
  const read = readData(data, channels, { ...flags, task, imageSize, imageWidth, limit, known });
  return read.catch((error: unknown) => {
    if (flags.data !== undefined || !(error instanceof FailureError)) throw error;
    throw new FailureError(`${error.message}; if the data of this run has moved, say where it is with --data`, {
      cause: error,
    });
  });
}

/** @throws RequestError for shares of images that are not those of the run */
function refuseOtherShares(
  { save, validShare, testShare }: TrainFlags,
  { options, data }: Progress,
  dataset: Dataset,
): void {
  const before = data?.split?.testShare;
  if (testShare !== undefined && testShare !== before) {
    throw new RequestError(
      `the run in ${save} was started with ${before === undefined ? 'test images of its own' : `--test-share ${before}`}, not ${testShare}; leave the flag out to resume it`,
    );
  }
  if (validShare !== undefined && heldOut(dataset, { validShare, limit: options.limit }) !== options.validSize) {
    throw new RequestError(
      `the run in ${save} holds out ${options.validSize} images, which is no share of ${validShare}; leave the flag out to resume it`,
    );
  }
}

/** @throws RequestError when the flags given with --resume describe another loss than the run's */
async function refuseOtherLoss(
  flags: TrainFlags,
  given: Given,
  { manifest: { loss: kept, classes: outputs } }: Bundle,
  dataset: Dataset,
  options: TrainOptions,
): Promise<void> {
  const told = lossFlagNames.filter(given);
  if (told.length === 0) return;
  const kind = flags.loss ?? (kept.kind === 'own' ? undefined : kept.kind);
  const data = { dataset, trainedOn: () => trainedOn(dataset, options), outputs };
  const asked = (await lossChoice(flags, data, kind)) as { readonly kind: string };
  const base = asked.kind === kept.kind ? kept : {};
  const difference = lossDifference(kept, resolveLoss({ ...base, ...asked } as LossChoice));
  if (difference === undefined) return;
  throw new RequestError(
    `the run in ${flags.save} goes on with its own loss, and ${told.map(flagOf).join(', ')} would change it (${difference}); leave them out to resume it, or begin a new run with --init`,
  );
}

/**
 * A run's network as the flags given with --resume ask for it; nothing where they ask for no other models.
 * @throws RequestError where they describe another network or optimizer
 */
async function compiledAnew(
  run: OpenedRun,
  flags: TrainFlags & { readonly batchSize: number },
  given: Given,
  dataset: Dataset,
  processes: boolean,
): Promise<Compiled | undefined> {
  const asked = modelsAskedFor(run, flags, given, processes);
  if (!asked) return undefined;
  const { bundle } = run;
  const { inputShape, loss, seed } = bundle.manifest;
  const isDescribed = networkFlagNames.some(given);
  const told = loss.kind === 'own' ? undefined : loss;
  const forward = isDescribed
    ? traceNetwork(densenet(networkConfig(flags, dataFallback(dataset, flags))), told)
    : forwardGraph(bundle);
  const data = dataMemory(dataset, inputShape, flags.dataWorkers);
  const budget = { ...flags, memoryBudget: asked.budget };
  const memory = await memoryOption(budget, flags.batchSize, forward, asked.options, data);
  const options = { ...asked.options, ...memory };
  const compiled = isDescribed ? compileGraph(forward, { ...options, loss: told, seed }) : lowerAgain(bundle, options);
  tellBudget(compiled);
  const difference = differenceFrom(run, compiled);
  if (difference === undefined) {
    for (const warning of compiled.warnings) warn(warning);
    return compiled;
  }
  throw new RequestError(
    `the run in ${flags.save} goes on with its own network and optimizer, and ${asked.flags.map(flagOf).join(', ')} would change ${difference}; leave them out to resume it, or begin a new run with --init`,
  );
}

/** What the flags given with --resume ask of a run's models. */
interface ModelsAskedFor {
  readonly options: Pick<
    CompileOptions,
    'target' | 'kernels' | 'processes' | 'syncBatchNorm' | 'remat' | 'optimizer' | 'freeze'
  >;
  readonly budget: BuildFlags['memoryBudget'];
  /** Names of those flags. */
  readonly flags: readonly string[];
}

/** How a run's network must be compiled for the flags given with --resume; nothing where its own models will do. */
function modelsAskedFor(
  { bundle: { manifest }, progress }: OpenedRun,
  flags: TrainFlags,
  given: Given,
  processes: boolean,
): ModelsAskedFor | undefined {
  const extra = buildFlagNames.filter((name) => given(name) && !lossFlagNames.includes(name));
  const isElsewhere =
    given('device') && parseDevice(flags.device).target !== parseDevice(progress.running.device).target;
  const { syncBatchNorm = processes && manifest.syncBatchNorm === true } = flags;
  const isOtherCount =
    processes !== (manifest.processes === true) || syncBatchNorm !== (manifest.syncBatchNorm === true);
  if (extra.length === 0 && !isElsewhere && !isOtherCount) return undefined;

  const placed = isElsewhere ? forDevice(flags, given) : flags;
  const target = given('target') || isElsewhere ? placed.target : manifest.target;
  const kernels = given('kernels') || target !== manifest.target ? placed.kernels : manifest.kernels;
  const remat = rematFlagNames.some(given) ? (rematOption(flags) ?? 'budget') : manifest.remat;
  // A run within a budget stays within it.
  const budget = remat === 'budget' ? (flags.memoryBudget ?? manifest.solver?.budgetBytes) : undefined;
  const isOnlyLowering = extra.every((name) => !networkFlagNames.includes(name) && !optimizerFlagNames.includes(name));
  const isSame =
    target === manifest.target &&
    kernels === manifest.kernels &&
    remat === manifest.remat &&
    flags.memoryBudget === undefined;
  // Without a budget another table is refused below.
  const isSameTable = flags.costs === undefined || (budget === undefined && flags.costs === defaultCosts);
  if (isOnlyLowering && isSame && isSameTable && !isOtherCount && flags.freeze === undefined) return undefined;
  return {
    options: {
      ...{ target, kernels, processes, syncBatchNorm },
      optimizer: optimizerAskedFor(manifest, flags, given),
      ...(remat !== 'custom' && remat !== 'budget' && { remat }),
      ...(flags.freeze && { freeze: flags.freeze }),
    },
    budget,
    flags: extra,
  };
}

/** A run's optimizer with the options that flags give it; or, where they name another kind, that one. */
function optimizerAskedFor({ optimizer: kept }: Bundle['manifest'], flags: TrainFlags, given: Given): OptimizerChoice {
  if (given('optimizer') && flags.optimizer !== kept.kind) return optimizerOptions(flags);
  // Without the defaults of switches.
  const isSaid = ([name]: [string, unknown]): boolean => !optimizerFlagNames.includes(name) || given(name);
  const said = Object.fromEntries(Object.entries(flags).filter(isSaid)) as unknown as TrainFlags;
  return changedOptimizer(kept, said);
}

/** A flag by the name that commander has for its value. */
function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
