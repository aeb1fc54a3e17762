/**
 * @file npm run bench:costs: what kernels cost on this machine's CPU, by kind, fitted to the runtime's profile of training
 * steps. Writes the table into src/targets/cpu.ts and prints predicted beside measured steps.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { note, printJson, printTable } from '../cli/output.js';
import { wholeNumber } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { resnet } from '../examples/resnet.js';
import { densenet, type Network } from '../src/builders/index.js';
import { type Compiled, compile } from '../src/compile.js';
import type { RematName } from '../src/passes/solvers/index.js';
import { writeBundle } from '../src/runtime/bundle/bundle.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { readProfile } from '../src/runtime/measure/profile-reader.js';
import { runChild } from '../src/runtime/measure/run-child.js';
import { median } from '../src/runtime/measure/statistics.js';
import {
  type Costs,
  type KernelKind,
  type Rate,
  stepMicroseconds,
  targets,
  type Work,
  workOf,
} from '../src/targets/index.js';

/** Steps that the table is fitted to. */
const runs: readonly {
  readonly name: string;
  readonly network: () => Network;
  readonly remat: RematName;
  readonly batchSize: number;
}[] = [
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'none', batchSize: 64 },
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'max', batchSize: 64 },
  { name: 'BC-100', network: () => densenet({ depth: 100 }), remat: 'max', batchSize: 32 },
  { name: 'BC-40', network: () => densenet({ depth: 40 }), remat: 'efficient', batchSize: 8 },
  { name: 'ResNet-14', network: () => resnet([16, 32, 64]), remat: 'none', batchSize: 64 },
  { name: 'densenet121', network: () => densenet({ arch: 'densenet121' }), remat: 'none', batchSize: 4 },
];

const steps = 4;

/** The rates that are tried, a second. */
const grid = Array.from({ length: 121 }, (_, index) => 10 ** (8 + index / 20));

/** A kernel of a profile with what it had to do. */
interface Sample extends Work {
  readonly microseconds: number;
}

interface Measured {
  readonly name: string;
  readonly remat: RematName;
  readonly batchSize: number;
  readonly compiled: Compiled;
  /** Of a step that isn't profiled. */
  readonly stepMs: number;
  readonly samples: readonly Sample[];
}

const source = fileURLToPath(new URL('../../src/targets/cpu.ts', import.meta.url));

const program = new Command('bench:costs')
  .description('Fit the costs of kernels to profiled steps and write them into src/targets/cpu.ts.')
  .addOption(new Option('--threads <n>', 'threads').argParser(wholeNumber(1)).default(2))
  .option('--json', 'print the fit as JSON and write no file')
  .action(async ({ threads, json }: { threads: number; json?: boolean }) => {
    const counter = startCounter();
    const measured: Measured[] = [];
    try {
      for (const [index, run] of runs.entries()) {
        measured.push(await measure(run, threads));
        counter.update(index + 1, runs.length, `${run.name}, ${run.remat}, batch ${run.batchSize}`);
      }
    } finally {
      counter.stop();
    }
    const costs = fitCosts(measured);
    const target = { ...targets.cpu, costs };
    const rows = measured.map(({ name, remat, batchSize, compiled, stepMs }) => ({
      name,
      remat,
      batchSize,
      measuredMs: stepMs,
      predictedMs: stepMicroseconds(compiled.training.nodes, target, batchSize) / 1000,
    }));
    if (json) {
      printJson({ threads, costs, runs: rows });
      return;
    }
    await writeFileAtomic(source, withCosts(await readFile(source, 'utf8'), costs));
    note('wrote src/targets/cpu.ts');
    const cells = rows.map((row) => [
      row.name,
      row.remat,
      String(row.batchSize),
      row.measuredMs.toFixed(0),
      row.predictedMs.toFixed(0),
      (row.predictedMs / row.measuredMs).toFixed(2),
    ]);
    printTable(['network', 'recomputed', 'batch', 'measured ms', 'predicted ms', 'ratio'], cells);
  });

