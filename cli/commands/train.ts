/** @file densec train: from a network and a data set to trained weights. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import pc from 'picocolors';
import {
  type DenseNet,
  type DenseNetOptions,
  densenet,
  type LossChoice,
  traceNetwork,
} from '../../src/builders/index.js';
import { lossDifference, resolveLoss, taskOf } from '../../src/builders/losses/index.js';
import { type Compiled, compileGraph } from '../../src/compile.js';
import { FailureError, RequestError } from '../../src/ir/index.js';
import { type OptimizerChoice, optimizerNames, optimizers } from '../../src/passes/optimizers/index.js';
import { type Bundle, openBundle } from '../../src/runtime/bundle/bundle.js';
import { forwardGraph, lowerAgain } from '../../src/runtime/bundle/replan.js';
import type { Dataset } from '../../src/runtime/data/dataset.js';
import { dataMemory } from '../../src/runtime/data/memory.js';
import { knownFrom } from '../../src/runtime/data/record.js';
import { defaultValidSize, heldOut, imageNotes, trainedOn } from '../../src/runtime/data/run-data.js';
import { refuseLocked } from '../../src/runtime/files/run-lock.js';
import { freeMemory } from '../../src/runtime/measure/free-memory.js';
import { describeMemory } from '../../src/runtime/measure/memory-advice.js';
import { readState } from '../../src/runtime/model/state.js';
import { loadInitialWeights, type State } from '../../src/runtime/model/weights.js';
import { TrainingRun } from '../../src/runtime/run/begin.js';
import { differenceFrom, type OpenedRun, openRun } from '../../src/runtime/run/bundle-in-place.js';
import type { Progress } from '../../src/runtime/run/checkpoint.js';
import type { ResultEvent } from '../../src/runtime/run/events.js';
import { type TrainOptions, trainChoices, trainDefaults } from '../../src/runtime/run/options.js';
import { describeChange, withOptions } from '../../src/runtime/run/segments.js';
import { missingLibrary } from '../../src/runtime/session/cuda/libraries.js';
import { parseDevice } from '../../src/runtime/session/devices.js';
import type { Processes } from '../../src/runtime/session/mpi/processes.js';
import type { SessionOptions } from '../../src/runtime/session/session.js';
import { memoryOption, tellBudget } from '../budget.js';
import { addDataOptions, type DataFlags, dataHelp, readData } from '../data.js';
import { dryRun, linkSpeed } from '../dry-run.js';
import { addChoices, attributeOf, chosen } from '../flags.js';
import { lossChoice, taskOfFlags } from '../loss.js';
import { note, warn } from '../output.js';
import { finiteNumber, wholeNumber } from '../parse.js';
import {
  deviceOf,
  failTogether,
  joinProcesses,
  launchProcesses,
  mustLaunch,
  onLauncherStop,
  type ProcessFlags,
} from '../processes.js';
import { drawsBars } from '../progress.js';
import {
  addBuildOptions,
  addRunOptions,
  addSeedOption,
  type BuildFlags,
  buildFlagNames,
  compileOptions,
  groupedBy,
  inWords,
  lossFlagNames,
  networkConfig,
  networkFlagNames,
  optimizerFlagNames,
  optimizerOptions,
  type RunFlags,
  rematFlagNames,
  rematOption,
  sessionOptions,
} from '../shared.js';
import { jsonReporter, lineReporter, silentReporter, terminalReporter } from '../train-reporters.js';
import { noteNames } from '../weights.js';

interface Flags extends BuildFlags, DataFlags, RunFlags, ProcessFlags {
  readonly data?: string;
  readonly save: string;
  readonly init?: string;
  readonly validShare?: number;
  readonly testShare?: number;
  readonly limit?: number;
  readonly seed: number;
  readonly checkpointEvery?: number;
  readonly keep?: number;
  readonly printFreq: number;
  readonly resume?: boolean;
  readonly resumeFrom?: string;
  readonly force?: boolean;
  readonly syncBatchNorm?: boolean;
  readonly dryRun?: boolean;
  readonly link: number;
  readonly allowOvercommit?: boolean;
  readonly json?: boolean;
}

/** What the data set decides where no flag does. */
const dataDefaults = {
  classes: 'as many as the data has; with --arch 1000',
  imageSize: "the data's, 32 for image files; with --arch 224",
};

