/**
 * @file npm run bench:gpu (or node dist/bench/gpu.js): what a machine with a card says of our training steps.
 *
 *     node dist/bench/gpu.js --out results
 *     node dist/bench/gpu.js --device cpu --quick          the same on the CPU, to try it
 *
 * First whether numbers are right (the PyTorch fixtures), then time and memory of each bundle beside PyTorch's own.
 * results/gpu.md and gpu.json are written anew after every row, so what was measured before an end is kept.
 */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { note } from '../cli/output.js';
import { wholeNumber } from '../cli/parse.js';
import { DensecError } from '../src/ir/index.js';
import { parseDevice } from '../src/runtime/session/devices.js';
import { fixtureRows } from './gpu-fixtures.js';
import { GpuReport } from './gpu-report.js';
import { stepRows } from './gpu-steps.js';

interface Flags {
  readonly out: string;
  readonly device: string;
  readonly python: string;
  readonly fixtures: string;
  readonly minutes: number;
  readonly steps: number;
  readonly quick?: boolean;
  readonly only?: string;
}

const root = import.meta.url.endsWith('.ts') ? '../' : '../../';

const program = new Command('bench:gpu')
  .description('Check and measure training steps on a GPU, beside PyTorch where Python has it.')
  .option('--out <dir>', 'folder for gpu.md and gpu.json', 'gpu-results')
  .option('--device <name>', 'cuda, cuda:INDEX, or cpu to try this script', 'cuda')
  .option('--python <path>', 'the Python that may have PyTorch', 'python3')
  .option(
    '--fixtures <dir>',
    "PyTorch's reference steps",
    fileURLToPath(new URL(`${root}test/fixtures/torch/`, import.meta.url)),
  )
  .addOption(new Option('--minutes <n>', 'begin no row after so long').argParser(wholeNumber(1)).default(10))
  .addOption(new Option('--steps <n>', 'steps in a process').argParser(wholeNumber(4)).default(20))
  .option('--only <text>', 'rows whose names contain this')
  .option('--quick', 'small networks and few steps')
  .action(async ({ out, device: name, python, fixtures, minutes, steps, quick = false, only = '' }: Flags) => {
    const device = parseDevice(name);
    const report = await GpuReport.create(out, device);
    const directory = await mkdtemp(join(tmpdir(), 'densec-gpu-'));
    const deadline = performance.now() + 60_000 * minutes;
    try {
      if (!existsSync(fixtures)) note(`no reference steps in ${fixtures}: numbers are not checked`);
      const request = { device, directory, python, steps: quick ? 4 : steps, quick, threads: availableParallelism() };
      const rows = [...(existsSync(fixtures) ? fixtureRows(fixtures, request) : []), ...stepRows(request)];
      for (const row of rows.filter((each) => each.name.includes(only))) {
        if (performance.now() > deadline) {
          report.leaveOut(row.name, `${minutes} minutes were over`);
          continue;
        }
        note(row.name);
        try {
          await report.add(row.name, await row.measure());
        } catch (error) {
          if (!(error instanceof DensecError)) throw error;
          note(`${row.name}: ${error.message}`);
          report.leaveOut(row.name, error.message);
        }
      }
      await report.write();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
    process.stdout.write(report.markdown());
    if (report.failures > 0) process.exitCode = 1;
  });

await program.parseAsync();
