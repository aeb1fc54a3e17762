/** @file densec info: what a bundle is. */

import { Command } from 'commander';
import { openBundle } from '../../src/runtime/bundle/bundle.js';
import { printBundle } from '../describe.js';

export function infoCommand(): Command {
  return new Command('info')
    .description('Show what a bundle is, after checking that its files are whole.')
    .argument('<dir>', 'bundle that densec build wrote')
    .option('--json', 'print JSON')
    .action(async (directory: string, { json }: { json?: boolean }) => {
      printBundle(await openBundle(directory), json ?? false);
    });
}
