/**
 * @file npm run bench:forecast: by how much the process of a training run grows, beside the forecast that `densec train`
 * makes. Writes the table into docs/decisions.md.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command, Option } from 'commander';
import { note, printJson } from '../cli/output.js';
import { wholeNumber } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { densenet } from '../src/builders/index.js';
import { compile } from '../src/compile.js';
import type { RematName } from '../src/passes/solvers/index.js';
import { writeBundle } from '../src/runtime/bundle/bundle.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { forecastMemory } from '../src/runtime/measure/forecast.js';
import type { RunGrowth } from './forecast-run.js';
import { megabytes, replaceSection, table } from './markdown.js';

/** DenseNet-BC, growth rate 12, 32×32 images. */
const runs: readonly (readonly [depth: number, remat: RematName, batchSize: number])[] = [
  [22, 'none', 64],
  [22, 'efficient', 64],
  [40, 'none', 64],
  [40, 'efficient', 64],
  [40, 'max', 64],
  [100, 'none', 16],
  [100, 'efficient', 32],
  [100, 'max', 32],
  [100, 'max', 64],
];

/** No data: the batch is noise that is there before the run begins. */
const noData = { imageBytes: 0, batches: 0, fixedBytes: 0, loadedBytes: 0 };

const page = fileURLToPath(new URL('../../docs/decisions.md', import.meta.url));

interface Figures extends RunGrowth {
  readonly depth: number;
  readonly remat: RematName;
  readonly batchSize: number;
  readonly livePeak: number;
  readonly forecast: number;
}

const program = new Command('bench:forecast')
  .description('Measure how far training runs grow and write them beside their forecasts into docs/decisions.md.')
  .addOption(new Option('--threads <n>', 'threads').argParser(wholeNumber(1)).default(2))
  .option('--json', 'print the figures in bytes as JSON and write no file')
  .action(async ({ threads, json }: { threads: number; json?: boolean }) => {
    const figures: Figures[] = [];
    const counter = startCounter();
    try {
      for (const [index, [depth, remat, batchSize]] of runs.entries()) {
        figures.push(await measured(depth, remat, batchSize, threads));
        counter.update(index + 1, runs.length, `depth ${depth}, ${remat}, batch ${batchSize}`);
      }
    } finally {
      counter.stop();
    }
    if (json) {
      printJson({ threads, runs: figures });
      return;
    }
    await writeFileAtomic(page, replaceSection(await readFile(page, 'utf8'), 'forecast', tableOf(figures)));
    note('wrote docs/decisions.md');
  });

async function measured(depth: number, remat: RematName, batchSize: number, threads: number): Promise<Figures> {
  const network = densenet({ depth });
  const compiled = compile(network, { remat });
  const { livePeakBytes: livePeak, processBytes: forecast } = forecastMemory(compiled, batchSize, noData);
  const folder = await mkdtemp(join(tmpdir(), 'densec-forecast-'));
  try {
    const bundle = join(folder, 'bundle');
    await writeBundle(bundle, network, compiled);
    const run = fileURLToPath(new URL('forecast-run.js', import.meta.url));
    const options = ['--expose-gc', run, bundle, String(batchSize), String(threads)];
    const { stdout } = await promisify(execFile)(process.execPath, options);
    return { depth, remat, batchSize, livePeak, forecast, ...(JSON.parse(stdout) as RunGrowth) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function tableOf(figures: readonly Figures[]): string {
  const head = [
    'depth',
    'recomputed',
    'batch',
    'live peak (plan)',
    'training',
    'ratio',
    'all',
    'forecast',
    'above all',
  ];
  return table(
    head,
    figures.map(({ depth, remat, batchSize, livePeak, training, all, forecast }) => [
      String(depth),
      remat === 'none' ? 'nothing' : remat,
      String(batchSize),
      megabytes(livePeak),
      megabytes(training),
      (training / livePeak).toFixed(2),
      megabytes(all),
      megabytes(forecast),
      `${((forecast / all - 1) * 100).toFixed(0)} %`,
    ]),
  ).join('\n');
}

await program.parseAsync();
