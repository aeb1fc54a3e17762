/**
 * @file npm run bench:costs: what kernels cost on this machine's CPU, by kind, as densec calibrate measures it. Writes the
 * table into src/targets/cpu.ts and prints predicted beside measured steps.
 */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { note, printJson, printTable } from '../cli/output.js';
import { wholeNumber } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { resnet } from '../examples/resnet.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { type FittedSteps, fittedSteps, measureCosts } from '../src/runtime/measure/costs.js';
import { type Costs, defaultCosts } from '../src/targets/index.js';

/** Steps that the table is fitted to. */
const fitted: readonly FittedSteps[] = [
  ...fittedSteps,
  { name: 'ResNet-14', network: () => resnet([16, 32, 64]), remat: 'none', batchSize: 64 },
];

const source = fileURLToPath(new URL('../../src/targets/cpu.ts', import.meta.url));

const program = new Command('bench:costs')
  .description('Fit the costs of kernels to profiled steps and write them into src/targets/cpu.ts.')
  .addOption(new Option('--threads <n>', 'threads').argParser(wholeNumber(1)).default(2))
  .option('--json', 'print the fit as JSON and write no file')
  .action(async ({ threads, json }: { threads: number; json?: boolean }) => {
    const counter = startCounter('measured', 'networks');
    const { costs, runs } = await measureCosts(defaultCosts, threads, counter.update, fitted).finally(counter.stop);
    if (json) {
      printJson({ threads, costs, runs });
      return;
    }
    await writeFileAtomic(source, withCosts(await readFile(source, 'utf8'), costs));
    note('wrote src/targets/cpu.ts');
    const cells = runs.map((row) => [
      row.name,
      row.remat,
      String(row.batchSize),
      row.measuredMs.toFixed(0),
      row.predictedMs.toFixed(0),
      (row.predictedMs / row.measuredMs).toFixed(2),
    ]);
    printTable(['network', 'recomputed', 'batch', 'measured ms', 'predicted ms', 'ratio'], cells);
  });

/** The file with other costs between its marks. */
function withCosts(text: string, { nodeUs, rates }: Costs): string {
  const shown = (rate: number): string =>
    Number.isFinite(rate) ? rate.toExponential().replace('e+', 'e') : 'Number.POSITIVE_INFINITY';
  const lines = Object.entries(rates).map(([kind, { bytesPerSecond, flopsPerSecond }]) => {
    const flops = flopsPerSecond === undefined ? '' : `, flopsPerSecond: ${shown(flopsPerSecond)}`;
    return `      ${kind}: { bytesPerSecond: ${shown(bytesPerSecond)}${flops} },`;
  });
  const section = [
    '  costs: {',
    '    name: defaultCosts,',
    `    nodeUs: ${nodeUs},`,
    '    rates: {',
    ...lines,
    '    },',
    '  },',
  ].join('\n');
  return text.replace(
    /( {2}\/\/ costs:begin[^\n]*\n)[\s\S]*?( {2}\/\/ costs:end)/,
    (_, begin: string, end: string) => `${begin}${section}\n${end}`,
  );
}

await program.parseAsync();