const examples = `
Examples:
  densec train --depth 22 --growth-rate 8 --data mnist --epochs 1 --save runs/mnist
  densec train --depth 100 --data cifar-10-batches-bin --save runs/cifar
  densec train --arch densenet121 --classes 5 --data photos --init densenet121.safetensors --freeze features \\
    --batch-size 32 --lr 0.01 --epochs 10 --save runs/photos
  densec train --resume --save runs/cifar
  densec train --resume --save runs/cifar --epochs 350 --lr 0.01 --schedule cosine`;

/** Height and width of an architecture's images, unless told. */
const architectureSize = 224;

export function trainCommand(): Command {
  const command = new Command('train')
    .description('Train a bundle, or a network built from flags, and test its best weights.')
    .argument('[dir]', 'bundle that densec build wrote; without it the flags below describe the network')
    .optionsGroup('Data and files:')
    .option('--data <source>', dataHelp)
    .option(
      '--save <dir>',
      'folder for weights, checkpoints, the bundle, results.csv, curves.svg and report.html (required)',
    )
    .option(
      '--init <file>',
      "weights to begin with: ours, or by the seed's or torchvision's names (default: random ones by --seed)",
    )
    .addOption(
      new Option('--checkpoint-every <n>', 'save every n steps too (default: after each epoch)').argParser(
        wholeNumber(1),
      ),
    )
    .addOption(
      new Option('--keep <n>', 'checkpoints to keep, the older ones in checkpoints/ (default: 1)').argParser(
        wholeNumber(1),
      ),
    )
    .option(
      '--resume',
      'go on from the last checkpoint in the folder, after Ctrl-C, a kill or the end; other flags are needed only for what is to change from the next epoch on, as in --epochs 10 --lr 0.01',
    )
    .option('--resume-from <file>', 'go on from an earlier checkpoint')
    .option('--force', 'replace the run that the folder holds')
    .option('--allow-overcommit', 'start although a step alone needs more memory than is free')
    .option(
      '--sync-batch-norm',
      "several processes: batch norm normalizes by the images of all (default: by each process's own)",
    )
    .addOption(
      new Option('--timeout <seconds>', 'how long a process waits for the others of its run before it gives up')
        .argParser(wholeNumber(1))
        .default(600),
    )
    .addOption(
      new Option(
        '--collective <library>',
        'what sums between the cards of several processes: nccl, or mpi through the host (default: nccl where it loads)',
      ).choices(['nccl', 'mpi']),
    )
    .option('--dry-run', 'train nothing: predict the step of --processes N, by the cost table and --link')
    .addOption(
      new Option('--link <speed>', 'with --dry-run: what lies between two processes')
        .argParser(linkSpeed)
        .default(10e9, '10GB/s'),
    )
    .option('--json', 'print a JSON object a line for each event, the result last')
    .addOption(
      new Option('--print-freq <n>', 'steps from line to line where stderr is no terminal')
        .argParser(wholeNumber(1))
        .default(50),
    )
    .optionsGroup('Training:');
  const { seed: seedChoice, ...choices } = trainChoices;
  addChoices(command, choices, {
    ...inWords(trainDefaults),
    learningRate: groupedBy(
      optimizerNames,
      optimizerNames.map((kind) => String(optimizers[kind].learningRate)),
    ),
    validSize: `a tenth, at most ${defaultValidSize}; none where there is a val/`,
    limit: 'all',
    processes: 'one',
    ...{ lrFactor: '0.1', lrEvery: '30', lrPatience: '10', lrMin: '0', patience: 'none: all epochs are trained' },
    augment: 'yes, but not for IDX and SVHN',
    colorJitter: 'none',
  });
  command
    .addOption(
      new Option(
        '--valid-share <x>',
        'instead of --valid-size: share of the training images, or of all where they have no parts, as in 0.1',
      ).argParser(finiteNumber),
    )
    .addOption(
      new Option(
        '--test-share <x>',
        'share of each class set apart for the test where the data has no test images, by --seed (default: 0.1; 0 tests nothing)',
      ).argParser(finiteNumber),
    );
  addDataOptions(command);
  addRunOptions(addBuildOptions(addSeedOption(command, seedChoice.help), dataDefaults));
  command.addHelpText('after', examples);
  return command.action(async (directory: string | undefined, told: Flags, parsed: Command) => {
    const given = (name: string): boolean => parsed.getOptionValueSource(name) === 'cli';
    if (told.dryRun) return dryRun(directory, told);
    if ((told.save as string | undefined) === undefined) {
      throw new RequestError("--save DIR is missing: the run's folder, for weights, checkpoints and results");
    }
    const flags = goesOn(told) && !given('device') ? { ...told, device: await deviceOfRun(told) } : told;
    if (mustLaunch(flags)) {
      process.exitCode = await launchProcesses(flags);
      return;
    }
    const team = await joinProcesses(flags);
    if (flags.memoryBudget === 'free' && team) {
      throw new RequestError(
        '--memory-budget free is for one process, and several share what is free; give a size for each, as in 400MB',
      );
    }
    if (flags.syncBatchNorm && !team) {
      throw new RequestError('--sync-batch-norm is for several processes; add --processes N, or leave it out');
    }
    if (!team) return train(directory, flags, given, undefined);
    try {
      await train(directory, flags, given, team);
      await team.finish();
    } catch (error) {
      await failTogether(team, error);
    }
  });
}

