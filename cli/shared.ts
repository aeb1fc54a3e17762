/** @file Options that several commands have, and what they mean. */

import { type Command, Option } from 'commander';
import { architectures, type DenseNetConfig, type DenseNetOptions, denseNetConfig } from '../src/builders/index.js';
import type { CompileOptions } from '../src/compile.js';
import { RequestError } from '../src/ir/index.js';
import type { KernelsName, TargetName } from '../src/passes/lowering/index.js';
import type { OptimizerChoice } from '../src/passes/optimizer-options.js';
import type { RematName } from '../src/passes/policies.js';
import { type CudaOptions, parseDevice } from '../src/runtime/devices.js';
import type { SessionOptions } from '../src/runtime/session.js';
import { betas, finiteNumber, imageExtents, names, seed, wholeNumber, wholeNumbers } from './parse.js';

/** Where and with how many threads a graph runs. */
export interface RunFlags extends CudaOptions {
  readonly threads?: number;
  readonly device: string;
}

/** Adds --threads and --device. */
export function addRunOptions(command: Command): Command {
  return command
    .optionsGroup('Running:')
    .addOption(new Option('--threads <n>', 'threads of one operator (default: all cores)').argParser(wholeNumber(1)))
    .option('--device <name>', 'cpu, webgpu, cuda or cuda:INDEX', 'cpu')
    .addOption(
      new Option('--tf32', "let CUDA round what it multiplies to TF32, as PyTorch's convolutions do (default)"),
    )
    .addOption(new Option('--no-tf32', 'keep all products on CUDA in float32'))
    .addOption(new Option('--no-cuda-graph', 'launch the nodes of a step on CUDA one by one instead of as one graph'));
}

/** Session options from flags. @throws RequestError when there is no such device */
export function sessionOptions({ threads, device, tf32, cudaGraph }: RunFlags): SessionOptions {
  return {
    device: parseDevice(device),
    ...(threads !== undefined && { threads }),
    tf32,
    cudaGraph,
  };
}

/** What describes a network and its optimizer. */
export interface BuildFlags {
  readonly arch?: string;
  readonly depth?: number;
  readonly blockConfig?: number[];
  readonly growthRate?: number;
  readonly initFeatures?: number;
  readonly compression?: number;
  readonly bnSize?: number;
  readonly dropRate?: number;
  readonly classes?: number;
  /** Height and width in pixels. */
  readonly imageSize?: readonly [number, number];
  readonly channels?: number;
  readonly smallInputs?: boolean;
  readonly efficient?: boolean;
  readonly remat?: RematName;
  readonly memoryBudget?: string;
  readonly target: TargetName;
  readonly kernels: KernelsName;
  readonly optimizer: 'sgd' | 'adamw';
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly decayNormBias: boolean;
  readonly accumulate: number;
  readonly freeze?: string[];
}

/** Names of the flags that describe a network, as commander has them. */
export const buildFlagNames = [
  'arch',
  'depth',
  'blockConfig',
  'growthRate',
  'initFeatures',
  'compression',
  'bnSize',
  'dropRate',
  'classes',
  'imageSize',
  'channels',
  'smallInputs',
  'efficient',
  'remat',
  'memoryBudget',
  'target',
  'kernels',
  'optimizer',
  'momentum',
  'nesterov',
  'betas',
  'eps',
  'weightDecay',
  'decayNormBias',
  'accumulate',
  'freeze',
] as const;

/** Defaults of flags that a data set may know better, in words. */
const buildDefaults = { classes: '10; with --arch 1000', imageSize: '32; with --arch 224' };

