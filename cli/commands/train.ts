/** @file densec train: from a network and a data set to trained weights. */

import { Command, Option } from 'commander';
import pc from 'picocolors';
import { taskOf } from '../../src/builders/losses/index.js';
import { RequestError } from '../../src/ir/index.js';
import { optimizerNames, optimizers } from '../../src/passes/optimizers/index.js';
import { defaultValidSize } from '../../src/runtime/data/run-data.js';
import { freeMemory } from '../../src/runtime/measure/free-memory.js';
import { describeMemory } from '../../src/runtime/measure/memory-advice.js';
import type { TrainingRun } from '../../src/runtime/run/begin.js';
import type { ResultEvent } from '../../src/runtime/run/events.js';
import { trainChoices, trainDefaults } from '../../src/runtime/run/options.js';
import { describeChange } from '../../src/runtime/run/segments.js';
import type { Processes } from '../../src/runtime/session/mpi/processes.js';
import { addDataOptions, dataHelp } from '../data.js';
import { dryRun, linkSpeed } from '../dry-run.js';
import { addChoices } from '../flags.js';
import { stopNoted, watchInterrupts } from '../interrupts.js';
import { note, warn } from '../output.js';
import { finiteNumber, wholeNumber } from '../parse.js';
import { failTogether, joinProcesses, launchProcesses, mustLaunch, onLauncherStop } from '../processes.js';
import { drawsBars } from '../progress.js';
import { addBuildOptions, addRunOptions, addSeedOption, groupedBy, inWords } from '../shared.js';
import { beginRun } from '../train-begin.js';
import type { Given, TrainFlags } from '../train-flags.js';
import {
  jsonReporter,
  lineReporter,
  silentReporter,
  type TrainReporter,
  terminalReporter,
} from '../train-reporters.js';
import { deviceOfRun, goesOn, joinRun, resumeRun } from '../train-resume.js';

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
  return command.action(async (directory: string | undefined, told: TrainFlags, parsed: Command) => {
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
  flags: TrainFlags,
  given: Given,
  team: Processes | undefined,
): Promise<void> {
  const begin = goesOn(flags) ? resumeRun : beginRun;
  const run = team && team.rank > 0 ? await joinRun(flags, team) : await begin(directory, flags, given, team);
  for (const change of run.changes) note(`from epoch ${change.epoch}: ${describeChange(change)}`);
  const stop = stopNoted(() => run.stop());
  const stopWatching = watchInterrupts(stop);
  if (team?.rank === 0) onLauncherStop(stop);
  if (!team || team.rank === 0) tellMemory(run);
  const reporter = reporterOf(run, flags, team);
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

/** Shows what happens; of several processes the first one does. */
function reporterOf({ bundle }: TrainingRun, flags: TrainFlags, team: Processes | undefined): TrainReporter {
  if (team && team.rank > 0) return silentReporter();
  if (flags.json) return jsonReporter();
  const task = taskOf(bundle.manifest.loss);
  return drawsBars() ? terminalReporter(task) : lineReporter(flags.printFreq, task);
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
