/** @file densec devices: what runs here, what is missing, and what mends it. */

import { Command } from 'commander';
import pc from 'picocolors';
import { describeRuntime } from '../../src/runtime/session/runtime-choice.js';
import { type Survey, surveyDevices } from '../../src/runtime/session/survey.js';
import { printFacts, printJson } from '../output.js';

export function devicesCommand(): Command {
  return new Command('devices')
    .description('Show which runtime is used and why, and what runs on which device here: a tiny model is run on each.')
    .option('--json', 'print JSON: runtime, devices with what mends those that are not available, kernels, mpi, nccl')
    .addHelpText('after', help)
    .action(async ({ json }: { json?: boolean }) => {
      const survey = await surveyDevices();
      if (json) printJson(survey);
      else show(survey);
    });
}

function show({ runtime, devices, kernels, mpi, nccl }: Survey): void {
  printFacts([
    ['onnxruntime', describeRuntime(runtime)],
    ...(runtime.version === runtime.wanted
      ? []
      : [['wanted', `${runtime.wanted}, the version that densec was tried with`] as const]),
    ['library', runtime.folder ?? 'not installed'],
    ['providers', runtime.providers?.join(', ') ?? 'none'],
  ]);
  for (const { name, available, detail, remedy } of [
    ...devices,
    { name: 'kernels', ...kernels },
    { name: 'mpi', ...mpi },
    { name: 'nccl', ...nccl },
  ]) {
    process.stdout.write(`\n${available ? pc.green('yes') : pc.red('no ')}  ${name.padEnd(8)}  ${detail}\n`);
    if (remedy) process.stdout.write(`               ${remedy}\n`);
  }
}

const help = `
What the runtime itself reports while it looks for drivers goes to stderr.
DENSEC_RUNTIME=c|binding chooses how the runtime is reached: at its C API, or by Node's binding.`;
