/** @file densec calibrate: measures what kernels cost on this machine, and keeps it for budgets and modelled times. */

import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { FailureError } from '../../src/ir/index.js';
import { type CalibrationReport, calibrate } from '../../src/runtime/measure/calibrate.js';
import { calibrationFile, writeCalibration } from '../../src/runtime/measure/calibration.js';
import { measuredRates } from '../../src/runtime/measure/costs.js';
import { note, percent, printFacts, printJson, printTable, warn } from '../output.js';
import { wholeNumber } from '../parse.js';
import { showSweep } from '../plan-tables.js';
import { startCounter } from '../progress.js';

/** Steps of one network differ by less on a machine that rests: the slowest over the fastest. */
const steady = 1.5;

interface Flags {
  readonly threads?: number;
  readonly output?: string;
  readonly force?: boolean;
  readonly check: boolean;
  readonly json?: boolean;
}

export function calibrateCommand(): Command {
  return new Command('calibrate')
    .description("Measure what kernels cost on this machine's CPU, by which budgets are met and times are modelled.")
    .addOption(new Option('--threads <n>', 'threads of one operator (default: all cores)').argParser(wholeNumber(1)))
    .option('-o, --output <file>', 'write the table there, for --costs, instead of keeping it for this machine')
    .option('--force', 'replace that file if it exists')
    .option('--no-check', 'do without the ten plans of a small network that are held against the table')
    .option('--json', 'print JSON: the table, the steps that it was fitted to, the check')
    .addHelpText('after', help)
    .action(run);
}

const help = `
It takes two minutes or so; let the machine rest meanwhile. The table is kept where the system has its caches, for this
machine, this number of threads and this version of onnxruntime. From then on build, train and plan take it, say so, and
keep its name in manifest.json; --costs default takes densec's own table, by which plans are the same on every machine.

Examples:
  densec calibrate
  densec calibrate --threads 2 -o two-threads.json
  densec build --depth 100 --memory-budget 400MB --batch-size 64 --costs two-threads.json -o bc100`;

async function run({ threads = availableParallelism(), output, force, check, json }: Flags): Promise<void> {
  if (output !== undefined && !force) await refuseExisting(output);
  // One after the other: each tells the time that is left by when it began.
  let counter = startCounter('measured', 'networks');
  const next = (what: string, unit: string): void => {
    counter.stop();
    counter = startCounter(what, unit);
  };
  let report: CalibrationReport;
  try {
    report = await calibrate({
      ...{ threads, check },
      onMeasured: (done, total, what) => {
        counter.update(done, total, what);
        if (done === total) next('check: planned', 'plans');
      },
      onPlan: (done, total, what) => {
        counter.update(done, total, what);
        if (done === total) next('check: measured', 'processes');
      },
      onChecked: (done, total, what) => counter.update(done, total, what),
    });
  } finally {
    counter.stop();
  }
  const file = output ?? calibrationFile(threads);
  await writeCalibration(file, report.calibration);
  if (json) printJson(asJson(report, file));
  else show(report);
  const spread = Math.max(...report.runs.map((each) => each.spread));
  if (spread > steady) {
    warn(
      `the slowest of a network's steps took ${spread.toFixed(1)} times as long as the fastest, so other work ran meanwhile; measure again when the machine rests`,
    );
  }
  note(`wrote ${file}`);
}

async function refuseExisting(file: string): Promise<void> {
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (exists) throw new FailureError(`${file} exists already; choose another name, or --force to replace it`);
}

/** Rates in all, as one number each: those of elementwise kernels and of products of matrices. */
function asJson({ calibration, runs, check }: CalibrationReport, file: string): object {
  const { costs, ...facts } = calibration;
  const { elementwise, product } = costs.rates;
  return {
    ...facts,
    ...{ file, name: costs.name, nodeUs: costs.nodeUs },
    bytesPerSecond: elementwise.bytesPerSecond,
    flopsPerSecond: product.flopsPerSecond ?? null,
    ...{ rates: measuredRates(costs), runs },
    ...(check && { check }),
  };
}

function show({ calibration: { machine, threads, onnxruntime, costs }, runs, check }: CalibrationReport): void {
  printFacts([
    ['machine', `${machine.name}: ${machine.cpu}, ${machine.cores} cores`],
    ['threads', threads],
    ['onnxruntime', onnxruntime],
    ['any node', `${costs.nodeUs} µs`],
  ]);
  const giga = (rate: number | undefined): string => (rate === undefined ? '–' : (rate / 1e9).toPrecision(3));
  process.stdout.write('\n');
  printTable(
    ['kernels', 'GB/s', 'GFLOP/s'],
    Object.entries(measuredRates(costs)).map(([kind, { bytesPerSecond, flopsPerSecond }]) => [
      kind,
      giga(bytesPerSecond),
      giga(flopsPerSecond),
    ]),
  );
  process.stdout.write('\n');
  printTable(
    ['fitted to', 'recomputed', 'batch', 'measured ms', 'modelled ms', 'apart'],
    runs.map(({ name, remat, batchSize, measuredMs, predictedMs }) => [
      ...[name, remat, String(batchSize), measuredMs.toFixed(1), predictedMs.toFixed(1)],
      percent(predictedMs / measuredMs - 1),
    ]),
  );
  if (!check) return;
  note(`\n${check.network}, batch ${check.batchSize}, which the table was not fitted to:`);
  showSweep(check.plans);
}
