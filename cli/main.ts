#!/usr/bin/env node
/** @file The command line: densec COMMAND. */

import '../src/runtime/session/telemetry.js';
import { Command, CommanderError } from 'commander';
import { version } from '../src/version.js';
import { exitCodeOf, ToldError, tellError } from './errors.js';
import { guardStreams } from './streams.js';

/** The commands, each with its own way to be loaded: what some of them need takes longer to load than others take in all. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  build: async () => (await import('./commands/build.js')).buildCommand(),
  info: async () => (await import('./commands/info.js')).infoCommand(),
  plan: async () => (await import('./commands/plan.js')).planCommand(),
  bench: async () => (await import('./commands/bench.js')).benchCommand(),
  verify: async () => (await import('./commands/verify.js')).verifyCommand(),
  step: async () => (await import('./commands/step.js')).stepCommand(),
  eval: async () => (await import('./commands/eval.js')).evalCommand(),
  train: async () => (await import('./commands/train.js')).trainCommand(),
  export: async () => (await import('./commands/export.js')).exportCommand(),
  predict: async () => (await import('./commands/predict.js')).predictCommand(),
  devices: async () => (await import('./commands/devices.js')).devicesCommand(),
};

/** The command that is called; all of them where help is wanted, or a name that is none. */
function wanted(args: readonly string[]): Promise<readonly Command[]> {
  const called = args.find((argument) => !argument.startsWith('-')) ?? '';
  const names = Object.hasOwn(commands, called) ? [called] : Object.keys(commands);
  return Promise.all(names.flatMap((name) => commands[name]?.() ?? []));
}

async function program(): Promise<Command> {
  const densec = new Command('densec')
    .description('Compiles a DenseNet into a plain ONNX training graph, and trains it with the stock onnxruntime.')
    .version(version)
    .option('--debug', 'show stack traces of errors')
    .showSuggestionAfterError()
    .addHelpText('after', help);
  for (const command of await wanted(process.argv.slice(2))) {
    densec.addCommand(command.option('--debug', 'show stack traces of errors'));
  }
  // Errors are thrown instead of ending the process, in every command, so that exit codes are ours.
  for (const command of [densec, ...densec.commands]) command.exitOverride().showHelpAfterError('(see --help)');
  return densec;
}

const help = `
Exit codes: 0 done · 1 failed (file, data, runtime, disk) · 2 the request can't be met as asked
            3 a check found a difference · 130 interrupted, state saved

Begin with:
  densec train --depth 22 --growth-rate 8 --data mnist --epochs 1 --save runs/mnist`;

/** Tells of an error and returns the exit code. */
function report(error: unknown): number {
  // Commander has told what is wrong already; asking for help is no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (!(error instanceof ToldError)) tellError(error);
  return exitCodeOf(error);
}

guardStreams();

try {
  await (await program()).parseAsync();
} catch (error) {
  // Never process.exit(): a session may still be closing, and ending its thread in mid-run aborts the process.
  process.exitCode = report(error);
}
