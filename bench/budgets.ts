/**
 * @file npm run bench:budgets: the fastest plans within memory budgets, from the least that is possible to what keeping
 * everything takes, beside PyTorch eager and torch.compile with budgets of activations. Writes docs/budgets.json after every
 * row and measurement, then docs/budgets.svg and a section of docs/performance.md.
 *
 *     npm run bench:budgets -- --depth 40 --batch-size 64 --threads 2 --rounds 3 --python python3
 *     npm run bench:budgets -- --network densenet264 --batch-size 32 --plan-only --budgets 1 --budget-seconds 180 --gap 0.01
 */

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { note, printJson, printTable } from '../cli/output.js';
import { finiteNumber, finiteNumbers, wholeNumber } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { architectures, denseNetConfig } from '../src/builders/index.js';
import { RequestError } from '../src/ir/index.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { renderBudgets } from './budget-plot.js';
import { type BudgetNetwork, budgetSection, parseNetworks, tableOf, withNetwork } from './budget-rows.js';
import { replaceSection } from './markdown.js';
import { measureBudgets } from './measure-budgets.js';
import { denseNetSubject, type PeerSubject, plainSubject } from './peer-subjects.js';
import { type PlainName, plainNetworks } from './plain-networks.js';

const root = import.meta.url.endsWith('.ts') ? '../' : '../../';
const inDocs = (file: string): string => fileURLToPath(new URL(`${root}docs/${file}`, import.meta.url));

interface Flags {
  readonly network?: string;
  readonly depth?: number;
  readonly imageSize?: number;
  readonly batchSize?: number;
  readonly budgets: number;
  readonly budgetSeconds: number;
  readonly gap: number;
  readonly threads: number;
  readonly steps: number;
  readonly rounds: number;
  readonly verify: boolean;
  readonly planOnly?: boolean;
  readonly python: string;
  readonly torchBudgets: number[];
  readonly output?: string;
  readonly json?: boolean;
}

const count = (flags: string, text: string): Option => new Option(flags, text).argParser(wholeNumber(1));
const networks = [...Object.keys(plainNetworks), ...Object.keys(architectures)];

const program = new Command('bench:budgets')
  .description('Find plans within memory budgets, verify them, and measure them in turn with PyTorch.')
  .addOption(new Option('--network <name>', 'instead of --depth').choices(networks))
  .addOption(count('--depth <n>', 'layers of a DenseNet-BC with three blocks (default: 100)'))
  .addOption(count('--image-size <n>', "height and width of the images (default: the network's own)"))
  .addOption(count('--batch-size <n>', "images a step (default: 64, a plain network's own; 32 at 224×224)"))
  .addOption(count('--budgets <n>', 'how many budgets; 1 is the least that is possible').default(12))
  .addOption(count('--budget-seconds <n>', 'how long to look within each').default(20))
  .addOption(
    new Option('--gap <x>', "share of a step's time below which a better plan isn't looked for")
      .argParser(share)
      .default(1e-3),
  )
  .addOption(count('--threads <n>', 'threads').default(availableParallelism()))
  .addOption(count('--steps <n>', 'steps in a process; of several, the first is not timed').default(5))
  .addOption(count('--rounds <n>', 'processes for each').default(3))
  .option('--no-verify', 'do without densec verify')
  .option('--plan-only', 'run nothing: plans, what is proven of them and how long it took')
  .option('--python <path>', 'the Python that has PyTorch', 'python3')
  .addOption(
    new Option('--torch-budgets <a,b,c>', 'activation memory budgets of torch.compile, from 1 to 0')
      .argParser((text) => finiteNumbers(text).map((value) => share(String(value))))
      .default([1, 0.8, 0.6, 0.4, 0.2, 0]),
  )
  .option('-o, --output <file.svg>', 'the plot; figures go beside it, as .json (default: docs/budgets.svg)')
  .option('--json', 'print the figures as JSON, and write them nowhere unless --output is given')
  .action(run);

async function run(flags: Flags): Promise<void> {
  const { output, json, planOnly = false, budgetSeconds, ...options } = flags;
  if (output !== undefined && !output.endsWith('.svg')) {
    throw new RequestError(`-o ${output} is no .svg; give the name of the plot, as in budgets.svg`);
  }
  const plot = output ?? inDocs('budgets.svg');
  const file = plot.replace(/\.svg$/, '.json');
  const isWritten = !json || output !== undefined;
  const before = isWritten ? await networksOf(file) : [];
  const subject = subjectOf(flags);
  const batchSize = flags.batchSize ?? usualBatch(flags, subject);
  let counter = startCounter('planned', 'plans');
  let all: BudgetNetwork[] = before;
  try {
    const network = await measureBudgets({
      ...options,
      ...{ subject, batchSize, planOnly, seconds: budgetSeconds },
      title: `${titleOf(flags, subject)}, batch ${batchSize}`,
      onPlan: (done, total, what) => {
        counter.update(done, total, what);
        if (done < total) return;
        // Measurements tell the time that is left by when they began.
        counter.stop();
        counter = startCounter();
      },
      onMeasured: (done, total, what) => counter.update(done, total, what),
      onNote: note,
      async onRow(found) {
        all = withNetwork(before, found);
        if (isWritten) await writeFileAtomic(file, `${JSON.stringify(all, undefined, 2)}\n`);
      },
    });
    if (json) printJson(network);
    else {
      const { head, rows } = tableOf(network);
      printTable(head, rows);
    }
  } finally {
    counter.stop();
  }
  if (!isWritten) return;
  await writeFileAtomic(plot, renderBudgets(all));
  note(`wrote ${file} and ${plot}`);
  if (output !== undefined) return;
  const page = inDocs('performance.md');
  await writeFileAtomic(page, replaceSection(await readFile(page, 'utf8'), 'budgets', budgetSection(all)));
  note(`wrote ${page}`);
}

async function networksOf(file: string): Promise<BudgetNetwork[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  return text === undefined ? [] : parseNetworks(text, file);
}

function share(text: string): number {
  const value = finiteNumber(text);
  if (value < 0 || value > 1) throw new InvalidArgumentError('Give a number from 0 to 1.');
  return value;
}

function isPlain(name: string): name is PlainName {
  return name in plainNetworks;
}

function subjectOf({ network, depth, imageSize }: Flags): PeerSubject {
  if (network !== undefined && depth !== undefined) {
    throw new RequestError(`--network ${network} and --depth ${depth} each name a network; drop one`);
  }
  if (network !== undefined && isPlain(network)) return plainSubject(network, imageSize);
  return denseNetSubject(
    denseNetConfig({
      ...(network === undefined ? { depth: depth ?? 100 } : { arch: network }),
      ...(imageSize !== undefined && { imageSize }),
    }),
  );
}

function usualBatch({ network }: Flags, { network: { inputShape } }: PeerSubject): number {
  if (network !== undefined && isPlain(network)) return plainNetworks[network].batchSize;
  return (inputShape[1] ?? 0) >= 224 ? 32 : 64;
}

function titleOf({ network, depth = 100 }: Flags, { network: { inputShape } }: PeerSubject): string {
  const [, height, width] = inputShape;
  return `${network ?? `DenseNet-BC-${depth}`} at ${height}×${width}`;
}

await program.parseAsync();