async function train(
  directory: string | undefined,
  flags: Flags,
  given: (name: string) => boolean,
  team: Processes | undefined,
): Promise<void> {
  const begin = goesOn(flags) ? resumed : begun;
  const run = team && team.rank > 0 ? await joined(flags, team) : await begin(directory, flags, given, team);
  for (const change of run.changes) note(`from epoch ${change.epoch}: ${describeChange(change)}`);
  const stopWatching = watchInterrupts(() => run.stop());
  if (team?.rank === 0) onLauncherStop(stopNoted(() => run.stop()));
  if (!team || team.rank === 0) tellMemory(run);
  const task = taskOf(run.bundle.manifest.loss);
  const reporter =
    team && team.rank > 0
      ? silentReporter()
      : flags.json
        ? jsonReporter()
        : drawsBars()
          ? terminalReporter(task)
          : lineReporter(flags.printFreq, task);
  let result: ResultEvent;
  try {
    result = await run.run((event) => reporter.show(event));
  } finally {
    reporter.stop();
    stopWatching();
  }
  if (result.stoppedEarly) {
    note(`ended after epoch ${result.epochs}: the validation error has not fallen since epoch ${result.bestEpoch}`);
  }
  if (!result.interrupted) return;
  note(
    `${pc.yellow('interrupted')} and saved after step ${result.steps}: go on with densec train --resume --save ${flags.save}`,
  );
  process.exitCode = 130;
}

/** Whether a run is to go on that was begun before. */
function goesOn({ resume, resumeFrom }: Flags): boolean {
  return resume === true || resumeFrom !== undefined;
}

/** The device of the run that goes on. What is wrong with that run is told where it goes on. */
async function deviceOfRun({ save, resumeFrom, device }: Flags): Promise<string> {
  const run = await openRun(save, resumeFrom).catch(() => undefined);
  return run?.progress.running.device ?? device;
}

/** Takes part in the run that the first process begins or goes on with. */
async function joined(flags: Flags, team: Processes): Promise<TrainingRun> {
  await team.gather([]);
  const { save, dataWorkers } = flags;
  const dataset = await readRunData(await openRun(save), flags);
  return TrainingRun.join(dataset, { ...sessionFlags(flags, team), save, dataWorkers, team });
}

