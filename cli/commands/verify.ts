/** @file densec verify: whether a bundle's plan survives the runtime. */

import { Command, Option } from 'commander';
import { openBundle } from '../../src/runtime/bundle/bundle.js';
import { type Check, verify } from '../../src/runtime/verify/index.js';
import { note, printCheck, printJson } from '../output.js';
import { wholeNumber } from '../parse.js';
import { addRunOptions, type RunFlags, sessionOptions } from '../shared.js';

/** Exit code of a difference that was found. */
const foundDifference = 3;

interface Flags extends RunFlags {
  readonly against?: string;
  readonly batchSize?: number;
  readonly json?: boolean;
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description(
      'Check that the plan survives the runtime: order, recomputation, memory, and with --against the numbers.',
    )
    .argument('<dir>', 'bundle that densec build wrote')
    .option('--against <dir>', 'bundle of the same network, as of another --remat, that must take the same step')
    .addOption(new Option('--batch-size <n>', 'images a step (default: 4)').argParser(wholeNumber(1)))
    .option('--json', 'print JSON: whether all is well, and each check');
  return addRunOptions(command).action(async (directory: string, { against, batchSize, json, ...flags }: Flags) => {
    const session = sessionOptions(flags);
    const bundle = await openBundle(directory);
    const checks: Check[] = [];
    const other = against === undefined ? undefined : await openBundle(against);
    for await (const check of verify(bundle, {
      ...session,
      ...(batchSize !== undefined && { batchSize }),
      ...(other && { against: other }),
    })) {
      checks.push(check);
      if (!json) printCheck(check);
    }
    const failed = checks.filter(({ ok }) => !ok).length;
    if (json) printJson({ ok: failed === 0, checks });
    else note(failed === 0 ? `all ${checks.length} checks hold` : `${failed} of ${checks.length} checks failed`);
    if (failed > 0) process.exitCode = foundDifference;
  });
}