/** Adds the options that describe a network. */
export function addBuildOptions(command: Command, defaults = buildDefaults): Command {
  const count = (flag: string, text: string): Option => new Option(flag, text).argParser(wholeNumber(1));
  const number = (flag: string, text: string): Option => new Option(flag, text).argParser(finiteNumber);
  return command
    .optionsGroup('Network:')
    .addOption(
      new Option(
        '--arch <name>',
        `one of ${Object.keys(architectures).join(', ')}: blocks and growth rate of its own, ImageNet's stem, 1000 classes, 224×224 pixels; flags below override it`,
      ),
    )
    .addOption(
      new Option(
        '--depth <n>',
        'layers of a DenseNet-BC with three blocks, 6·L + 4 (default: 100, where there is neither --arch nor --block-config)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option('--block-config <a,b,c>', 'layers of each dense block, instead of --depth').argParser(wholeNumbers),
    )
    .addOption(count('--growth-rate <n>', 'channels each layer adds (default: 12)'))
    .addOption(count('--init-features <n>', 'channels after the stem (default: 2 × growth rate)'))
    .addOption(number('--compression <x>', 'share of channels a transition keeps, above 0 to 1 (default: 0.5)'))
    .addOption(count('--bn-size <n>', 'bottleneck channels, in growth rates (default: 4)'))
    .addOption(
      number('--drop-rate <x>', 'share of values dropped after each 3×3 convolution, 0 to below 1 (default: 0)'),
    )
    .addOption(count('--classes <n>', `number of classes (default: ${defaults.classes})`))
    .addOption(
      new Option(
        '--image-size <n>',
        `height and width of the images in pixels, or HEIGHTxWIDTH as in 48x64 (default: ${defaults.imageSize})`,
      ).argParser(imageExtents),
    )
    .addOption(count('--channels <n>', 'channels of the images: 3, or 1 for grey (default: 3)'))
    .addOption(new Option('--small-inputs', "CIFAR's stem, one 3×3 convolution (default without --arch)"))
    .addOption(new Option('--no-small-inputs', "ImageNet's stem: 7×7 stride 2 and a max pool (default with --arch)"))
    .optionsGroup('Memory:')
    .addOption(new Option('--efficient', 'recompute concatenation, batch norm and ReLU: --remat efficient'))
    .addOption(
      new Option(
        '--remat <policy>',
        'what to recompute: efficient as above, max also 1×1 convolutions where the peak falls by it (default: none)',
      ).choices(['none', 'efficient', 'max']),
    )
    .addOption(
      new Option('--memory-budget <size>', 'cheapest plan that fits, as in 300MB (not in this version: it is refused)'),
    )
    .addOption(
      new Option('--target <name>', 'where the models will run').choices(['cpu', 'webgpu', 'cuda']).default('cpu'),
    )
    .addOption(
      new Option(
        '--kernels <kind>',
        "operators of the training step: plain, ONNX's own, for any program; or cudnn, with densec's own for cuDNN and CUDA, which only densec runs (--target cuda)",
      )
        .choices(['plain', 'cudnn'])
        .default('plain'),
    )
    .optionsGroup('Optimizer:')
    .addOption(
      new Option('--optimizer <name>', 'how weights are updated, as PyTorch defines it')
        .choices(['sgd', 'adamw'])
        .default('sgd'),
    )
    .addOption(number('--momentum <x>', "sgd's momentum (default: 0.9)"))
    .addOption(new Option('--nesterov', "Nesterov's momentum (default)"))
    .addOption(new Option('--no-nesterov', 'plain momentum'))
    .addOption(
      new Option('--betas <a,b>', 'what the averages of adamw keep a step (default: 0.9,0.999)').argParser(betas),
    )
    .addOption(number('--eps <x>', "adamw's epsilon (default: 1e-8)"))
    .addOption(number('--weight-decay <x>', 'weight decay (default: 1e-4; adamw 1e-2)'))
    .addOption(new Option('--no-decay-norm-bias', "no weight decay on batch norm's scale and shift and on biases"))
    .addOption(
      new Option(
        '--accumulate <k>',
        'batches whose mean gradient makes one update; batch norm takes statistics of each batch by itself',
      )
        .argParser(wholeNumber(1))
        .default(1),
    )
    .addOption(
      new Option(
        '--freeze <a,b>',
        "leave parameters as they are whose names begin so: 'features' trains the classifier alone (default: all are trained)",
      ).argParser(names),
    );
}

/** Adds --seed. */
export function addSeedOption(command: Command, what: string): Command {
  return command.addOption(new Option('--seed <n>', what).argParser(seed).default(0));
}

/**
 * The network that flags describe.
 * @param fallback what the data set says where no flag does
 * @throws RequestError when they describe none, or ask for what this version can't do
 */
export function networkConfig(flags: BuildFlags, fallback: DenseNetOptions = {}): DenseNetConfig {
  const given = Object.entries({
    arch: flags.arch,
    depth: flags.depth,
    blockConfig: flags.blockConfig,
    growthRate: flags.growthRate,
    initFeatures: flags.initFeatures,
    compression: flags.compression,
    bnSize: flags.bnSize,
    dropRate: flags.dropRate,
    classes: flags.classes,
    imageSize: flags.imageSize?.[0],
    imageWidth: flags.imageSize?.[1],
    channels: flags.channels,
    smallInputs: flags.smallInputs,
  }).filter(([, value]) => value !== undefined);
  return denseNetConfig({ ...fallback, ...Object.fromEntries(given) });
}

/**
 * What the flags ask to recompute.
 * @throws RequestError when they contradict each other, or ask for what this version can't do
 */
function rematOption({ efficient, remat, memoryBudget }: BuildFlags): RematName {
  if (memoryBudget !== undefined) {
    throw new RequestError(
      `--memory-budget ${memoryBudget} is not available in this version; choose --remat efficient or --remat max, and see densec plan`,
    );
  }
  if (efficient && remat !== undefined && remat !== 'efficient') {
    throw new RequestError(`--efficient means --remat efficient, but --remat ${remat} is given too; drop one`);
  }
  return remat ?? (efficient ? 'efficient' : 'none');
}

/**
 * The optimizer that flags describe: Nesterov's unless told, where there is momentum.
 * @throws RequestError for flags of the other optimizer
 */
function optimizerOptions(flags: BuildFlags): OptimizerChoice {
  const { optimizer: kind, momentum, nesterov, betas, eps, weightDecay, decayNormBias, accumulate } = flags;
  const common = { ...(weightDecay !== undefined && { weightDecay }), decayNormBias, accumulate };
  if (kind === 'adamw') {
    refuse('adamw', { '--momentum': momentum, '--nesterov': nesterov }, 'its momentum is the first of --betas');
    return { kind, ...common, ...(betas && { betas }), ...(eps !== undefined && { epsilon: eps }) };
  }
  refuse('sgd', { '--betas': betas, '--eps': eps }, 'they belong to --optimizer adamw');
  return { kind, ...common, ...(momentum !== undefined && { momentum }), nesterov: nesterov ?? momentum !== 0 };
}

function refuse(optimizer: string, flags: Readonly<Record<string, unknown>>, remedy: string): void {
  const given = Object.keys(flags).filter((name) => flags[name] !== undefined);
  if (given.length > 0) throw new RequestError(`${optimizer} takes no ${given.join(' and no ')}: ${remedy}`);
}

/** How to compile what the flags describe. */
export function compileOptions(flags: BuildFlags & { readonly seed: number }): CompileOptions {
  return {
    target: flags.target,
    kernels: flags.kernels,
    remat: rematOption(flags),
    optimizer: optimizerOptions(flags),
    ...(flags.freeze && { freeze: flags.freeze }),
    seed: flags.seed,
  };
}