/** Session options from flags; several processes share the cores of their host. */
function sessionFlags(flags: Flags, team: Processes | undefined): SessionOptions {
  const options = { ...sessionOptions(flags), device: deviceOf(flags.device, team) };
  if (!team || options.threads !== undefined) return options;
  return { ...options, threads: Math.max(1, Math.floor(availableParallelism() / team.onHost)) };
}

/** Tells what a run will need of memory, and warns where that is more than is free. */
function tellMemory({ memory }: TrainingRun): void {
  if (!memory.forecast) {
    note(`memory can't be predicted: ${memory.unknown}`);
    return;
  }
  const { need, warning } = describeMemory(memory.compiled, memory.forecast, freeMemory());
  note(need);
  if (warning) warn(warning);
}

async function begun(
  directory: string | undefined,
  flags: Flags,
  given: (name: string) => boolean,
  team: Processes | undefined,
): Promise<TrainingRun> {
  const { save, force = false, data } = flags;
  if (data === undefined) throw new RequestError('--data SOURCE is missing: a folder with a data set, or mnist');
  const extra = buildFlagNames.filter(given);
  if (directory !== undefined && extra.length > 0) {
    throw new RequestError(
      `${directory} has its network already, so these flags can't be met: ${extra.join(', ')}; leave out one or the other`,
    );
  }
  // Reading the data may take long: what the folder refuses is told before.
  await refuseLocked(save);
  const existing = directory === undefined ? undefined : await openBundle(directory);
  const [channels, imageSize, imageWidth] = existing?.manifest.inputShape ?? [
    flags.channels,
    ...(flags.imageSize ?? (flags.arch === undefined ? [] : [architectureSize])),
  ];
  const task = existing ? taskOf(existing.manifest.loss) : taskOfFlags(flags);
  const dataset = await readData(data, channels, { ...flags, task, imageSize, imageWidth });
  const source = existing ?? (await compileFlags(forDevice(flags, given), dataset, team !== undefined));
  const { classes } = 'manifest' in source ? source.manifest : source.network;
  if (task === 'classes' && classes > Math.max(2, dataset.classes)) {
    note(
      `the network tells ${classes} classes apart, ${data} has ${dataset.classes}: --classes ${dataset.classes} builds one for it`,
    );
  }
  const initial = flags.init === undefined ? undefined : await initialWeights(flags.init, source);
  const run = await TrainingRun.begin(source, dataset, {
    ...sessionFlags(flags, team),
    ...chosen(trainChoices, flags),
    ...{
      team,
      syncBatchNorm: flags.syncBatchNorm,
      save,
      force,
      data: place(data),
      initial,
      validShare: flags.validShare,
      dataWorkers: flags.dataWorkers,
    },
    ...{ checkpointEvery: flags.checkpointEvery, keep: flags.keep, onWait: note },
    allowOvercommit: flags.allowOvercommit,
  });
  for (const text of imageNotes(dataset, run.options)) note(`${pc.yellow('warning:')} ${text}`);
  return run;
}

/** Weights to begin with, and a word on those that were left out or begin afresh. */
async function initialWeights(path: string, start: Bundle | Built): Promise<State> {
  const loaded =
    'manifest' in start
      ? await loadInitialWeights(
          path,
          start.manifest.state,
          start.manifest.classes,
          await readState(start.initial, start),
        )
      : await loadInitialWeights(path, start.compiled.segments, start.network.classes, start.compiled.initial);
  const { state, replaced } = loaded;
  noteNames(path, loaded);
  if (replaced.length > 0) {
    note(`${path} tells other classes apart; these begin with fresh values: ${replaced.join(', ')}`);
  }
  return state;
}

/** A network that was built from flags. */
interface Built {
  readonly network: DenseNet;
  readonly compiled: Compiled;
}

