/** @file densec bench: what a training step takes, in fresh processes, beside another bundle or other options. */

import { Command, Option } from 'commander';
import { bench } from '../../src/runtime/measure/bench.js';
import { showBench } from '../bench-tables.js';
import { note, printJson } from '../output.js';
import { wholeNumber } from '../parse.js';
import { startCounter } from '../progress.js';
import { addRunOptions, addSeedOption, type RunFlags, sessionOptions } from '../shared.js';

interface Flags extends RunFlags {
  readonly batchSize: number;
  readonly steps: number;
  readonly rounds: number;
  readonly against?: string;
  readonly sweep?: boolean;
  readonly profile?: boolean;
  readonly seed: number;
  readonly json?: boolean;
}

export function benchCommand(): Command {
  const command = new Command('bench')
    .description('Measure time and memory of training steps on noise, each time in a fresh process.')
    .argument('<dir>', 'bundle that densec build wrote')
    .addOption(new Option('--batch-size <n>', 'images a step').argParser(wholeNumber(1)).makeOptionMandatory())
    .addOption(
      new Option('--steps <n>', 'steps in a process; of several, the first is not timed')
        .argParser(wholeNumber(1))
        .default(5),
    )
    .addOption(new Option('--rounds <n>', 'processes for each thing measured').argParser(wholeNumber(1)).default(3))
    .option('--against <dir>', 'another bundle, measured in turn with the first; ratios are taken round by round')
    .option('--sweep', "measure all of the runtime's levels, with and without memory pattern")
    .option('--profile', 'say where the time goes: by operator, phase and layer, against what this machine can do')
    .option('--json', 'print JSON');
  addRunOptions(addSeedOption(command, 'seed of the batch'));
  return command.addHelpText('after', help).action(async (directory: string, flags: Flags) => {
    const { json, threads: _threads, device: _device, ...options } = flags;
    const counter = startCounter();
    try {
      const report = await bench(directory, {
        ...options,
        ...sessionOptions(flags),
        onProgress: (done, total, what) => counter.update(done, total, what),
        onNote: note,
      });
      counter.stop();
      if (json) printJson(report);
      else showBench(report);
    } finally {
      counter.stop();
    }
  });
}

const help = `
Growth is the process's high-water mark in the steps above its size just before the first, with the model loaded and the
batch allocated. Ratios are of the first bundle over the other: below 1 is less.

Examples:
  densec bench bc100 --batch-size 64
  densec bench bc100-max --against bc100-none --batch-size 64 --rounds 5 --json
  densec bench bc100 --batch-size 64 --rounds 1 --profile`;
