/** @file densec step: training steps on a batch from a file, to hold the graph against another framework. */

import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { taskOf } from '../../src/builders/losses/index.js';
import { RequestError } from '../../src/ir/index.js';
import { openBundle } from '../../src/runtime/bundle/bundle.js';
import { writeSafetensors } from '../../src/runtime/files/safetensors.js';
import { readBatch, runSteps } from '../../src/runtime/model/step.js';
import { loadWeights } from '../../src/runtime/model/weights.js';
import { formatError } from '../../src/runtime/report/text.js';
import type { Processes } from '../../src/runtime/session/mpi/processes.js';
import { tasks } from '../../src/step/tasks.js';
import { note, printJson } from '../output.js';
import { finiteNumber, wholeNumber } from '../parse.js';
import { failTogether, joinProcesses, type ProcessFlags } from '../processes.js';
import { addRunOptions, addSeedOption, type RunFlags, sessionOptions } from '../shared.js';
import { noteNames } from '../weights.js';

interface Flags extends RunFlags, ProcessFlags {
  readonly state: string;
  readonly batch: string;
  readonly lr: number;
  readonly steps: number;
  readonly seed: number;
  readonly save: string;
  readonly json?: boolean;
}

export function stepCommand(): Command {
  const command = new Command('step')
    .description('Run training steps on one batch from a file, and save the state after them.')
    .argument('<dir>', 'bundle that densec build wrote')
    .requiredOption('--state <file>', "safetensors by PyTorch's names; momentum.<parameter> where momentum isn't zero")
    .requiredOption(
      '--batch <file>',
      'safetensors: images float32 (N, C, H, W), normalized; labels int64 (N), with other losses labels or targets float32 (N, K)',
    )
    .addOption(new Option('--lr <x>', 'learning rate').argParser(finiteNumber).makeOptionMandatory())
    .addOption(new Option('--steps <k>', 'steps on the same batch').argParser(wholeNumber(1)).default(1))
    .requiredOption('--save <file>', 'safetensors to write: parameters, momentum, running statistics')
    .addOption(
      new Option('--timeout <seconds>', 'under an MPI launcher: how long a process waits for the others')
        .argParser(wholeNumber(1))
        .default(600),
    )
    .option('--json', 'print JSON: the losses before each step, and the gradient norms where gradients are clipped');
  addRunOptions(addSeedOption(command, "seed of dropout's masks"));
  return command.action(async (directory: string, flags: Flags) => {
    const processes = await joinProcesses(flags);
    if (!processes) return takeSteps(directory, flags, undefined);
    try {
      await takeSteps(directory, flags, processes);
      await processes.finish();
    } catch (error) {
      await failTogether(processes, error);
    }
  });
}

async function takeSteps(directory: string, flags: Flags, processes: Processes | undefined): Promise<void> {
  const { lr, steps, seed, save, json } = flags;
  for (const input of [flags.state, flags.batch]) {
    if (resolve(input) === resolve(save))
      throw new RequestError(`--save ${save} would replace an input; choose another file`);
  }
  const options = sessionOptions(flags);
  const bundle = await openBundle(directory);
  if (processes && !bundle.manifest.processes) {
    throw new RequestError(`${directory} is for one process; build it with --processes for several`);
  }
  const loaded = await loadWeights(flags.state, bundle.manifest.state);
  const { state } = loaded;
  noteNames(flags.state, loaded);
  const batch = await readBatch(flags.batch, bundle, true);
  const result = await runSteps(bundle, { ...options, state, batch, learningRate: lr, steps, seed, processes });
  // Of several processes, the first one tells.
  if (processes && processes.rank > 0) return;
  await writeSafetensors(save, result.state);
  note(`wrote ${save}`);
  const lost = result.losses.findIndex((loss) => !Number.isFinite(loss));
  if (lost >= 0)
    note(`warning: the loss is no finite number from step ${lost + 1} on (null in JSON); try a lower --lr`);
  if (json) {
    const { losses, errors, gradientNorms } = result;
    printJson({ losses, errors, gradientNorms, count: batch.labels.data.length, save });
    return;
  }
  const task = taskOf(bundle.manifest.loss);
  for (const [step, loss] of result.losses.entries()) {
    process.stdout.write(
      `step ${step + 1}  loss ${loss.toFixed(6)}  ${tasks[task].error} ${formatError(task, result.errors[step])}\n`,
    );
  }
}