async function measure({ name, network, remat, batchSize }: (typeof runs)[number], threads: number): Promise<Measured> {
  const built = network();
  const compiled = compile(built, { remat });
  const folder = await mkdtemp(join(tmpdir(), 'densec-costs-'));
  try {
    const bundle = join(folder, 'bundle');
    await writeBundle(bundle, built, compiled);
    const request = {
      kind: 'steps',
      bundle,
      batchSize,
      steps,
      seed: 0,
      device: { target: 'cpu', index: 0 },
      threads,
      session: { optimization: 'disabled', memoryPattern: false },
    } as const;
    const { stepMs } = await runChild(request);
    const profilePrefix = join(folder, 'profile');
    await runChild({ ...request, profilePrefix });
    const profiled = await readProfile(profilePrefix);
    const { graph, names } = compiled.schedules.training;
    const nodes = new Map(graph.nodes.map((node) => [names.get(node.outputs[0] as never), node]));
    const samples = profiled.slice(1).flatMap(({ kernels }) =>
      kernels.flatMap((kernel): Sample[] => {
        const node = nodes.get(kernel.name);
        return node ? [{ ...workOf(node, batchSize), microseconds: kernel.duration }] : [];
      }),
    );
    return { name, remat, batchSize, compiled, stepMs: median(stepMs.slice(1)), samples };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Rates by kind from the profile; the microseconds of a node from what steps take beside their kernels' work. */
function fitCosts(measured: readonly Measured[]): Costs {
  const kinds = Object.keys(targets.cpu.costs.rates) as KernelKind[];
  const samples = measured.flatMap((run) => run.samples);
  const rates = Object.fromEntries(
    kinds.map((kind) => [kind, fitRate(samples.filter((sample) => sample.kind === kind && sample.microseconds > 20))]),
  ) as Record<KernelKind, Rate>;
  const nodeUs = median(
    measured.map(({ compiled, stepMs, batchSize }) => {
      const free = { ...targets.cpu, costs: { nodeUs: 0, rates } };
      const nodes = compiled.training.nodes.filter(({ operator }) => operator !== 'constant').length;
      return Math.max(0.5, (1000 * stepMs - stepMicroseconds(compiled.training.nodes, free, batchSize)) / nodes);
    }),
  );
  return { nodeUs: Number(nodeUs.toPrecision(2)), rates };
}

/** The rates of least absolute error over the samples of one kind. */
function fitRate(samples: readonly Sample[]): Rate {
  if (samples.every(({ bytes }) => bytes === 0)) return { bytesPerSecond: Number.POSITIVE_INFINITY };
  const computes = samples.some(({ flops }) => flops > 0);
  const best = (error: (rate: number) => number): number =>
    grid.reduce((least, rate) => (error(rate) < error(least) ? rate : least));
  const errorOf = (bytesPerSecond: number, flopsPerSecond: number): number =>
    samples.reduce((sum, { bytes, flops, microseconds }) => {
      const predicted = 1e6 * Math.max(bytes / bytesPerSecond, flops / flopsPerSecond);
      return sum + Math.abs(predicted - microseconds);
    }, 0);
  let flopsPerSecond = Number.POSITIVE_INFINITY;
  let bytesPerSecond = best((rate) => errorOf(rate, flopsPerSecond));
  for (let round = 0; computes && round < 4; round++) {
    flopsPerSecond = best((rate) => errorOf(bytesPerSecond, rate));
    bytesPerSecond = best((rate) => errorOf(rate, flopsPerSecond));
  }
  const rounded = (rate: number): number => Number(rate.toPrecision(2));
  return { bytesPerSecond: rounded(bytesPerSecond), ...(computes && { flopsPerSecond: rounded(flopsPerSecond) }) };
}

/** The file with other costs between its marks. */
function withCosts(text: string, { nodeUs, rates }: Costs): string {
  const shown = (rate: number): string =>
    Number.isFinite(rate) ? rate.toExponential().replace('e+', 'e') : 'Number.POSITIVE_INFINITY';
  const lines = Object.entries(rates).map(([kind, { bytesPerSecond, flopsPerSecond }]) => {
    const flops = flopsPerSecond === undefined ? '' : `, flopsPerSecond: ${shown(flopsPerSecond)}`;
    return `      ${kind}: { bytesPerSecond: ${shown(bytesPerSecond)}${flops} },`;
  });
  const section = ['  costs: {', `    nodeUs: ${nodeUs},`, '    rates: {', ...lines, '    },', '  },'].join('\n');
  return text.replace(
    /( {2}\/\/ costs:begin[^\n]*\n)[\s\S]*?( {2}\/\/ costs:end)/,
    (_, begin: string, end: string) => `${begin}${section}\n${end}`,
  );
}

await program.parseAsync();
