/** @file densec build: a network becomes a bundle. */

import { Command, Option } from 'commander';
import { densenet, traceNetwork } from '../../src/builders/index.js';
import { compileGraph } from '../../src/compile.js';
import { prepareOutputFolder, writeBundle } from '../../src/runtime/bundle/bundle.js';
import { memoryOption, tellBudget } from '../budget.js';
import { printBundle } from '../describe.js';
import { lossChoice } from '../loss.js';
import { note, warn } from '../output.js';
import { wholeNumber } from '../parse.js';
import { addBuildOptions, addSeedOption, type BuildFlags, compileOptions, networkConfig } from '../shared.js';

interface Flags extends BuildFlags {
  readonly output: string;
  readonly force?: boolean;
  readonly seed: number;
  readonly batchSize?: number;
  readonly processes?: boolean;
  readonly syncBatchNorm?: boolean;
  readonly json?: boolean;
}

export function buildCommand(): Command {
  const command = new Command('build')
    .description('Compile a DenseNet into a bundle: training and evaluation models, initial weights, manifest.')
    .requiredOption('-o, --output <dir>', 'folder to write')
    .option('--force', 'replace the bundle that the folder holds')
    .option('--json', 'print the facts of info as JSON');
  addSeedOption(addBuildOptions(command), 'seed of the initial weights');
  command
    .option('--processes', 'for several processes (MPI): gradients are summed over them; only densec runs such a step')
    .option('--sync-batch-norm', 'batch norm normalizes by the images of all processes');
  command.addOption(
    new Option(
      '--batch-size <n>',
      'images of a step: for --memory-budget, and to tell the predicted live peak',
    ).argParser(wholeNumber(1)),
  );
  return command.addHelpText('after', examples).action(async (flags: Flags) => {
    const network = densenet(networkConfig(flags));
    const loss = await lossChoice(flags);
    const options = {
      ...compileOptions(flags, loss),
      processes: flags.processes ?? false,
      syncBatchNorm: flags.syncBatchNorm ?? false,
    };
    await prepareOutputFolder(flags.output, flags.force ?? false);
    const forward = traceNetwork(network, loss);
    const compiled = compileGraph(forward, {
      ...options,
      ...(await memoryOption(flags, flags.batchSize, forward, options)),
    });
    tellBudget(compiled);
    for (const text of compiled.warnings) warn(text);
    const bundle = await writeBundle(flags.output, network, compiled, {
      config: network.config,
      seed: flags.seed,
      force: flags.force ?? false,
    });
    note(`wrote ${flags.output}`);
    printBundle(bundle, flags.json ?? false, flags.batchSize);
  });
}

const examples = `
Examples:
  densec build -o bc100                                   DenseNet-BC, 100 layers, for CIFAR-10
  densec build --depth 40 --classes 100 -o bc40           40 layers, for CIFAR-100
  densec build --arch densenet121 -o densenet121          ImageNet's
  densec build --block-config 3,3 --image-size 28 --channels 1 -o tiny`;
