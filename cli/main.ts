#!/usr/bin/env node
/** @file The command line: densec COMMAND. */

import '../src/runtime/session/telemetry.js';
import { Command, CommanderError } from 'commander';
import { version } from '../src/version.js';
import { benchCommand } from './commands/bench.js';
import { buildCommand } from './commands/build.js';
import { calibrateCommand } from './commands/calibrate.js';
import { devicesCommand } from './commands/devices.js';
import { evalCommand } from './commands/eval.js';
import { exportCommand } from './commands/export.js';
import { infoCommand } from './commands/info.js';
import { planCommand } from './commands/plan.js';
import { predictCommand } from './commands/predict.js';
import { stepCommand } from './commands/step.js';
import { trainCommand } from './commands/train.js';
import { verifyCommand } from './commands/verify.js';
import { exitCodeOf, ToldError, tellError } from './errors.js';
import { guardStreams } from './streams.js';

function program(): Command {
  const densec = new Command('densec')
    .description('Compiles a DenseNet into a plain ONNX training graph, and trains it with the stock onnxruntime.')
    .version(version)
    .option('--debug', 'show stack traces of errors')
    .showSuggestionAfterError()
    .addHelpText('after', help);
  const commands = [
    buildCommand(),
    infoCommand(),
    planCommand(),
    benchCommand(),
    verifyCommand(),
    stepCommand(),
    evalCommand(),
    trainCommand(),
    exportCommand(),
    predictCommand(),
    devicesCommand(),
    calibrateCommand(),
  ];
  for (const command of commands) {
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
  await program().parseAsync();
} catch (error) {
  // Never process.exit(): a session may still be closing, and ending its thread in mid-run aborts the process.
  process.exitCode = report(error);
}
