/**
 * @file npm run bench:peers: PyTorch beside our policies, at a DenseNet (naive and checkpointed) or a plain network.
 *
 *     npm run bench:peers -- --depth 100 --batch-size 64 --threads 2 --rounds 5
 *     npm run bench:peers -- --arch densenet121 --batch-size 8 --json
 *     npm run bench:peers -- --network resnet18
 *     npm run bench:peers -- --plain            # all plain networks; writes the table in docs/performance.md
 */

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { megabytes, note, printFacts, printJson, printTable } from '../cli/output.js';
import { wholeNumber, wholeNumbers } from '../cli/parse.js';
import { startCounter } from '../cli/progress.js';
import { type DenseNetOptions, denseNetConfig } from '../src/builders/index.js';
import { FailureError, RequestError } from '../src/ir/index.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { comparePeers, type PeersReport } from './compare-peers.js';
import { replaceSection } from './markdown.js';
import { denseNetSubject, type PeerSubject, plainSubject, type SameLosses } from './peer-subjects.js';
import { type PlainName, plainNetworks } from './plain-networks.js';
import { plainSection } from './plain-section.js';
import { findTorch } from './torch-peer.js';

const page = fileURLToPath(
  new URL(`${import.meta.url.endsWith('.ts') ? '../' : '../../'}docs/performance.md`, import.meta.url),
);

const plainNames = Object.keys(plainNetworks) as PlainName[];

interface Flags {
  readonly network?: PlainName;
  readonly plain?: boolean;
  readonly arch?: string;
  readonly depth?: number;
  readonly blockConfig?: number[];
  readonly growthRate?: number;
  readonly imageSize?: number;
  readonly classes?: number;
  readonly batchSize?: number;
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
  .addOption(new Option('--network <name>', 'a plain network instead of a DenseNet').choices(plainNames))
  .option('--plain', 'all plain networks, each at its own batch and image size; writes docs/performance.md')
  .option('--arch <name>', "densenet121 and the like, with ImageNet's stem, classes and image size")
  .addOption(count('--depth <n>', 'layers of a DenseNet-BC with three blocks (default: 100)'))
  .addOption(new Option('--block-config <a,b,c>', 'layers of each block').argParser(wholeNumbers))
  .addOption(count('--growth-rate <n>', 'channels each layer adds'))
  .addOption(count('--image-size <n>', 'height and width of the images'))
  .addOption(count('--classes <n>', 'number of classes'))
  .addOption(count('--batch-size <n>', "images a step (default: 64, a plain network's own)"))
  .addOption(count('--steps <n>', 'steps in a process; of several, the first is not timed').default(5))
  .addOption(count('--rounds <n>', 'processes for each').default(3))
  .addOption(count('--threads <n>', 'threads').default(availableParallelism()))
  .addOption(new Option('--seed <n>', 'seed of weights and batch').argParser(wholeNumber(0)).default(0))
  .option('--python <path>', 'the Python that has PyTorch', 'python3')
  .option('--json', 'print JSON')
  .action(async (flags: Flags) => {
    refuseMixed(flags);
    const { plain, network, batchSize, json, steps, rounds, threads, seed, python, ...denseNet } = flags;
    const run = { steps, rounds, threads, seed, python };
    if (plain) await writePlain(run, json === true);
    else if (network) {
      const subject = plainSubject(network, denseNet.imageSize);
      await compareOne(subject, batchSize ?? plainNetworks[network].batchSize, run, json);
    } else await compareOne(denseNetSubject(denseNetConfig(denseNet as DenseNetOptions)), batchSize ?? 64, run, json);
  });

type RunFlags = Pick<Flags, 'steps' | 'rounds' | 'threads' | 'seed' | 'python'>;

/** @throws RequestError for flags of a DenseNet beside a plain network, and of one network beside all */
function refuseMixed(flags: Flags): void {
  const { plain, network } = flags;
  if (!plain && network === undefined) return;
  const own = plain ? ([...denseNetFlags, 'network', 'imageSize', 'batchSize'] as const) : denseNetFlags;
  const given = own.find((name) => flags[name] !== undefined);
  if (given === undefined) return;
  const asked = plain ? '--plain, which measures each plain network as it is' : `--network ${network}`;
  throw new RequestError(`${given} doesn't go with ${asked}; leave out one of them`);
}

const denseNetFlags = ['arch', 'depth', 'blockConfig', 'growthRate', 'classes'] as const;

async function compareOne(subject: PeerSubject, batchSize: number, flags: RunFlags, json = false): Promise<void> {
  const report = await compared(subject, batchSize, flags);
  if (json) printJson(report);
  else show(report);
}

/** All plain networks, as JSON or as the section of the page. @throws FailureError where there is no PyTorch */
async function writePlain(flags: RunFlags, json: boolean): Promise<void> {
  const torch = await findTorch(flags.python);
  if ('missing' in torch) throw new FailureError(`nothing to compare with: ${torch.missing}`);
  const reports: PeersReport[] = [];
  for (const name of plainNames) reports.push(await compared(plainSubject(name), plainNetworks[name].batchSize, flags));
  if (json) {
    printJson(reports);
    return;
  }
  for (const report of reports) show(report);
  await writeFileAtomic(page, replaceSection(await readFile(page, 'utf8'), 'plain', plainSection(reports)));
  note('wrote docs/performance.md');
}

async function compared(
  subject: PeerSubject,
  batchSize: number,
  { steps, rounds, threads, seed, python }: RunFlags,
): Promise<PeersReport> {
  const counter = startCounter();
  try {
    return await comparePeers({
      ...{ subject, batchSize, steps, rounds, threads, seed, python },
      onProgress: (done, total, what) => counter.update(done, total, what),
      onNote: note,
    });
  } finally {
    counter.stop();
  }
}

function show(report: PeersReport): void {
  const { network, inputShape, config, batchSize, steps, rounds, threads, torch, sameLosses, peers } = report;
  const blocks = config && `blocks of ${config.blockConfig.join(', ')} layers, growth rate ${config.growthRate}`;
  printFacts([
    ['network', blocks ?? network],
    ['images', `${batchSize} of ${inputShape.join(' × ')}`],
    ['measured', `${rounds} × ${steps} steps, ${threads} threads`],
    ['PyTorch', torch ?? 'left out'],
    ...(sameLosses ? [sameLossesFact(sameLosses)] : []),
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

function sameLossesFact({ densec, torch }: SameLosses): [string, string] {
  const written = (losses: readonly number[]): string => losses.map((loss) => loss.toFixed(6)).join(', ');
  return ['losses from the same weights', `${written(densec)}; in PyTorch ${written(torch)}`];
}

await program.parseAsync();