async function compileFlags(flags: Flags, dataset: Dataset, processes: boolean): Promise<Built> {
  const network = densenet(networkConfig(flags, dataFallback(dataset, flags)));
  const { validShare, seed, limit } = flags;
  const { validSize: told, batchSize = trainDefaults.batchSize } = chosen(trainChoices, flags);
  const trained = (): ArrayLike<number> => {
    const validSize = heldOut(dataset, { validSize: told, validShare, limit });
    return trainedOn(dataset, { validSize, seed, limit });
  };
  const loss = await lossChoice(flags, { dataset, trainedOn: trained, outputs: network.classes });
  const forward = traceNetwork(network, loss);
  const { syncBatchNorm = false } = flags;
  const options = { ...compileOptions(flags, loss), processes, syncBatchNorm };
  const memory = await memoryOption(
    flags,
    batchSize,
    forward,
    options,
    dataMemory(dataset, network.inputShape, flags.dataWorkers),
  );
  const compiled = compileGraph(forward, { ...options, ...memory });
  tellBudget(compiled);
  for (const text of compiled.warnings) warn(text);
  return { network, compiled };
}

/** A data set's source wherever the command is given later: an absolute path, or the name of a package. */
function place(data: string): string {
  return data === 'mnist' ? data : resolve(data);
}

/** What the data set says of a network whose flags leave it open. */
function dataFallback(dataset: Dataset, flags: Flags): DenseNetOptions {
  const { imageSize, imageWidth, channels, classes, task = 'classes' } = dataset;
  const own = { imageSize, imageWidth, channels };
  // No architecture's thousand classes are labels or values.
  if (task !== 'classes') return flags.arch === undefined ? { ...own, classes } : { classes };
  return flags.arch === undefined ? { ...own, classes: Math.max(2, classes) } : {};
}

/** Flags with the target and the kernels that a device asks for, where nothing else was asked. */
function forDevice(flags: Flags, given: (name: string) => boolean): Flags {
  const { target: device } = parseDevice(flags.device);
  if (device === 'cpu' || given('target')) return flags;
  if (device !== 'cuda' || given('kernels')) return { ...flags, target: device };
  const missing = missingLibrary();
  if (missing !== undefined) note(`built with --kernels plain, since ${missing}`);
  return { ...flags, target: device, kernels: missing === undefined ? 'cudnn' : 'plain' };
}

