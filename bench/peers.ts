/**
 * @file npm run bench:peers: PyTorch, naive and checkpointed, beside our policies.
 *
 *     npm run bench:peers -- --depth 100 --batch-size 64 --threads 2 --rounds 5
 *     npm run bench:peers -- --arch densenet121 --batch-size 8 --json
 */

import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { megabytes, note, printFacts, printJson, printTable } from '../cli/output.js';
import { wholeNumber, wholeNumbers } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { type DenseNetOptions, denseNetConfig } from '../src/builders/index.js';
import { comparePeers, type PeersReport } from './compare-peers.js';

interface Flags {
  readonly arch?: string;
  readonly depth?: number;
  readonly blockConfig?: number[];
  readonly growthRate?: number;
  readonly imageSize?: number;
  readonly classes?: number;
  readonly batchSize: number;
  readonly steps: number;
  readonly rounds: number;
  readonly threads: number;
  readonly seed: number;
  readonly python: string;
  readonly json?: boolean;
}

const count = (flags: string, text: string): Option => new Option(flags, text).argParser(wholeNumber(1));

const program = new Command('bench:peers')
  .description('Compare training steps of PyTorch and of our three policies, in turn, each in a fresh process.')
  .option('--arch <name>', "densenet121 and the like, with ImageNet's stem, classes and image size")
  .addOption(count('--depth <n>', 'layers of a DenseNet-BC with three blocks (default: 100)'))
  .addOption(new Option('--block-config <a,b,c>', 'layers of each block').argParser(wholeNumbers))
  .addOption(count('--growth-rate <n>', 'channels each layer adds'))
  .addOption(count('--image-size <n>', 'height and width of the images'))
  .addOption(count('--classes <n>', 'number of classes'))
  .addOption(count('--batch-size <n>', 'images a step').default(64))
  .addOption(count('--steps <n>', 'steps in a process; of several, the first is not timed').default(5))
  .addOption(count('--rounds <n>', 'processes for each').default(3))
  .addOption(count('--threads <n>', 'threads').default(availableParallelism()))
  .addOption(new Option('--seed <n>', 'seed of weights and batch').argParser(wholeNumber(0)).default(0))
  .option('--python <path>', 'the Python that has PyTorch', 'python3')
  .option('--json', 'print JSON')
  .action(async ({ batchSize, steps, rounds, threads, seed, python, json, ...network }: Flags) => {
    const counter = startCounter();
    try {
      const report = await comparePeers({
        config: denseNetConfig(network as DenseNetOptions),
        batchSize,
        steps,
        rounds,
        threads,
        seed,
        python,
        onProgress: (done, total, what) => counter.update(done, total, what),
        onNote: note,
      });
      counter.stop();
      if (json) printJson(report);
      else show(report);
    } finally {
      counter.stop();
    }
  });

function show({ config, batchSize, steps, rounds, threads, torch, peers }: PeersReport): void {
  printFacts([
    ['network', `blocks of ${config.blockConfig.join(', ')} layers, growth rate ${config.growthRate}`],
    ['images', `${batchSize} of ${config.channels} × ${config.imageSize} × ${config.imageSize}`],
    ['measured', `${rounds} × ${steps} steps, ${threads} threads`],
    ['PyTorch', torch ?? 'left out'],
  ]);
  process.stdout.write('\n');
  printTable(
    ['', 'step ms', 'growth', 'predicted live peak', 'nodes', 'session ms'],
    peers.map(({ name, stepMs, peakGrowthBytes, predictedLivePeakBytes, nodes, sessionMs, failed }) => [
      failed === undefined ? name : `${name} (failed)`,
      stepMs === null ? '–' : stepMs.toFixed(1),
      peakGrowthBytes === null ? '–' : megabytes(peakGrowthBytes),
      predictedLivePeakBytes === null ? '–' : megabytes(predictedLivePeakBytes),
      nodes === null ? '–' : String(nodes),
      sessionMs === null ? '–' : sessionMs.toFixed(0),
    ]),
  );
  const references = peers[0]?.ratios.map(({ to }) => to) ?? [];
  const ratio = (value: number | null): string => (value === null ? '–' : `${value.toFixed(3)} ×`);
  for (const [title, figure] of [
    ['step over that of', 'stepMs'],
    ['growth over that of', 'peakGrowthBytes'],
  ] as const) {
    process.stdout.write('\n');
    printTable(
      [title, ...references],
      peers.map(({ name, ratios }) => [name, ...ratios.map((to) => ratio(to[figure]))]),
    );
  }
}

await program.parseAsync();
