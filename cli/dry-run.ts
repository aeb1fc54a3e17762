/** @file train --dry-run: what a step of many processes will take, without taking one. */

import { densenet } from '../src/builders/index.js';
import { type Compiled, compile } from '../src/compile.js';
import { RequestError } from '../src/ir/index.js';
import { loadSolver } from '../src/passes/solvers/index.js';
import { openBundle } from '../src/runtime/bundle/bundle.js';
import { lowerAgain } from '../src/runtime/bundle/replan.js';
import { defaultLatencyUs, forecastProcesses, type ManyProcesses } from '../src/runtime/measure/many-processes.js';
import { trainDefaults } from '../src/runtime/run/options.js';
import { costsOf } from './costs.js';
import { lossChoice } from './loss.js';
import { grouped, megabytes, note, percent, printJson, printTable } from './output.js';
import { type BuildFlags, compileOptions, networkConfig } from './shared.js';

/** Flags of a dry run. */
export interface DryRunFlags extends BuildFlags {
  readonly seed: number;
  readonly batchSize?: number;
  readonly processes?: number;
  readonly link: number;
  readonly threads?: number;
  readonly syncBatchNorm?: boolean;
  readonly json?: boolean;
}

/** Prints what steps of up to so many processes will take. */
export async function dryRun(directory: string | undefined, flags: DryRunFlags): Promise<void> {
  const { processes = 1, batchSize = trainDefaults.batchSize, syncBatchNorm = false } = flags;
  const compiled = await compiledFor(directory, flags, syncBatchNorm);
  const link = { bytesPerSecond: flags.link, latencyUs: defaultLatencyUs };
  const forecast = forecastProcesses(compiled, batchSize, processes, link);
  if (flags.json) printJson({ event: 'dryRun', batchSize, costs: compiled.costs.name, ...forecast });
  else printForecast(forecast, batchSize);
}

async function compiledFor(
  directory: string | undefined,
  flags: DryRunFlags,
  syncBatchNorm: boolean,
): Promise<Compiled> {
  const bundle = directory === undefined ? undefined : await openBundle(directory);
  const costs = await costsOf(flags, bundle?.manifest.target ?? flags.target);
  const options = { processes: true, syncBatchNorm, costs };
  if (bundle) {
    // Its plan for several processes is looked for once more.
    if (bundle.manifest.solver) await loadSolver();
    return lowerAgain(bundle, options);
  }
  return compile(densenet(networkConfig(flags)), { ...compileOptions(flags, await lossChoice(flags)), ...options });
}

function printForecast({ link, sums, sumBytes, livePeakBytes, forecasts }: ManyProcesses, batchSize: number): void {
  note(
    `${batchSize} images a process, ${megabytes(livePeakBytes)} alive at once in each; ${sums} sums of ${megabytes(sumBytes)} a step over a link of ${(link.bytesPerSecond / 1e9).toPrecision(3)} GB/s and ${link.latencyUs} µs a message. Times are those of the cost table, if no process is slower than the others.`,
  );
  printTable(
    ['processes', 'images a step', 'computing, ms', 'sums, ms', 'step, ms', 'efficiency'],
    forecasts.map(({ processes, images, computeMs, sumsMs, stepMs, efficiency }) => [
      grouped(processes),
      grouped(images),
      computeMs.toFixed(1),
      sumsMs.toFixed(1),
      stepMs.toFixed(1),
      percent(efficiency),
    ]),
  );
}

/** Bytes a second from text such as `10GB/s` or `1.25GiB/s`. @throws RequestError for another text */
export function linkSpeed(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(k|M|G|T)?(i)?B\/s$/.exec(text);
  const speed =
    match && Number(match[1]) * (match[3] ? 1024 : 1000) ** ['', 'k', 'M', 'G', 'T'].indexOf(match[2] ?? '');
  if (speed) return speed;
  throw new RequestError(
    `the link ${text} is no speed; give bytes a second above 0, as in 10GB/s or 1.25GB/s (10 Gbit/s)`,
  );
}