async function resumed(
  directory: string | undefined,
  flags: Flags,
  given: (name: string) => boolean,
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

/** Tells what another number of processes means. */
function tellProcesses(before: number, now: number, syncBatchNorm: boolean): void {
  if (before === now) return;
  const norm = syncBatchNorm && now > 1 ? 'over all of them, as before' : 'each process by its own share of a step';
  note(
    `${now} ${now === 1 ? 'process goes' : 'processes go'} on with the run of ${before}: batch norm normalizes ${norm}; the epoch in progress keeps its steps, from the next one on a step has ${now} times --batch-size images`,
  );
}

/** The data that a run began with, where it is now. */
function readRunData({ progress, bundle }: OpenedRun, flags: Flags): Promise<Dataset> {
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
  { save, validShare, testShare }: Flags,
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
  flags: Flags,
  given: (name: string) => boolean,
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
  flags: Flags & { readonly batchSize: number },
  given: (name: string) => boolean,
  dataset: Dataset,
  processes: boolean,
): Promise<Compiled | undefined> {
  const { bundle, progress } = run;
  const { manifest } = bundle;
  const extra = buildFlagNames.filter((name) => given(name) && !lossFlagNames.includes(name));
  const { device } = progress.running;
  const isElsewhere = given('device') && parseDevice(flags.device).target !== parseDevice(device).target;
  const { syncBatchNorm = processes && manifest.syncBatchNorm === true } = flags;
  const isOtherCount =
    processes !== (manifest.processes === true) || syncBatchNorm !== (manifest.syncBatchNorm === true);
  if (extra.length === 0 && !isElsewhere && !isOtherCount) return undefined;
  const placed = isElsewhere ? forDevice(flags, given) : flags;
  const target = given('target') || isElsewhere ? placed.target : manifest.target;
  const kernels = given('kernels') || target !== manifest.target ? placed.kernels : manifest.kernels;
  const { remat: before, optimizer: kept, loss, solver } = manifest;
  const remat = rematFlagNames.some(given) ? (rematOption(flags) ?? 'budget') : before;
  // A run within a budget stays within it.
  const budget = remat === 'budget' ? (flags.memoryBudget ?? solver?.budgetBytes) : undefined;
  const isOnlyLowering = extra.every((name) => !networkFlagNames.includes(name) && !optimizerFlagNames.includes(name));
  const isSame =
    target === manifest.target && kernels === manifest.kernels && remat === before && flags.memoryBudget === undefined;
  if (isOnlyLowering && isSame && !isOtherCount && flags.freeze === undefined) return undefined;
  // Without the defaults of switches.
  const isSaid = ([name]: [string, unknown]): boolean => !optimizerFlagNames.includes(name) || given(name);
  const said = Object.fromEntries(Object.entries(flags).filter(isSaid)) as unknown as Flags;
  const isOtherKind = given('optimizer') && flags.optimizer !== kept.kind;
  const optimizer = isOtherKind
    ? optimizerOptions(flags)
    : ({ ...kept, ...optimizerOptions({ ...said, optimizer: kept.kind }) } as OptimizerChoice);
  const options = {
    ...{ target, kernels, optimizer, processes, syncBatchNorm },
    ...(remat !== 'custom' && remat !== 'budget' && { remat }),
    ...(flags.freeze && { freeze: flags.freeze }),
  };
  const isDescribed = networkFlagNames.some(given);
  const told = loss.kind === 'own' ? undefined : loss;
  const forward = isDescribed
    ? traceNetwork(densenet(networkConfig(flags, dataFallback(dataset, flags))), told)
    : forwardGraph(bundle);
  const data = dataMemory(dataset, manifest.inputShape, flags.dataWorkers);
  const memory = await memoryOption({ ...flags, memoryBudget: budget }, flags.batchSize, forward, options, data);
  const compiled = isDescribed
    ? compileGraph(forward, { ...options, ...memory, loss: told, seed: manifest.seed })
    : lowerAgain(bundle, { ...options, ...memory });
  tellBudget(compiled);
  const difference = differenceFrom(run, compiled);
  if (difference === undefined) {
    for (const warning of compiled.warnings) note(`${pc.yellow('warning:')} ${warning}`);
    return compiled;
  }
  throw new RequestError(
    `the run in ${flags.save} goes on with its own network and optimizer, and ${extra.map((name) => flagOf(name)).join(', ')} would change ${difference}; leave them out to resume it, or begin a new run with --init`,
  );
}

/** A flag by the name that commander has for its value. */
function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Stops a run once, and says so. */
function stopNoted(stop: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    stop();
    note(
      '\nfinishing the step, then saving … (once more to quit at once, without the steps since the last checkpoint)',
    );
  };
}

/**
 * Turns Ctrl-C, SIGTERM and a closed terminal (SIGHUP) into a request to stop; a second one of the first two ends the process
 * at once. Returns how to end this.
 */
function watchInterrupts(stop: () => void): () => void {
  let asked = false;
  const stopWatching = (): void => {
    process.off('SIGINT', listener).off('SIGTERM', listener).off('SIGHUP', listener);
  };
  const listener = (signal: NodeJS.Signals): void => {
    if (!asked) {
      asked = true;
      stop();
      note(
        '\nfinishing the step, then saving … (once more to quit at once, without the steps since the last checkpoint)',
      );
      return;
    }
    // The kernel and the shell may both tell of a closed terminal; nobody is there to be in a hurry.
    if (signal === 'SIGHUP') return;
    // The signal's own end of the process: no file of the run is ever half written, and a step can't be left otherwise.
    note('quitting at once; the last checkpoint is whole');
    stopWatching();
    process.kill(process.pid, signal);
  };
  process.on('SIGINT', listener).on('SIGTERM', listener).on('SIGHUP', listener);
  return stopWatching;
}
