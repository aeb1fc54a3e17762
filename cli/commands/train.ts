/** @file densec train: from a network and a data set to trained weights. */

import { join } from 'node:path';
import { Command, Option } from 'commander';
import pc from 'picocolors';
import { type DenseNet, densenet } from '../../src/builders/index.js';
import { type Compiled, compile } from '../../src/compile.js';
import { FailureError, RequestError } from '../../src/ir/index.js';
import { type Bundle, openBundle, prepareOutputFolder, writeBundle } from '../../src/runtime/bundle.js';
import { type Progress, prepareRun, readProgress, runFiles } from '../../src/runtime/checkpoint.js';
import type { Dataset } from '../../src/runtime/data/dataset.js';
import { checkDataset, loadDatasetFor } from '../../src/runtime/data/network-data.js';
import { parseSchedule } from '../../src/runtime/schedule.js';
import { readState, type State } from '../../src/runtime/state.js';
import { splitImages, type TrainEvent, type TrainOptions, train } from '../../src/runtime/train.js';
import { loadInitialWeights } from '../../src/runtime/weights.js';
import { note } from '../output.js';
import { finiteNumber, wholeNumber } from '../parse.js';
import {
  addBuildOptions,
  addRunOptions,
  addSeedOption,
  type BuildFlags,
  buildFlagNames,
  compileOptions,
  networkConfig,
  type RunFlags,
  sessionOptions,
} from '../shared.js';
import { jsonReporter, lineReporter, terminalReporter } from '../train-reporters.js';
import { noteUnexpected } from '../weights.js';

