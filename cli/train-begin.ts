/** @file densec train without --resume: a new run, of a bundle or of a network that is built from flags. */

import { type DenseNet, densenet, traceNetwork } from '../src/builders/index.js';
import { taskOf } from '../src/builders/losses/index.js';
import { type Compiled, compileGraph } from '../src/compile.js';
import { RequestError } from '../src/ir/index.js';
import { type Bundle, openBundle } from '../src/runtime/bundle/bundle.js';
import type { Dataset } from '../src/runtime/data/dataset.js';
import { dataMemory } from '../src/runtime/data/memory.js';
import { heldOut, imageNotes, trainedOn } from '../src/runtime/data/run-data.js';
import { refuseLocked } from '../src/runtime/files/run-lock.js';
import { readState } from '../src/runtime/model/state.js';
import { loadInitialWeights, type State } from '../src/runtime/model/weights.js';
import { TrainingRun } from '../src/runtime/run/begin.js';
import { trainChoices, trainDefaults } from '../src/runtime/run/options.js';
import type { Processes } from '../src/runtime/session/mpi/processes.js';
import { memoryOption, tellBudget } from './budget.js';
import { readData } from './data.js';
import { chosen } from './flags.js';
import { lossChoice, taskOfFlags } from './loss.js';
import { note, warn } from './output.js';
import { buildFlagNames, compileOptions, networkConfig } from './shared.js';
import { dataFallback, forDevice, type Given, place, sessionFlags, type TrainFlags } from './train-flags.js';
import { noteNames } from './weights.js';

/** Height and width of an architecture's images, unless told. */
const architectureSize = 224;

/**
 * Prepares a new run in an empty folder.
 * @param directory a bundle to train; without one, flags describe the network
 * @throws RequestError where flags contradict each other, the bundle or the data
 */
export async function beginRun(
  directory: string | undefined,
  flags: TrainFlags,
  given: Given,
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
  for (const text of imageNotes(dataset, run.options)) warn(text);
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

async function compileFlags(flags: TrainFlags, dataset: Dataset, processes: boolean): Promise<Built> {
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
