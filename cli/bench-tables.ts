/** @file The tables of densec bench. */

import type { BenchReport, BundleFigures, SweepRow } from '../src/runtime/measure/bench.js';
import type { ProfileGroup, ProfileReport } from '../src/runtime/measure/profile.js';
import { describeRuntime } from '../src/runtime/session/runtime-choice.js';
import { describeChoice } from '../src/runtime/session/session-choice.js';
import { megabytes, percent, printFacts, printTable } from './output.js';

/** How many layers people are shown; JSON has all. */
const shownLayers = 25;

/** Shows a report to people. */
export function showBench(report: BenchReport): void {
  const { against, ratio, sweep, profile, session } = report;
  printFacts([
    ['batch size', report.batchSize],
    ['measured', `${report.rounds} × ${report.steps} steps on ${report.device}, ${report.threads} threads`],
    ['session options', describeChoice(session)],
    ['because', session.reason],
    ...runtimeFacts(report),
  ]);
  const rows = [bundleRow(report), ...(against ? [bundleRow(against)] : [])];
  if (ratio) {
    rows.push([
      'ratio',
      factor(ratio.stepMs),
      '',
      factor(ratio.peakGrowthBytes),
      factor(ratio.predictedLivePeakBytes),
      factor(ratio.sessionMs),
      '',
    ]);
  }
  blank();
  printTable(['bundle', 'step ms', 'min – max', 'growth', 'predicted live peak', 'session ms', 'nodes'], rows);
  if (sweep) showSweep(sweep);
  if (profile) showProfile(profile);
}

/** How the runtime was reached, and what its allocator says. */
function runtimeFacts({ runtime, arena, deviceMemory }: BenchReport): [string, string][] {
  const { cudaGraph } = runtime;
  const graph =
    cudaGraph === true ? 'one graph' : `node by node${typeof cudaGraph === 'string' ? `: ${cudaGraph}` : ''}`;
  return [
    ['runtime', describeRuntime(runtime)],
    ...(cudaGraph === undefined ? [] : [['launched', graph] as [string, string]]),
    ...(arena
      ? [
          ['arena', `${megabytes(arena.peakBytes)} in use at most, ${megabytes(arena.reservedBytes)} taken`] as [
            string,
            string,
          ],
        ]
      : []),
    ...(deviceMemory
      ? [['on the card', `${megabytes(deviceMemory.peakBytes)} at most, contexts included`] as [string, string]]
      : []),
  ];
}

function bundleRow(figures: BundleFigures): string[] {
  const { directory, stepMs, peakGrowthBytes, predictedLivePeakBytes, sessionMs, nodes } = figures;
  return [
    directory,
    stepMs.median.toFixed(1),
    `${stepMs.min.toFixed(1)} – ${stepMs.max.toFixed(1)}`,
    bytesOrNone(peakGrowthBytes),
    bytesOrNone(predictedLivePeakBytes),
    sessionMs.toFixed(0),
    String(nodes),
  ];
}

function showSweep(rows: readonly SweepRow[]): void {
  blank();
  printTable(
    ['session options', 'step ms', 'ratio', 'growth', 'ratio', 'session ms', ''],
    rows.map((row) => [
      describeChoice(row),
      row.stepMs.median.toFixed(1),
      factor(row.ratio.stepMs),
      bytesOrNone(row.peakGrowthBytes),
      factor(row.ratio.peakGrowthBytes),
      row.sessionMs.toFixed(0),
      row.chosen ? 'in use' : '',
    ]),
  );
}

function showProfile({ ceilings, stepMs, kernelMs, total, byOperator, byPhase, byLayer }: ProfileReport): void {
  blank();
  printFacts([
    ['memory', `${(ceilings.bytesPerSecond / 1e9).toFixed(1)} GB/s at most here`],
    ['arithmetic', `${(ceilings.flopsPerSecond / 1e9).toFixed(1)} GFLOP/s at most here`],
    ['step under the profiler', `${stepMs.toFixed(1)} ms, ${kernelMs.toFixed(1)} ms of it in kernels`],
  ]);
  for (const [name, groups] of [
    ['phase', [...byPhase, total]],
    ['operator', byOperator],
    ['layer', byLayer.slice(0, shownLayers)],
  ] as const) {
    blank();
    printTable([name, 'kernels', 'ms', 'share', 'MB', 'MFLOP', 'GB/s', 'GFLOP/s', 'of ceiling'], groups.map(groupRow));
  }
  if (byLayer.length > shownLayers) process.stdout.write(`  and ${byLayer.length - shownLayers} more layers\n`);
}

function groupRow(group: ProfileGroup): string[] {
  return [
    group.name,
    group.kernels.toFixed(0),
    group.ms.toFixed(2),
    percent(group.share),
    (group.bytes / 1e6).toFixed(1),
    (group.flops / 1e6).toFixed(1),
    (group.bytesPerSecond / 1e9).toFixed(1),
    (group.flopsPerSecond / 1e9).toFixed(1),
    percent(group.efficiency),
  ];
}

function bytesOrNone(bytes: number | null): string {
  return bytes === null ? 'not available' : megabytes(bytes);
}

function factor(ratio: number | null): string {
  return ratio === null ? '–' : `${ratio.toFixed(3)} ×`;
}

function blank(): void {
  process.stdout.write('\n');
}