interface Flags extends BuildFlags, RunFlags {
  readonly data?: string;
  readonly save: string;
  readonly init?: string;
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly schedule: string;
  readonly validSize?: number;
  readonly limit?: number;
  readonly seed: number;
  readonly printFreq: number;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Training images held out for validation, unless told. */
const defaultValidSize = 5000;

export function trainCommand(): Command {
  const command = new Command('train')
    .description('Train a bundle, or a network built from flags, and test its best weights.')
    .argument('[dir]', 'bundle that densec build wrote; without it the flags below describe the network')
    .optionsGroup('Data and files:')
    .option('--data <source>', 'folder with CIFAR-10, CIFAR-100 or IDX files, or mnist')
    .requiredOption('--save <dir>', 'folder for weights, results.csv, curves.svg and report.html')
    .option('--init <file>', "weights to begin with: ours, or by the seed's or torchvision's names")
    .option('--resume', 'go on from the last checkpoint in the folder')
    .option('--force', 'replace the run that the folder holds')
    .option('--json', 'print a JSON object for each event')
    .addOption(
      new Option('--print-freq <n>', 'steps between lines where there is no terminal')
        .argParser(wholeNumber(1))
        .default(50),
    )
    .optionsGroup('Training:')
    .addOption(new Option('--epochs <n>', 'passes over the training images').argParser(wholeNumber(1)).default(300))
    .addOption(new Option('--batch-size <n>', 'images a step').argParser(wholeNumber(1)).default(64))
    .addOption(new Option('--lr <x>', 'highest learning rate').argParser(finiteNumber).default(0.1))
    .option('--schedule <name>', 'multistep (÷10 at 50 % and 75 %), cosine or constant', 'multistep')
    .addOption(
      new Option(
        '--valid-size <n>',
        `training images held out to choose the best weights (default: ${defaultValidSize}, at most a tenth)`,
      ).argParser(wholeNumber(0)),
    )
    .addOption(
      new Option('--limit <n>', 'use at most so many training and so many test images').argParser(wholeNumber(1)),
    );
  addRunOptions(addBuildOptions(addSeedOption(command, 'seed of weights, order, augmentation and dropout')));
  return command.action(async (directory: string | undefined, flags: Flags, parsed: Command) => {
    const given = (name: string): boolean => parsed.getOptionValueSource(name) === 'cli';
    const { bundle, dataset, options, resume, initial } = flags.resume
      ? await resumed(directory, flags, given)
      : await begun(directory, flags, given);
    const interrupt = watchInterrupts();
    const reporter = flags.json
      ? jsonReporter()
      : process.stderr.isTTY
        ? terminalReporter()
        : lineReporter(flags.printFreq);
    const context = {
      ...sessionOptions(flags),
      bundle,
      dataset,
      save: flags.save,
      resume,
      initial,
      interrupted: interrupt.asked,
    };
    let last: TrainEvent | undefined;
    try {
      for await (const event of train(options, context)) {
        reporter.show(event);
        last = event;
      }
    } finally {
      reporter.stop();
      interrupt.stop();
    }
    if (last?.event === 'result' && last.interrupted) {
      note(`${pc.yellow('interrupted')}: go on with densec train --resume --save ${flags.save}`);
      process.exitCode = 130;
    }
  });
}

/** All that a run needs. */
interface Prepared {
  readonly bundle: Bundle;
  readonly dataset: Dataset;
  readonly options: TrainOptions;
  readonly resume?: Progress;
  readonly initial?: State | undefined;
}

async function begun(directory: string | undefined, flags: Flags, given: (name: string) => boolean): Promise<Prepared> {
  const { save, force = false } = flags;
  if (flags.data === undefined) throw new RequestError('--data SOURCE is missing: a folder with a data set, or mnist');
  const schedule = parseSchedule(flags.schedule);
  if (!(flags.lr > 0)) throw new RequestError(`the learning rate is ${flags.lr}; it must be above 0`);
  const extra = buildFlagNames.filter(given);
  if (directory !== undefined && extra.length > 0) {
    throw new RequestError(
      `${directory} has its network already, so these flags can't be met: ${extra.join(', ')}; leave out one or the other`,
    );
  }
  const existing = directory === undefined ? undefined : await openBundle(directory);
  const dataset = await loadDatasetFor(flags.data, existing?.manifest.inputShape[0] ?? flags.channels);
  const built = existing ? undefined : compileFlags(flags, dataset);
  checkDataset(dataset, existing?.manifest ?? (built as Built).network, flags.data);
  const images = Math.min(dataset.train.count, flags.limit ?? Number.POSITIVE_INFINITY);
  const options: TrainOptions = {
    data: flags.data,
    epochs: flags.epochs,
    batchSize: flags.batchSize,
    learningRate: flags.lr,
    schedule,
    validSize: flags.validSize ?? Math.min(defaultValidSize, Math.floor(images / 10)),
    limit: flags.limit,
    seed: flags.seed,
  };
  splitImages(dataset, options);
  const initial = flags.init === undefined ? undefined : await initialWeights(flags.init, existing ?? (built as Built));
  // Everything that can be refused has been: only now is the folder touched.
  await prepareOutputFolder(save, force);
  await prepareRun(save);
  if (!built) return { bundle: existing as Bundle, dataset, options, initial };
  const { network, compiled } = built;
  const parts = { config: network.config, seed: flags.seed, force: true };
  return {
    bundle: await writeBundle(join(save, runFiles.bundle), network, compiled, parts),
    dataset,
    options,
    initial,
  };
}

/** Weights to begin with, and a word on those that were left out or begin afresh. */
async function initialWeights(path: string, start: Bundle | Built): Promise<State> {
  const { state, unexpected, replaced } =
    'manifest' in start
      ? await loadInitialWeights(
          path,
          start.manifest.state,
          start.manifest.classes,
          await readState(start.initial, start),
        )
      : await loadInitialWeights(path, start.compiled.segments, start.network.classes, start.compiled.initial);
  noteUnexpected(path, unexpected);
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

function compileFlags(flags: Flags, dataset: Dataset): Built {
  const network = densenet(networkConfig(flags, dataFallback(dataset, flags)));
  return { network, compiled: compile(network, compileOptions(flags)) };
}

/** What the data set says of a network whose flags leave it open. */
function dataFallback(dataset: Dataset, flags: Flags): { classes?: number; imageSize?: number; channels?: number } {
  const own = { imageSize: dataset.imageSize, channels: dataset.channels };
  return flags.arch === undefined ? { ...own, classes: Math.max(2, dataset.classes) } : {};
}

async function resumed(
  directory: string | undefined,
  flags: Flags,
  given: (name: string) => boolean,
): Promise<Prepared> {
  // The run's own command with --resume added is fine.
  if (flags.init !== undefined)
    note(`--init ${flags.init} is for the beginning of a run; this one goes on with its own`);
  const resume = await readProgress(flags.save);
  const { options } = resume;
  const asked = {
    data: flags.data,
    epochs: flags.epochs,
    batchSize: flags.batchSize,
    learningRate: flags.lr,
    schedule: flags.schedule,
    validSize: flags.validSize,
    limit: flags.limit,
    seed: flags.seed,
  };
  for (const [name, value] of Object.entries(asked)) {
    const before = options[name as keyof typeof options];
    if (given(name === 'learningRate' ? 'lr' : name) && value !== before) {
      throw new RequestError(
        `the run in ${flags.save} was started with ${name} ${before}, not ${value}; leave the flag out to resume it`,
      );
    }
  }
  const bundle = await openBundle(directory ?? join(flags.save, runFiles.bundle));
  if (bundle.manifest.models.training.sha256 !== resume.model) {
    throw new FailureError(
      `the run in ${flags.save} was made with another model than ${bundle.directory}; resume it with that one`,
    );
  }
  const dataset = await loadDatasetFor(options.data, bundle.manifest.inputShape[0]);
  checkDataset(dataset, bundle.manifest, options.data);
  return { bundle, dataset, options, resume };
}

/** Turns Ctrl-C into a request to stop after the step in progress. */
function watchInterrupts(): { asked(): boolean; stop(): void } {
  let asked = false;
  const listener = (): void => {
    if (!asked) note('\nfinishing the step, then saving …');
    asked = true;
  };
  process.on('SIGINT', listener).on('SIGTERM', listener);
  return {
    asked: () => asked,
    stop: () => {
      process.off('SIGINT', listener).off('SIGTERM', listener);
    },
  };
}
